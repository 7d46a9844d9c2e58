"""Asking for the next pages of a list while those before are read."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Generic, TypeVar

# Whoever leaves a list early waits so long for the page that is under way.
LEAVES_AFTER_S = 1.0

T = TypeVar("T")


@contextmanager
def ahead(
    pages: Iterator[T], size_of: Callable[[T], int], most_bytes: int
) -> Iterator[Iterator[T]]:
    """Give *pages* in their order while a thread takes them, until *most_bytes* of them wait.

    What one of them raises is raised in its place, after those before it. Who leaves the block
    early has asked for pages that nobody reads; none is asked for after that.
    """
    asking = _Asking(pages, size_of, most_bytes)
    try:
        yield asking.taken()
    finally:
        asking.leave()


class _Asking(Generic[T]):
    """A thread that takes pages, and those of them that wait to be read."""

    def __init__(self, pages: Iterator[T], size_of: Callable[[T], int], most_bytes: int) -> None:
        self._pages, self._size_of, self._most_bytes = pages, size_of, most_bytes
        self._changed = Condition()
        self._waiting = deque[T]()
        self._bytes = 0
        self._is_left = self._is_over = False
        self._failure: BaseException | None = None
        # A process that ends waits for no answer.
        self._thread = Thread(target=self._ask, name="asking ahead", daemon=True)
        self._thread.start()

    def taken(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_over)
                if not self._waiting:
                    break
                page = self._waiting.popleft()
                self._bytes -= self._size_of(page)
                self._changed.notify()
            yield page
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        with self._changed:
            self._is_left = True
            self._changed.notify()
        self._thread.join(LEAVES_AFTER_S)

    def _ask(self) -> None:
        try:
            for page in self._pages:
                with self._changed:
                    self._waiting.append(page)
                    self._bytes += self._size_of(page)
                    self._changed.notify()
                    self._changed.wait_for(lambda: self._is_left or self._bytes < self._most_bytes)
                    if self._is_left:
                        return
        except BaseException as failure:  # noqa: BLE001  # it is raised where the page is missed
            self._failure = failure
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify()
