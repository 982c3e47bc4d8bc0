"""Files from elsewhere: what is read right, and what is refused with what to do."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest

from distill_nb.runtime import data_files, jsonl

ROW = {"a": "é\u2028", "b": [1]}
LINE = json.dumps(ROW, ensure_ascii=False)


def read(path, **how):
    return list(data_files.rows(path, path.name, **how))


@pytest.mark.parametrize(
    "data",
    [
        f"{LINE}\n{LINE}\n".encode(),
        f"\n{LINE}\n \n{LINE}".encode(),
        f"{LINE}\r\n{LINE}\r\n".encode(),
        f"\ufeff{LINE}\n{LINE}".encode(),
        f"\ufeff\n{LINE}\n\ufeff{LINE}\n".encode(),  # two such files, joined
        (json.dumps({"a": "é\u2028", "b": [1]}) + "\n").encode() * 2,
    ],
)
def test_what_is_read_as_it_is_meant(data, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(data)
    found = read(tmp_path / "x.jsonl")
    assert [row for _, row in found] == [ROW, ROW]
    lines = data.decode("utf-8-sig").split("\n")
    numbers = [i for i, line in enumerate(lines, 1) if "{" in line]
    assert [where for where, _ in found] == [f"x.jsonl: line {n}" for n in numbers]
    with open(tmp_path / "x.jsonl", "rb") as stream:
        for line in list(jsonl.rows(stream, "x.jsonl")):
            stream.seek(line.offset)
            assert next(jsonl.rows(stream, "x.jsonl")).row == ROW


def zipped(data):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x.jsonl"), data)  # without the time
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        *((LINE.encode(f"utf-{n}"), f"is UTF-{n}, not UTF-8; save it") for n in (16, 32)),
        *((LINE.encode(f"utf-{n}-{e}"), f"is UTF-{n}") for n in (16, 32) for e in ("le", "be")),
        *((("\ufeff" + LINE).encode(f"utf-{n}-be"), f"is UTF-{n}") for n in (16, 32)),
        (gzip.compress(LINE.encode(), mtime=0), "packed with gzip; unpack it with gunzip"),
        (bz2.compress(LINE.encode()), "packed with bzip2; unpack"),
        (lzma.compress(LINE.encode()), "packed with xz; unpack"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "packed with zstd; unpack"),
        (zipped(LINE), "is a zip file; unpack"),
        (b"PAR1\x15\x04", "is a Parquet file; give it a name that ends with .parquet"),
        (b"ARROW1\0\0", "is an Arrow file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS pointer"),
        (b"<!doctype html>\n<html>", "is a web page"),
        (f"[{LINE},\n{LINE}]".encode(), "is one JSON array; write one object a line"),
        (b"\n [\n" + LINE.encode() + b"\n]", "is one JSON array; write one object a line"),
    ],
)
def test_a_file_of_another_kind_says_what_to_do(data, words, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(data)
    with pytest.raises(ValueError) as error:
        read(tmp_path / "x.jsonl")
    said = str(error.value)
    assert said.startswith("x.jsonl is ") and words in said and said.endswith(".")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "is not JSON (Expecting property name"),
        (b'{"a": 1} {"a": 2}', "is not JSON (Extra data)"),
        (b'{"a": "tab\there"}', "is not JSON (Invalid control character"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not JSON (Exceeds the limit"),
        (b"[1]", "is no mapping; write one JSON object a line"),
        (b"5", "is no mapping"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        *((b'{"a": [%s]}' % n, f"has {n.decode()}") for n in (b"NaN", b"Infinity", b"-Infinity")),
        (b'{"a": 1, "b": 2, "a": 1}', "has the key 'a' twice in one object"),
        (b'{"a": [{"b": 1, "b": 2}]}', "has the key 'b' twice in one object"),
        (b'{"a": "x \\ud83d"}', "has half a surrogate pair in 'a'"),
        (b'{"a": {"b": ["", {"c": "\\uDC00x"}]}}', "has half a surrogate pair in 'a.b[1].c'"),
        (b'{"a": "\\ude00\\ud83d"}', "has half a surrogate pair in 'a'"),
        (b'{"a": {"\\ud83d": 1}}', "has half a surrogate pair in 'a key of a'"),
        (b'{"a": "\xed\xa0\xbd"}', "is not UTF-8 (byte 8 of the line); save the file as UTF-8"),
        ('{"a": "é"}'.encode("latin-1"), "is not UTF-8 (byte 8 of the line)"),
        (b"\0\0\0\0", "has NUL bytes"),
        (LINE.encode() + b"\0\0", "has NUL bytes"),
    ],
)
def test_a_bad_line_is_named_with_the_remedy(line, words, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(LINE.encode() + b"\n\n" + line + b"\n" + LINE.encode())
    with pytest.raises(ValueError) as error:
        read(tmp_path / "x.jsonl", remedy="ask for another")
    said = str(error.value)
    assert said.startswith("x.jsonl: line 3 ") and words in said and said.endswith(".")
    assert "save the file" in said or "one JSON object" in said or "; ask for another." in said


def test_a_whole_pair_and_a_quoted_half_are_texts(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": "\\ud83d\\ude00", "b": "\\\\ud83d", "c": "\\u00e9"}')
    (row,) = read(tmp_path / "x.jsonl")
    assert row[1] == {"a": "😀", "b": "\\ud83d", "c": "é"}
    assert next(jsonl.rows([b'{"a": Infinity}'], "x", finite=False)).row == {"a": float("inf")}


def test_parquet_files(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": [f"{i}é" for i in range(600)], "b": range(600)}), path)
    found = read(path)
    assert found[299] == ("x.parquet: row 300", {"a": "299é", "b": 299}) and len(found) == 600
    assert read(path, columns=["c", "b"])[1] == ("x.parquet: row 2", {"b": 1})
    torn = pa.array([b"x", b"\xed\xa0\xbd"]).cast(pa.string(), safe=False)
    for values, where in (
        (torn, "row 302 is not UTF-8 in 't'"),
        (pa.ListArray.from_arrays([0, 1, 2], torn), "row 302 is not UTF-8 in 't'"),
    ):
        empty = pa.nulls(300, values.type)
        parquet.write_table(pa.table({"t": pa.concat_arrays([empty, values])}), path)
        with pytest.raises(ValueError, match=where):
            read(path)
    parquet.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(ValueError, match=r"x\.parquet has the column 'a' twice"):
        read(path)
    data = path.read_bytes()
    for broken, words in (
        (data[:-20], r"x\.parquet: not a Parquet file, or a damaged one"),
        (b"version https://git-lfs", "Git LFS pointer"),
        (gzip.compress(data, mtime=0), "packed with gzip"),
        (b"", "not a Parquet file"),
    ):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=words):
            read(path)
