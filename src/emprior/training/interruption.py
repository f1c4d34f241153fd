"""Ctrl-C, heard between updates: half of one is no state to go on from."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any


class Interruption:
    """Remembers a first Ctrl-C instead of raising it, while it is entered; a second one is raised.

    Elsewhere than in the main thread, which alone hears Ctrl-C, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        """Begin to listen."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave Ctrl-C to whoever had it before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _hear(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
