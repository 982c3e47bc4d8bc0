"""The study's tables from data, as text, LaTeX and HTML."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from distill_nb.analysis import baseline_changes, names, stats
from distill_nb.analysis.published import accuracies, claims, findings, fragility, grim
from distill_nb.report import study_tables, tables

QWEN, INSTRUCT, LLAMA = (names.NAMES[n] for n in ("Qwen Base", "Qwen Instruct", "Llama 8B"))


@pytest.fixture(scope="module")
def published():
    return accuracies.load_published()


def test_baselines_as_printed(published):
    table = study_tables.baselines(published)
    assert list(table) == ["student", "MATH-500", "MBPP+", "HumanEval+", "LiveCodeBench"]
    assert table.to_numpy().tolist() == [
        ["Qwen Base", "80.6", "75.7", "78.7", "12.0"],
        ["Qwen Instruct", "86.8", "77.5", "91.0", "27.0"],
        ["Llama 8B", "40", "46", "—", "—"],
    ]
    assert (
        study_tables.baselines(published, intervals=True)["MATH-500"].iloc[2] == "40 [35.8, 44.4]"
    )


def test_checkpoints_as_printed(published):
    assert study_tables.pairs(published) == [
        (QWEN, "r1"),
        (QWEN, "sonnet"),
        (INSTRUCT, "sonnet"),
        (LLAMA, "r1"),
        (LLAMA, "sonnet"),
    ]
    table = study_tables.checkpoints(published, INSTRUCT, "sonnet")
    assert (
        list(table) == ["domain", "step", "MATH-500", "MBPP+", "HumanEval+", "LiveCodeBench"]
        and len(table) == 10
    )
    assert table.iloc[1].tolist() == ["math", 200, "88.6", "68.3", "60*", "16*"]
    assert table.iloc[8].tolist() == ["code", 400, "85.0*", "75.7*", "—", "—"]
    assert list(study_tables.checkpoints(published, LLAMA, "r1")) == [
        "domain",
        "step",
        "MATH-500",
        "MBPP+",
    ]
    with pytest.raises(
        ValueError, match=r"student 'x' and teacher 'r1' have no checkpoints .* choose from Qwen"
    ):
        study_tables.checkpoints(published, "x", "r1")


def test_every_cell_is_in_a_table_of_checkpoints_or_a_baseline(published):
    shown = pd.concat(
        [
            study_tables.baselines(published),
            *(study_tables.checkpoints(published, *s) for s in study_tables.pairs(published)),
        ]
    )
    cells = shown[["MATH-500", "MBPP+", "HumanEval+", "LiveCodeBench"]].to_numpy().ravel()
    assert sum(isinstance(c, str) and c != "—" for c in cells) == 129


def test_best_checkpoints_as_the_tables_have_them(published):
    table = study_tables.best(published)
    assert len(table) == 3 + 10 and table["config"].tolist().count("Baseline") == 3
    rows = {(r[0], r[1]): list(r[2:]) for r in table.to_numpy().tolist()}
    assert rows["Qwen Base", "Sonnet math"] == [300, "88", "57", "67", "10"]
    assert rows["Qwen Base", "Sonnet code"] == [200, "79", "74", "85", "12"]
    # not step 500's, as the study has
    assert rows["Qwen Instruct", "Sonnet math"] == [200, "88.6", "68.3", "60*", "16*"]
    assert rows["Qwen Instruct", "Sonnet code"] == [500, "89.4", "80.2", "86", "24"]
    assert rows["Llama 8B", "Baseline"] == ["—", "40", "46", "—", "—"]
    changed = published.assign(accuracy=published["accuracy"].mask(published["step"] == 100, 99))
    assert set(study_tables.best(changed)["step"]) == {"—", 100}


def test_inflation_of_the_published_best(published):
    table = study_tables.inflation(published, correlations=(0, 0.5)).set_index("run")
    row = table.loc["Qwen Base, Sonnet math"]
    assert (row["step"], row["best"], row["last"], row["checkpoints"]) == (300, 88, 86, 5)
    assert row["mean"] == pytest.approx((85 + 82 + 88 + 85 + 86) / 5)
    assert row["inflation_0"] == pytest.approx(116.296 * np.sqrt(0.852 * 0.148 / 500), rel=1e-4)
    assert row["inflation_0.5"] == pytest.approx(row["inflation_0"] * np.sqrt(0.5))


def test_power_of_the_published_sizes(published):
    table = study_tables.power(published).set_index(["student", "benchmark"])
    assert len(table) == 10
    row = table.loc[("Qwen Instruct", "HumanEval+")]
    assert (row["n"], row["base"]) == (100, 91) and row["loss"] == pytest.approx(-14.5, abs=0.05)
    # its baseline is of 164 problems, its checkpoints of 100
    row = table.loc[("Qwen Base", "HumanEval+")]
    assert (row["n"], row["checkpoint_n"]) == (164, 100)
    loss = row["loss"] / 100
    assert stats.power(0.787 + loss, 100, 0.787, 164) == pytest.approx(0.8, abs=1e-6)
    gain = table.loc[("Llama 8B", "MATH-500"), "gain"] / 100
    assert stats.power(0.40 + gain, 500, 0.40, 500) == pytest.approx(0.8, abs=1e-6)


# ---- LaTeX and HTML

NASTY = pd.DataFrame(
    {"a_b & c": ["50% {x}", r"\input{x}", "R1 → 2e-5 #1"], "n": ["1", "—", "-3.5"]}
)


def test_latex_is_well_formed(published):
    for table in (
        NASTY,
        study_tables.best(published),
        study_tables.baselines(published, intervals=True),
    ):
        text = tables.to_latex(table, "At 95% & more_of #1", "tab:x")
        assert re.findall(r"\\(begin|end){(\w+)}", text) == [
            ("begin", "table"),
            ("begin", "tabular"),
            ("end", "tabular"),
            ("end", "table"),
        ]
        body = text.split("\\toprule\n")[1].split("\\bottomrule")[0].replace("\\midrule\n", "")
        lines = body.splitlines()
        assert len(lines) == len(table) + 1 and all(line.endswith(r" \\") for line in lines)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {table.shape[1] - 1}
        # without math, escapes and commands
        plain = re.sub(r"\$\\[a-z]+\$|\\[\\&%#_{}$]|\\[a-z]+", "", text)
        assert plain.count("{") == plain.count("}") and not re.search(r"[%#_\\~^$—→]", plain)
        assert len(re.search(r"\\begin{tabular}{([lr]+)}", text)[1]) == table.shape[1]


def test_latex_of_single_characters():
    assert tables.latex_text(r"50% of a_b & {c} \ # $ ~ ^ —") == (
        r"50\% of a\_b \& \{c\} \textbackslash{} \# \$ \textasciitilde{} \textasciicircum{} ---"
    )
    text = tables.to_latex(NASTY, "c", "l")
    assert (
        r"\begin{tabular}{lr}" in text
        and r"a\_b \& c & n \\" in text
        and r"\textbackslash{}input\{x\} & --- \\" in text
    )


def test_html_is_well_formed_and_escaped():
    text = tables.to_html(NASTY.assign(tag="<script>"), caption="a < b & c")
    root = ElementTree.fromstring(text)
    assert root.find("caption").text == "a < b & c"
    assert [th.text for th in root.iter("th")] == ["a b & c", "n", "tag"]
    assert [td.text for td in root.iter("td")][:3] == [
        "50% {x}",
        "1",
        "<script>",
    ] and "<script" not in text
    assert ElementTree.fromstring(tables.to_html(NASTY)).find("caption") is None


def test_every_table_of_the_study_as_latex(published):
    """Every number of the study is in one of them, nothing of them typed in."""
    made = study_tables.study(published)
    curves = {
        f"checkpoints_{x}"
        for x in (
            "qwen_base_r1",
            "qwen_base_sonnet",
            "qwen_instruct_sonnet",
            "llama_8b_r1",
            "llama_8b_sonnet",
        )
    }
    others = {"baselines", "best_checkpoints", "forgetting", "findings", "fragility"}
    assert set(made) == others | curves | {f"finding_{i}" for i in range(1, 8)}
    assert "Qwen Base & 80.6 & 75.7 & 78.7 & 12.0 \\\\" in made["baselines"]
    assert "math & 200 & 88.6 & 68.3 & 60* & 16* \\\\" in made["checkpoints_qwen_instruct_sonnet"]
    assert "Qwen Base & Sonnet code & 200 & 79 & 74 & 85 & 12 \\\\" in made["best_checkpoints"]
    assert re.search(r"1\.0 & 0\.0 & (--- & ){7}500 & no & contradicted", made["finding_5"])
    assert "7 & ours & Distillation helps" in made["findings"]
    assert "1 of 500 & from 20 & +1.8 & +1.6 & -9.2 & -16.1" in made["fragility"]
    assert len(re.findall(r" & supported & ", made["findings"])) == 1
    labels = [label for text in made.values() for label in re.findall(r"\\label{(.+?)}", text)]
    assert len(labels) == len(set(labels)) == len(made)


# ---- what the notebook shows


def test_forgetting_shows_last_checkpoints_and_relative_changes(published):
    table = study_tables.forgetting(baseline_changes.forgetting_matrix(published))
    assert len(table) == 40
    row = table[
        (table["student"] == "Llama 8B")
        & (table["teacher"] == "Sonnet")
        & (table["trained on"] == "code")
        & (table["evaluated on"] == "MATH-500")
    ].iloc[1]
    assert row.tolist()[4:] == [
        "last (500)",
        "40.0",
        "0.0",
        "-40.0 [-44.4, -35.7]",
        "-100.0 [-100.0, -98.1]",
    ]


def test_evidence_shows_p_and_what_would_be_needed(published):
    found = findings.check_all(published)
    table = study_tables.evidence(found[3]).set_index("comparison")
    assert table.loc["HumanEval+: no loss of 5 points"].tolist() == [
        "86.0",
        "91.0",
        "-5.0 [-14.2, +4.1]",
        "0.82",
        "0.5",
        "1",
        "+8.3",
        "-20.8",
        "no number",
        "100",
        "yes",
        "inconclusive",
    ]
    assert table.loc["LiveCodeBench: no loss of 5 points", "problems needed"] == "7,626"
    wording = study_tables.evidence(found[4]).iloc[-1]
    assert wording["p (no difference)"] == wording["difference (points)"] == "—"
    assert (wording["decides"], wording["verdict"]) == ("no", "contradicted")
    open_ = study_tables.evidence(found[2]).iloc[0]
    assert open_["verdict"] == "depends on rounding: inconclusive or supported"
    groups = study_tables.by_group(found).set_index(["finding", "group"])["verdict"]
    assert len(groups) == 5 + 10 and groups[2, "Llama 8B Sonnet"] == "contradicted"
    assert list(study_tables.by_group([])) == ["finding", "group", "verdict"]


def test_leads_are_shown_in_problems(published):
    table = study_tables.fragility_of(fragility.table(published)).set_index("run")
    assert table.loc["Qwen Base, Sonnet code", "lead (problems)"] == "-3 to 3 of 378"
    assert table.loc["Qwen Instruct, Sonnet math"].tolist() == [
        "MATH-500",
        "88.6 (200)",
        "88.4 (300)",
        "1 of 500",
        "from 20",
        "+1.8",
        "+1.6",
        "-9.2",
        "-16.1",
    ]


def test_impossible_numbers_are_named_as_the_study_names_them(published):
    stated = claims.stated_sizes(claims.load_claims())
    table = study_tables.impossible(grim.check(published, stated))
    assert table.to_numpy().tolist() == [
        ["Qwen Base", "—", 0, "HumanEval+", "78.7", 100, "129/164"]
    ]


def test_a_table_for_the_notebook_or_a_sentence():
    table = pd.DataFrame(
        {
            "p_holm": [1e-7, np.nan],
            "p_adjusted": [0.023, 0.5],
            "n": [3.0, np.nan],
            "accuracy": [12.345, 2],
            "words": ["x" * 80, "<"],
        },
        index=pd.Index(["a", "b"], name="run"),
    )
    root = ElementTree.fromstring(tables.show(table, "none").data)
    assert [th.text for th in root.iter("th")] == [
        "run",
        "p (Holm)",
        "p, adjusted",
        *table.columns[2:],
    ]
    assert [td.text for td in root.iter("td")] == [
        "a",
        "1e-07",
        "0.023",
        "3",
        "12.3",
        "x" * 80,
        "b",
        "—",
        "0.5",
        "—",
        "2.0",
        "<",
    ]
    assert tables.show(table[:0], "There is <none>.").data == "<p>There is &lt;none&gt;.</p>"
    assert tables.show(None, "") is None


def test_columns_and_what_they_hold_are_in_words():
    table = pd.DataFrame(
        {"folder": ["a_b"], "benchmark": ["mbpp_plus"], "part": ["cut_off"], "test_step": [3]}
    ).assign(**{"math500 (n = 5)": ["2 [1, 3]"]})
    root = ElementTree.fromstring(tables.to_html(table))
    heads = ["run", "benchmark", "part", "best on all: step", "MATH-500 (n = 5)"]
    assert [th.text for th in root.iter("th")] == heads
    assert [td.text for td in root.iter("td")] == ["a_b", "MBPP+", "cut off", "3", "2 [1, 3]"]


def test_many_sentences_are_folded():
    assert tables.sentences("", "title").data == ""
    assert tables.sentences("a < b", "title").data == "<p>a &lt; b</p>"
    few = tables.sentences("a\nb", "title").data
    assert few == "<ul><li>a</li><li>b</li></ul>"
    many = ElementTree.fromstring(tables.sentences("a\n" * 9, "<title>").data)
    assert many.tag == "details" and many.find("summary").text == "<title>"
    assert len(list(many.iter("li"))) == 9


def test_folded_tables_are_closed_and_escaped():
    root = ElementTree.fromstring(
        f"<body>{tables.folded({'a < b': NASTY, 'c': NASTY}).data}</body>"
    )
    assert [d.find("summary").text for d in root] == ["a < b", "c"]
    assert all(
        d.tag == "details" and "open" not in d.attrib and len(list(d.iter("tr"))) == 4 for d in root
    )
