"""What a file is that should be JSON lines and is not, told by its first bytes."""

_UTF = "is {}, not UTF-8; save it as UTF-8, as iconv -f {} -t UTF-8 does"
KINDS = (  # first bytes, what the file is and what to do
    (b"\x1f\x8b", "is packed with gzip; unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstd; unpack it with unzstd"),
    (b"PK\x03\x04", "is a zip file; unpack it with unzip"),
    (b"BZh", "is packed with bzip2; unpack it with bunzip2"),
    (b"\xfd7zXZ\0", "is packed with xz; unpack it with unxz"),
    (b"PAR1", "is a Parquet file; give it a name that ends with .parquet"),
    (b"ARROW1", "is an Arrow file; write its rows as .jsonl or .parquet"),
    (b"\xff\xfe\0\0", _UTF.format("UTF-32", "UTF-32")),
    (b"\0\0\xfe\xff", _UTF.format("UTF-32", "UTF-32")),
    (b"\xff\xfe", _UTF.format("UTF-16", "UTF-16")),
    (b"\xfe\xff", _UTF.format("UTF-16", "UTF-16")),
    (b"version https://git-lfs", "is a Git LFS pointer; fetch the file with git lfs pull"),
    (b"<", "is a web page or XML; download the file itself"),
)
HEAD = 64  # bytes that are looked at


def other_kind(head: bytes) -> str:
    """The end of a sentence about a file that begins with `head`; "" where it may be JSON lines."""
    for magic, said in KINDS:
        if head.startswith(magic):
            return said
    first = head[:4]
    if b"\0" not in first or not first.strip(b"\0"):
        return ""
    # without a mark: the first sign of JSON is an ASCII one, and the other bytes of it are 0
    width = "UTF-32" if first.count(0) == 3 else "UTF-16"
    end = "BE" if first[0] == 0 else "LE"
    return _UTF.format(width, width + end)
