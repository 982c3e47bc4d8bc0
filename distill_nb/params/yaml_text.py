"""YAML by the rules of YAML 1.2 (its core schema), for every parameter file and -p.

Papermill reads YAML 1.1: to it `010` is 8, `2024_01_05` a number, `1:30` ninety, `on` a truth value
and `1e5` a text. A notebook gets what Papermill has read, and a command what is read here. So what
the two rules take differently is refused, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from distill_nb.params.names import ON_OFF_KEYS

TAG = "tag:yaml.org,2002:"
# A plain word → its value; any other word is a text. https://yaml.org/spec/1.2.2/#1032-tag-resolution
CORE: tuple[tuple[str, Callable[[str], Any]], ...] = (
    (r"|~|null|Null|NULL", lambda word: None),
    (r"true|True|TRUE|false|False|FALSE", lambda word: word.lower() == "true"),
    (r"[-+]?[0-9]+", int),
    (r"0o[0-7]+", lambda word: int(word, 8)),
    (r"0x[0-9a-fA-F]+", lambda word: int(word, 16)),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
    (r"[-+]?\.(inf|Inf|INF)", lambda word: float(word.replace(".", ""))),
    (r"\.(nan|NaN|NAN)", lambda word: float("nan")),
)
BREAKS = re.compile("[\x85\u2028\u2029]")  # they end a line in YAML 1.1 alone


def read(text: str, source: str, key: str = "") -> Any:
    """The value of a text; None for an empty one. key: whose value the whole text is (-p KEY).

    Raises ValueError, one sentence that `source` opens, for what is not YAML, what YAML 1.1 and 1.2
    take differently, keys that are there twice or are no text, and tags."""
    reader = None
    try:
        reader = _Reader(text, source)
        if odd := BREAKS.search(text):
            what = f"the character U+{ord(odd[0]):04X} ends a line in YAML 1.1 alone: take it out"
            raise reader.refuse(text.count("\n", 0, odd.start()), what)
        node = reader.get_single_node()
        return None if node is None else reader.value(node, key)
    except yaml.reader.ReaderError as error:
        line, code = text.count("\n", 0, error.position) + 1, ord(text[error.position])
        what = f"line {line} has the character U+{code:04X}, which YAML does not allow: take it out"
        raise ValueError(f"{source}: {what}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        assert reader and mark
        raise reader.refuse(mark.line, _problem(str(error.problem))) from None
    except RecursionError:
        raise ValueError(f"{source}: this is nested too deeply: write flat keys.") from None


def dump(value: Any, flow: bool = True) -> str:
    """A value as YAML that both rules read as this value; flow: in one line and in ASCII."""
    how = dict(default_flow_style=flow, allow_unicode=not flow, width=float("inf"))
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, **how)
    return text.removesuffix("...\n").strip()


def _problem(found: str) -> str:
    """What PyYAML found, with the remedy."""
    if "another document" in found:
        return "a second document begins here (---): keep one"
    if r"'\t'" in found:
        return "a tab stands where YAML wants spaces: write spaces"
    return f"this is not YAML ({' '.join(found.split())}): correct it"


class _Reader(yaml.SafeLoader):
    """PyYAML's nodes, which Papermill reads too, and their values by YAML 1.2. What it constructs
    itself is what Papermill does: YAML 1.1 without dates."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, words) for tag, words in resolvers if tag != f"{TAG}timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str, source: str) -> None:
        self.text, self.source = text, source
        self.made: dict[int, Any] = {}  # the id of a node → its value; an alias gives a node again
        super().__init__(text)

    def refuse(self, line: int, what: str) -> ValueError:
        where = f", line {line + 1}" if "\n" in self.text.strip() else ""
        return ValueError(f"{self.source}{where}: {what}.")

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        tag = getattr(event, "tag", None)
        text = isinstance(event, yaml.ScalarEvent) and tag == f"{TAG}str"
        if tag is not None and not text:
            shown = f"!!{tag.removeprefix(TAG)}" if tag.startswith(TAG) else tag
            key = f"{index.value} has" if isinstance(index, yaml.ScalarNode) else "here is"
            what = f"{key} the tag {shown}, and none is read: write the value without it"
            raise self.refuse(event.start_mark.line, what)
        node = super().compose_node(parent, index)
        if text:
            node.style = '"'  # !!str is as good as quotes
        return node

    def value(self, node: yaml.Node, key: str) -> Any:
        """The value of a node; `key` is the one that it belongs to."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        if id(node) not in self.made:
            self.made[id(node)] = ...
            mapping = isinstance(node, yaml.MappingNode)
            self.made[id(node)] = (
                self._mapping(node, key)
                if mapping
                else [self.value(member, key) for member in node.value]
            )
        if self.made[id(node)] is ...:
            raise self.refuse(node.start_mark.line, f"{key} contains itself: write its value out")
        return self.made[id(node)]

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line
            if name_node.tag == f"{TAG}merge":
                raise self.refuse(line, "<< merges keys in YAML 1.1 alone: write the keys out")
            name = name_node.value
            if not isinstance(name_node, yaml.ScalarNode) or not self._is_text(name_node):
                written = name if isinstance(name, str) else "this"
                raise self.refuse(line, f"{written} is no text, as a key must be: quote it")
            if name in values:
                first = "twice" if lines[name] == line else f"in line {lines[name] + 1} already"
                raise self.refuse(line, f"{name} stands there {first}: keep one of the two")
            lines[name] = line
            values[name] = self.value(value_node, f"{key}: {name}" if key else name)
        return values

    def _scalar(self, node: yaml.ScalarNode, key: str) -> Any:
        word, line = node.value, node.start_mark.line
        if node.style or (key in ON_OFF_KEYS and word in ("on", "off")):
            return word
        shown = word if len(word) < 40 else f"{word[:39]}…"
        try:
            old, new = self._by_both(node)
        except (yaml.YAMLError, ValueError):  # 0x_, =, more digits than Python reads
            remedy = "write it in quotes, or correct it"
            what = f"{key} is {shown}, which Papermill cannot read: {remedy}"
            raise self.refuse(line, what) from None
        if repr(old) != repr(new):
            text = "" if str in (type(old), type(new)) else f", or {dump(word)} for a text"
            raise self.refuse(
                line,
                f"{key} is {shown}, which is {dump(old)} by YAML 1.1, as Papermill reads it, and "
                f"{dump(new)} by YAML 1.2: write {dump(old)} or {dump(new)}, as it is meant{text}",
            )
        return new

    def _by_both(self, node: yaml.ScalarNode) -> tuple[Any, Any]:
        """The values of a plain word by YAML 1.1 and 1.2; an error of the one that has none."""
        word = node.value
        new = next((make(word) for words, make in CORE if re.fullmatch(words, word)), word)
        return self.construct_object(node), new

    def _is_text(self, node: yaml.ScalarNode) -> bool:
        """Whether a key is a text by both."""
        try:
            return bool(node.style) or all(isinstance(v, str) for v in self._by_both(node))
        except (yaml.YAMLError, ValueError):
            return False


class _Dumper(yaml.SafeDumper):
    """Quotes a text that either rule takes for more than a text."""


for _words, _ in CORE:
    _Dumper.add_implicit_resolver(f"{TAG}core", re.compile(rf"(?:{_words})\Z"), None)
