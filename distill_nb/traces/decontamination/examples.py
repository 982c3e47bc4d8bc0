"""A programming problem without its samples, which copies of it often lack or replace: the words
that say what is asked.

Left out are the sections under Example(s), Sample Input/Output, Note, Constraints, Explanation and
the like, each a heading on a line of its own (to the end; after Note or Constraints, to the next
heading Input, Output or Task), and lines that show a call and its value: doctests, asserts, `f(1)
== 2`, `f(1) => 2`, `f(1) ➞ 2`."""

from __future__ import annotations

import re

HINT = re.compile(
    r">>>|^[ \t#*_\[=-]*(?:samples?\b|(?:for )?examp?b?les?\b|input/output|(?:input|output) "
    r"(?:sample|example)|"
    r"notes?\b|constrain|explanation|restriction|public|test "
    r"cases?\b|e\.g|limits?\b|scoring|variables|assert\b)"
    r"|\)[ \t]*(?:=|-+>|➞|→|returns?\b|should\b|\#)",
    re.IGNORECASE | re.MULTILINE,
)
SAMPLES = re.compile(
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
    r"(?:input|output|task|problem|interaction)(?: (?:format|specification|description|statement))?",
    re.IGNORECASE,
)
INLINE = re.compile(
    r"(?:examples?|samples?(?: (?:inputs?|outputs?))?) ?\d+ ?:|sample (?:input|output) "
    r"?:|constraints?:|"
    r"restrictions?:",
    re.IGNORECASE,
)
CALL = re.compile(
    r"[\w.]+ ?\([^\n]*\)[ \t]*(?:={1,3}>|==|-{1,2}>|➞|→|returns?\b|should (?:return|be|give)\b"
    r"|# ?(?:=>|->|returns?)|=[ \t]*(?:true|false|none|null|[\"'\[(-]))",
    re.IGNORECASE,
)
DECORATION = "#*-_=~ \t:[]"
STUB = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)


def described(prompt: str) -> str:
    """What a prompt of HumanEval+ or MBPP+ says in words: its docstring without samples."""
    text = (STUB.findall(prompt) or [(prompt, "")])[-1]
    return without_samples(max(text, key=len))


def without_samples(text: str) -> str:
    """The text without its samples; itself where it shows none, or nothing but them. A function's
    stub gives its docstring."""
    if "def " in text and ('"""' in text or "'''" in text):
        text = max((STUB.findall(text) or [(text, "")])[-1], key=len)
    if not HINT.search(text):
        return text
    kept, skipping, value = [], "", False
    for line in text.split("\n"):
        bare = line.strip()
        heading = bare.strip(DECORATION) if len(bare) <= 60 else ""
        if heading and LIMITS.fullmatch(heading):
            skipping = skipping or "limits"
        elif heading and (SAMPLES.fullmatch(heading) or INLINE.match(heading)):
            skipping = "samples"
        elif heading and skipping == "limits" and ASKED.fullmatch(heading):
            skipping = ""
        if skipping:
            continue
        if bare.startswith(">>>"):
            value = True
        elif value and bare:  # what a doctest returns
            value = False
        elif not _shows_a_call(bare):
            value = False
            kept.append(line)
    left = "\n".join(kept)
    return left if left.strip() else text


def _shows_a_call(line: str) -> bool:
    line = line.lstrip("*- \t")
    return line.startswith("assert ") or (
        "$" not in line and "\\" not in line and bool(CALL.match(line))
    )
