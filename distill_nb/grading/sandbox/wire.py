"""Messages over a stream socket, for both sides of the sandbox. Standard library only.

A message is its length in four bytes and then its bytes. What a candidate sends back is a row of
frames: a kind (V a value, E an exception, L it could not be loaded), the input's place, a length,
the bytes."""

from __future__ import annotations

import os
import socket
import struct

FRAME = struct.Struct("<cII")
LONGEST_FRAME = 16 * 2**20  # bytes of one value
LONGEST_RESULT = 2**30  # bytes of all frames of a run, which are compared and let go one by one
LONGEST_OUTPUT = 64 * 2**20  # bytes that a program may write
LONGEST_TEXT = 300  # characters of an exception


def read_exactly(descriptor: int, size: int) -> bytes:
    """`size` bytes, or EOFError."""
    parts = []
    while size:
        part = os.read(descriptor, min(size, 2**20))
        if not part:
            raise EOFError("closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however often it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def receive(
    sock: socket.socket, descriptors: int = 0, longest: int = 2**28
) -> tuple[bytes, list[int]]:
    """One message and the file descriptors sent along. Raises EOFError at the end, ValueError over
    `longest` bytes."""
    if descriptors:
        head, passed, _, _ = socket.recv_fds(sock, 4, descriptors)
    else:
        head, passed = sock.recv(4), []
    if len(head) < 4:
        head = head + _receive(sock, 4 - len(head)) if head else b""
    if not head:
        raise EOFError("closed")
    size = struct.unpack("<I", head)[0]
    if size > longest:
        raise ValueError(f"a message of {size} bytes")
    return _receive(sock, size), passed


def _receive(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = sock.recv(min(size, 2**20))
        if not part:
            raise EOFError("closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(sock: socket.socket, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message, with file descriptors if any."""
    head = struct.pack("<I", len(data))
    if descriptors:
        socket.send_fds(sock, [head], list(descriptors))
        sock.sendall(data)
    else:
        sock.sendall(head + data)
