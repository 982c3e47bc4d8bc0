"""What `doctor --online` downloads: counted where the hub's client receives it, and bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

MOST = 200_000_000  # bytes


class Spent(BaseException):
    """More would be downloaded than the budget has. It is no Exception, of which the readers make
    a sentence about the source."""


class Budget:
    """Bytes that may be downloaded, and those that were, by all threads together."""

    def __init__(self, most: int = MOST):
        self.most, self.used = most, 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Count bytes that came. Raises Spent where that is too many."""
        with self._lock:
            self.used += size
            if self.used > self.most:
                raise Spent

    def ask(self, size: int) -> None:
        """Raises Spent where so many are not left; counts nothing."""
        with self._lock:
            if self.used + size > self.most:
                raise Spent


@contextmanager
def counted(budget: Budget) -> Iterator[None]:
    """Within it, all that huggingface_hub and Transformers receive counts, without xet's own
    client, which cannot be counted."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def client() -> httpx.Client:
        made = default_client_factory()
        hooks = made.event_hooks
        made.event_hooks = hooks | {"response": [*hooks["response"], counter(budget)]}
        return made

    xet, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(default_client_factory)
        constants.HF_HUB_DISABLE_XET = xet


def counter(budget: Budget) -> Callable[[httpx.Response], None]:
    """A hook of httpx that counts the body of each response as it comes."""
    import httpx

    class Counted(httpx.SyncByteStream):
        def __init__(self, stream: httpx.SyncByteStream):
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            for piece in self.stream:
                budget.take(len(piece))
                yield piece

        def close(self) -> None:
            self.stream.close()

    def hook(response: httpx.Response) -> None:
        if response.request.method != "HEAD":
            budget.ask(int(response.headers.get("content-length", 0)))
            response.stream = Counted(response.stream)

    return hook
