"""A programming problem without the examples in its statement, which copies often lack or replace.

Left out are the sections under Example(s), Sample Input/Output, Note, Constraints, Explanation and
the like. Each is a heading on a line of its own, and goes to the end; after Note or Constraints, to
the next heading Input, Output or Task. So are lines that show a call and its value: doctests,
asserts, `f(1) == 2`, `f(1) => 2`, `f(1) ➞ 2`."""

import re

# A text without any of these has no examples; it is cheaper to look for than the others.
HINT = re.compile(
    r">>>|^[ \t#*_\[=-]*(?:samples?\b|(?:for )?examp?b?les?\b|input/output|(?:input|output) "
    r"(?:sample|example)|notes?\b|constrain|explanation|restriction|public|test cases?\b|e\.g"
    r"|limits?\b|scoring|variables|assert\b)|\)[ \t]*(?:=|-+>|➞|→|returns?\b|should\b|\#)",
    re.IGNORECASE | re.MULTILINE,
)
EXAMPLES = re.compile(
    r"(?:(?:for )?examp?b?les?|(?:public |sample )?(?:test )?(?:cases?|samples?)|samples? "
    r"(?:inputs?|outputs?|cases?|tests?)|input/output\]? ?samples?|"
    r"(?:input|output) (?:samples?|examples?)|explanations?|e\.g\.?)"
    r"(?: (?:inputs?|outputs?))?(?: ?(?:#|no\.?)? ?\d+)?",
    re.IGNORECASE,
)
LIMITS = re.compile(
    r"notes?|constrain(?:t|ts)?|restrictions?|scoring|limits?|variables", re.IGNORECASE
)
ASKED = re.compile(
    r"(?:input|output|task|problem|interaction)"
    r"(?: (?:format|specification|description|statement))?",
    re.IGNORECASE,
)
INLINE = re.compile(
    r"(?:examples?|samples?(?: (?:inputs?|outputs?))?) ?\d+ ?:|sample (?:input|output) ?:"
    r"|constraints?:|restrictions?:",
    re.IGNORECASE,
)
CALL = re.compile(
    r"[\w.]+ ?\([^\n]*\)[ \t]*(?:={1,3}>|==|-{1,2}>|➞|→|returns?\b|should (?:return|be|give)\b"
    r"|# ?(?:=>|->|returns?)|=[ \t]*(?:true|false|none|null|[\"'\[(-]))",
    re.IGNORECASE,
)
DECORATION = "#*-_=~ \t:[]"
DOCSTRING = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)


def described(prompt: str) -> str:
    """What a prompt of HumanEval+ or MBPP+ says in words: its docstring without examples."""
    return without_examples(_docstring(prompt))


def _docstring(code: str) -> str:
    """The last docstring of a function's stub; the text itself where it has none."""
    return max((DOCSTRING.findall(code) or [(code, "")])[-1], key=len)


def without_examples(text: str) -> str:
    """The text without its examples; itself where it shows none, or nothing but them. A function's
    stub gives its docstring."""
    if "def " in text and ('"""' in text or "'''" in text):
        text = _docstring(text)
    if not HINT.search(text):
        return text
    kept = []
    section = ""  # the one that is left out: limits, examples, or none
    after_call = False  # whether the line before was a doctest's call: its value follows
    for line in text.split("\n"):
        bare = line.strip()
        heading = bare.strip(DECORATION) if len(bare) <= 60 else ""
        if heading and LIMITS.fullmatch(heading):
            section = section or "limits"
        elif heading and (EXAMPLES.fullmatch(heading) or INLINE.match(heading)):
            section = "examples"
        elif heading and section == "limits" and ASKED.fullmatch(heading):
            section = ""
        if section:
            continue
        if bare.startswith(">>>"):
            after_call = True
        elif after_call and bare:
            after_call = False
        elif not _shows_a_call(bare):
            after_call = False
            kept.append(line)
    left = "\n".join(kept)
    return left if left.strip() else text


def _shows_a_call(line: str) -> bool:
    line = line.lstrip("*- \t")
    if line.startswith("assert "):
        return True
    return "$" not in line and "\\" not in line and bool(CALL.match(line))
