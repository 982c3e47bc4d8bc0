"""How well decontamination tells leaked evaluation problems from others, beside plain overlap of
8 and of 13 words.

    python bench/decontamination.py [--data FOLDER] [--mbpp mbpp.jsonl] [--math-train FILE.jsonl]

Pairs are made by rule (decontamination_pairs.py) from problems generated here, and from those of
evaluation sets below --data: math500/math500.jsonl, aime/aimo-validation-aime.jsonl,
evalplus/MbppPlus.jsonl.gz, evalplus/HumanEvalPlus.jsonl.gz. --mbpp is MBPP's own file: its wordings
of the tasks of MBPP+ are leaks, its other tasks are none, but for those that were read and found to
ask the same as one of MBPP+ (TWINS). --math-train is MATH's training set, {"problem"} a line.
A leak is found if it is flagged for any evaluation problem, and a changed problem is flagged
falsely if it is flagged for the one that it was made of. The peers flag whatever shares 8 or 13
words in a row, in lower case and without punctuation, with one (Brown et al. 2020, arXiv
2005.14165, appendix C, has 13). Writes bench/results/decontamination.json and the table in
docs/decontamination.md; `--table` writes the table alone, of the results that are there,
and with `--print` prints it."""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from decontamination_pairs import LEAKS, OTHERS, SAME_IN_SET

from distill_nb.benchmarks import pocket_problems
from distill_nb.runtime import provenance
from distill_nb.traces.decontamination import evaluation_sets, match

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "decontamination.json"
PAGE = ROOT / "docs" / "decontamination.md"
FILES = {
    "math500": "math500/math500.jsonl",
    "aime": "aime/aimo-validation-aime.jsonl",
    "mbpp_plus": "evalplus/MbppPlus.jsonl.gz",
    "humaneval_plus": "evalplus/HumanEvalPlus.jsonl.gz",
}
TEMPLATES = {  # of generated problems
    "power": "Find the remainder when $13^{1<A>} + <B>^{1<C>}$ is divided by $<D>$.",
    "fraction": r"Compute $\frac{<A>}{<B>} + \frac{<C>}{<D>}$, and simplify.",
    "vectors": r"Let $\vec{u}$ and $\vec{v}$ be vectors of length $<A>$ and $<B>$ whose sum "
    r"has length $<C>$. Find $\vec{u} \cdot \vec{v}$.",
    "points": "In the triangle $KLM$ the side $KL$ has length $<A>$ cm and $LM$ has length $<B>$ "
    "cm. The point $P$ halves $KM$. What is the largest area that $KLP$ can have?",
    "sequence": "A sequence has $a_1 = <A>$, $a_2 = <B>$ and $a_3 = <C>$, and each further number "
    "is the sum of the three before it. What is the smallest one above $9<D>$?",
    "people": "There are <A> chairs in a room and <B> guests at the door. At least <C> guests sit "
    "down. In how many of the <D> rows can nobody sit alone?",
}
METHODS = ("first_look", "both_looks", "words_8", "words_13")
# Tasks of MBPP beside MBPP+ that ask what a task of MBPP+ asks, by reading what was flagged.
TWINS = frozenset([
    33, 43, 54, 152, 156, 195, 199, 208, 217, 316, 362, 393, 411, 495, 505, 516, 542, 625, 649, 658,
    673, 686, 768, 841, 879, 922, 924, 928, 940, 970,
])  # fmt: skip
Flags = dict[str, Callable[[str], set[str]]]


class Overlap:
    """Flags what shares n words in a row with an evaluation problem; a shorter one, as a whole."""

    def __init__(self, rows: match.Statements, n: int):
        self.n = n
        self.known: dict[tuple[str, ...], set[str]] = {}  # n words → the problems that have them
        for _, task_id, text in rows:
            for gram in self._grams(text):
                self.known.setdefault(gram, set()).add(task_id)

    def _grams(self, text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + self.n]) for i in range(max(1, len(words) - self.n + 1))}

    def __call__(self, text: str) -> set[str]:
        return set().union(*(self.known.get(gram, ()) for gram in self._grams(text)))


