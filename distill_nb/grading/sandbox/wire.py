"""Messages over a stream socket, for both sides of the sandbox. Standard library only.

A message is its length in four bytes, then its bytes. A candidate sends back frames: a kind (V a
value, E an exception, L the code could not be loaded), the input's place, a length, the bytes."""

import os
import socket
import struct
from collections.abc import Callable

FRAME = struct.Struct("<cII")
LONGEST_FRAME = 16 * 2**20  # bytes of one value
LONGEST_RESULT = 2**30  # bytes of all frames of a run; each is compared and dropped as it comes
LONGEST_OUTPUT = 64 * 2**20  # bytes that a program may write
LONGEST_TEXT = 300  # characters of an exception


def _collect(read: Callable[[int], bytes], size: int) -> bytes:
    parts = []
    while size:
        part = read(min(size, 2**20))
        if not part:
            raise EOFError("closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_exactly(descriptor: int, size: int) -> bytes:
    """`size` bytes, or EOFError."""
    return _collect(lambda most: os.read(descriptor, most), size)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, in as many calls as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def receive(
    sock: socket.socket, descriptors: int = 0, longest: int = 2**28
) -> tuple[bytes, list[int]]:
    """One message, and file descriptors. Raises EOFError at the end, ValueError over `longest`."""
    if descriptors:
        head, passed, _, _ = socket.recv_fds(sock, 4, descriptors)
    else:
        head, passed = sock.recv(4), []
    if not head:
        raise EOFError("closed")
    head += _collect(sock.recv, 4 - len(head))
    size = struct.unpack("<I", head)[0]
    if size > longest:
        raise ValueError(f"a message of {size} bytes")
    return _collect(sock.recv, size), passed


def send(sock: socket.socket, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message, with file descriptors if any."""
    head = struct.pack("<I", len(data))
    if descriptors:
        socket.send_fds(sock, [head], list(descriptors))
        sock.sendall(data)
    else:
        sock.sendall(head + data)
