"""What a candidate sends, kept unread until it has ended.

Were values compared as they come, a candidate would learn from what follows which of them are
right: a run that goes on, a pause, a full socket. So the grader takes all that comes at the same
pace whatever it is worth, and compares when nobody is there any more to see it."""

import socket
import tempfile
from collections.abc import Iterator

from distill_nb.grading.sandbox import wire

IN_MEMORY = 32 * 2**20  # bytes of one run; what is beyond them goes to a temporary file


class Ended(Exception):
    """The frames ended or broke before the last one; the reason as its argument."""


class Kept:
    """Byte strings in the order in which they were added. Raises OSError for a full disk."""

    def __init__(self) -> None:
        self._parts: list[bytes | int] = []  # an int is the size of one that lies in the file
        self.size = 0  # bytes in all
        self._file = tempfile.SpooledTemporaryFile(max_size=1)  # noqa: SIM115  by `close`

    def add(self, part: bytes) -> None:
        """Keep one more."""
        self.size += len(part)
        if self.size <= IN_MEMORY:
            self._parts.append(part)
        else:
            self._file.write(part)
            self._parts.append(len(part))

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        for part in self._parts:
            yield part if isinstance(part, bytes) else self._file.read(part)

    def close(self) -> None:
        """Drop them all."""
        self._file.close()


def frames(channel: socket.socket, count: int) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of exactly `count` frames in order, then the end; anything else is Ended."""
    buffer, received = bytearray(), 0

    def fill(size: int) -> bool:
        nonlocal received
        while len(buffer) < size:
            part = channel.recv(2**18)
            if not part:
                return False
            received += len(part)
            if received > wire.LONGEST_RESULT:
                raise Ended("sent too much")
            buffer.extend(part)
        return True

    for i in range(count):
        if not fill(wire.FRAME.size):
            raise Ended("")
        kind, place, size = wire.FRAME.unpack_from(buffer)
        if kind not in b"VEL" or place != i or (kind == b"L" and i) or size > wire.LONGEST_FRAME:
            too_large = kind == b"V" and place == i
            raise Ended("returned a value that is too large" if too_large else "broke the protocol")
        end = wire.FRAME.size + size
        if not fill(end):
            raise Ended("")
        content = bytes(buffer[wire.FRAME.size : end])
        del buffer[:end]
        yield kind, content
        if kind == b"L":
            return
    if fill(1):
        raise Ended("broke the protocol: more than one end")