class Ours:
    """Flags what `match` says is contaminated."""

    def __init__(self, rows: match.Statements, second_look: bool):
        self.known = match.EvaluationProblems(rows, second_look)

    def __call__(self, text: str) -> set[str]:
        found = self.known.match(text)
        return {found.task_id} if found and found.kind == "contaminated" else set()


def generated() -> match.Statements:
    """Problems in words and of programs, from templates, and formulas of every kind."""
    rng, rows = random.Random(0), []
    for template in pocket_problems.MATH_TEMPLATES:
        for i in range(12):
            text = pocket_problems.math_problem(template, rng)[0]
            rows.append(("generated", f"{template} {i}", text))
    for function, returns, _ in pocket_problems.CODE:
        rows.append(("pocket_code", function, f"Write a function to find {returns}."))
    for i in range(40):
        numbers = dict(zip("ABCD", rng.sample(range(2, 90), 4), strict=True))
        for kind, text in TEMPLATES.items():
            text = re.sub("<([A-D])>", lambda m, n=numbers: str(n[m[1]]), text)
            rows.append(("generated", f"{kind} {i}", text))
    places = ["miles", "kilometers", "pounds", "grams", "euros", "dollars", "knots", "inches"]
    for one in places[::2]:
        for other in places[1::2]:
            rows.append(
                ("pocket_code", f"{one} {other}", f"Write a function to convert {one} to {other}.")
            )
    return rows


def methods(rows: match.Statements) -> Flags:
    """What names the evaluation problems that a training problem is flagged for, by method."""
    return {
        "first_look": Ours(rows, False),
        "both_looks": Ours(rows, True),
        "words_8": Overlap(rows, 8),
        "words_13": Overlap(rows, 13),
    }


def count(kind: str, pairs: list[tuple[str, str]], flags: Flags, source: str) -> dict:
    """How many texts each method flags. pairs: [(evaluation problem, text)]; where the first is
    named, for that one."""
    flagged = {
        name: sum(asked in found if asked else bool(found) for asked, found in
                  ((asked, flag(text)) for asked, text in pairs))
        for name, flag in flags.items()
    }  # fmt: skip
    print(kind, source, len(pairs), flagged, flush=True)
    return {"kind": kind, "source": source, "problems": len(pairs)} | flagged


def by_rule(rules: dict, rows: match.Statements, flags: Flags, source: str) -> list[dict]:
    """`count` of what each rule makes of the problems. A leak is found whatever it is found for."""
    found = []
    for kind, rule in rules.items():
        rng = random.Random(kind)
        made = [(i, new) for _, i, text in rows if (new := rule(text, rng)) is not None]
        pairs = [("", new) for _, new in made] if rules is LEAKS else made
        if pairs:
            found.append(count(kind, pairs, flags, source))
    return found


def each_other(rows: match.Statements, source: str) -> dict:
    """Problems of one half of a set against the other half, both ways, but for those that ask what
    another one asks (SAME_IN_SET)."""
    total: dict = {}
    same = SAME_IN_SET.get(source, {})
    for part in range(2):
        own = [("", text) for _, i, text in rows[1 - part :: 2] if i not in same]
        one = count("another problem of the set", own, methods(rows[part::2]), source)
        total = {k: total.get(k, 0) + v if isinstance(v, int) else v for k, v in one.items()}
    return total


def seconds(rows: match.Statements, texts: list[str]) -> dict:
    """CPU seconds that a thousand training problems take, words among them."""
    found = {}
    for name, flag in methods(rows).items():
        start = time.process_time()
        for text in texts:
            flag(text)
        found[name] = round((time.process_time() - start) * 1000 / len(texts), 3)
    return found


