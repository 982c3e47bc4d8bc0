"""A set of traces on a hub of our own: what arrives, what its card says, what is asked first."""

import json
import shutil

import pytest
import yaml

from distill_nb.report import data_card
from distill_nb.runtime import provenance
from distill_nb.study.publishing import of_set, upload
from distill_nb.study.publishing.licences import Answers
from distill_nb.traces import files

TO = "org/r1-math"
SAID = Answers(licence="cc-by-4.0", data_licence="apache-2.0", teacher_terms_checked=True)


@pytest.fixture
def made(one_set, runs_dir):
    """The folder of a copy of it, which a test may spoil."""
    shutil.copytree(one_set, runs_dir)
    return files.folder_of("r1_math", "pocket")


def publication(answers=SAID):
    return of_set.publication("r1_math", "pocket", TO, answers)


def send(answers=SAID):
    said = []
    upload.send(publication(answers), False, said.append)
    return said


def change(folder, **parameters):
    """Change parameters in a set's provenance."""
    file = folder / "provenance.json"
    record = json.loads(file.read_text())
    record["parameters"] |= parameters
    file.write_text(json.dumps(record))


def test_what_arrives_is_the_set_byte_for_byte_and_tagged_by_its_content(made, hub):
    said = send()
    found = hub.files("dataset", TO, "main")
    for name in ("train.parquet", "rejected.parquet", "funnel.json", "ledger.json"):
        assert found[name] == (made / name).read_bytes(), name
    assert found["distill_nb/provenance.json"] == (made / "provenance.json").read_bytes()
    assert json.loads(found["distill_nb/published.json"])["set"] == "pocket/r1_math"
    assert set(found) == {
        "README.md",
        "train.parquet",
        "rejected.parquet",
        "funnel.json",
        "ledger.json",
        "distill_nb/provenance.json",
        "distill_nb/published.json",
    }
    tag = "train-" + provenance.sha256_of_file(made / "train.parquet")[:12]
    assert said[1] == f"tag {tag}" and hub.files("dataset", TO, tag) == found
    uploaded = list(hub.uploaded)
    assert "nothing sent, 7 files there already" in send()[0] and hub.uploaded == uploaded


def test_the_card_has_funnel_decontamination_lengths_and_licences(made):
    (revision,) = publication().revisions
    card = next(f.content for f in revision.files if f.path == "README.md").decode()
    _, front, text = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["license"] == "cc-by-4.0" and metadata["size_categories"] == ["n<1K"]
    assert metadata["configs"][0] == {
        "config_name": "default",
        "default": True,
        "data_files": [{"split": "train", "path": "train.parquet"}],
    }
    for row in (
        "| not needed | good, and not needed | 20 |",
        "| contaminated | problem of an evaluation set | 1 |",
        "| kept | in the set | 40 |",
        "| all | rows of the source | 66 |",
        "| pocket_math | 56 |",
        "| traces | 40 |",
    ):
        assert row in text, row
    assert "40 reasoning traces, written by DeepSeek-R1" in text
    assert "it is taken out, too" in text
    assert "Where it comes from, hub: apache-2.0 (as the publisher says (--data-licence))" in text
    assert "have read the licence and terms of DeepSeek-R1" in text
    assert "cut: lose &lt;/think>" in text and str(made) not in card
    assert "None" not in text and "\n\n\n" not in card


def test_licence_and_terms_are_asked_for(made, hub):
    asked = publication(Answers()).questions
    assert [question.partition(":")[0] for question in asked] == [
        "--licence ID",
        "--data-licence ID",
        "--teacher-terms-checked",
    ]
    # the hub's own set: its licence is on record
    change(made, source="hub", scale="full")
    asked = publication(Answers(licence="cc-by-4.0")).questions
    assert [question.partition(":")[0] for question in asked] == ["--teacher-terms-checked"]
    # an API teacher, asked R1's problems
    change(made, source="r1_math", teacher_api="anthropic", teacher_model="claude-sonnet-4-5")
    (question,) = publication(Answers(licence="cc-by-4.0")).questions
    assert "terms of the teacher claude-sonnet-4-5" in question
    # generated rows are nobody's output
    change(made, source="pocket", teacher_api="none")
    assert publication(Answers(licence="cc-by-4.0")).questions == []


def test_a_set_that_is_not_there_or_not_as_made_is_one_sentence(made):
    with pytest.raises(ValueError, match="there is no finished set sonnet_math of scale pocket"):
        of_set.publication("sonnet_math", "pocket", TO, SAID)
    (made / "ledger.json").unlink()
    assert "ledger.json is not there" in publication().notes[-1]
    (made / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"train.parquet of r1_math is not the one that"):
        publication()


def test_sizes_as_the_hub_has_them():
    assert [data_card.size_of(n) for n in (5, 1000, 25_200, 999_999, 2_000_000)] == [
        "n<1K",
        "1K<n<10K",
        "10K<n<100K",
        "100K<n<1M",
        "1M<n<10M",
    ]