def table(report: dict) -> str:
    """The results in Markdown: percent flagged, by kind."""
    lines = []
    for title, key in (("Leaks: percent found", "leaks"), ("No leaks: percent flagged", "others")):
        lines += [f"| {title} | of | problems | first look | both looks | 8 words | 13 words |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for row in report[key]:
            shares = (f"{100 * row[m] / row['problems']:.1f}" for m in METHODS)
            kind = row["kind"].replace("|", r"\|")
            kind = f"`{kind}`" if set(r"\*$") & set(kind) else kind  # no formula, no emphasis
            lines.append(f"| {kind} | {row['source']} | {row['problems']} | {' | '.join(shares)} |")
        lines.append("")
    if speed := report["speed"]:
        shares = " | ".join(f"{speed['cpu_seconds_per_1000'][m]:.2f}" for m in METHODS)
        lines += ["| Time | | evaluation problems | first look | both looks | 8 words | 13 words |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [
            "| CPU seconds for 1,000 training problems | MATH's training set | "
            f"{speed['evaluation_problems']} | {shares} |",
            "",
        ]
    return "\n".join(lines)


def write_page(report: dict) -> None:
    """Put the table into the page, between its two marks."""
    text = PAGE.read_text()
    start, end = "<!-- table -->\n", "<!-- end of table -->"
    before, _, rest = text.partition(start)
    PAGE.write_text(f"{before}{start}{table(report)}{end}{rest.partition(end)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--mbpp", type=Path)
    parser.add_argument("--math-train", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--print", action="store_true", help="with --table: print it alone")
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    if a.table:
        report = json.loads(RESULTS.read_text())
        print(table(report)) if a.print else write_page(report)
        return
    leaks, others, sources, known = [], [], {}, {}
    known["generated"] = generated()
    for name, file in FILES.items() if a.data else ():
        known[name] = evaluation_sets.problems(name, str(a.data / file))
        sources[name] = provenance.sha256_of_file(a.data / file)
    for source, rows in known.items():
        flags = methods(rows)
        leaks += by_rule(LEAKS, rows, flags, source)
        others += by_rule(OTHERS, rows, flags, source)
        if source != "generated":
            others.append(each_other(rows, source))
    if a.mbpp and a.data:
        own = {r["task_id"]: r["text"] for r in map(json.loads, a.mbpp.read_text().splitlines())}
        plus = {int(i.split("/")[1]) for _, i, _ in known["mbpp_plus"]}
        flags = methods(known["mbpp_plus"])
        wordings = [("", own[i]) for i in sorted(plus)]
        rest = [("", text) for i, text in own.items() if i not in plus | TWINS]
        leaks.append(count("MBPP's own wording of the task", wordings, flags, "mbpp_plus"))
        others.append(count("another task of MBPP", rest, flags, "mbpp_plus"))
        sources["mbpp"] = provenance.sha256_of_file(a.mbpp)
    speed = {}
    if a.math_train and a.data:
        texts = [json.loads(line)["problem"] for line in a.math_train.read_text().splitlines()]
        flags = methods(known["math500"])
        pairs = [("", text) for text in texts]
        others.append(count("MATH's training set", pairs, flags, "math500"))
        sources["math_train"] = provenance.sha256_of_file(a.math_train)
        every = [row for name, rows in known.items() if name != "generated" for row in rows]
        speed = {
            "evaluation_problems": len(every),
            "cpu_seconds_per_1000": seconds(every, texts[::7]),
        }
    report = {
        "sources": sources,
        "rule": match.VERSION,
        "device": provenance.device(),
        "versions": provenance.versions(),
        "leaks": leaks,
        "others": others,
        "speed": speed,
    }
    a.out.parent.mkdir(exist_ok=True)
    a.out.write_text(json.dumps(report, indent=1) + "\n")
    if a.out == RESULTS:
        write_page(report)


if __name__ == "__main__":
    main()
