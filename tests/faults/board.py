"""What an armed process and its test tell each other: a file in memory that outlives a kill -9 of either.

For each failpoint: how often it was passed, at which passing the process dies there (or stops), how often it did.
After them what the process witnessed of rare situations.
"""

from __future__ import annotations

import mmap
import os
import signal
from pathlib import Path

from shared.runtime.failpoints import FAILPOINTS
from tests.faults.situations import SITUATIONS

_NAMES = tuple(FAILPOINTS)
_PASSED, _FUSE, _SIGNAL, _DIED, _STOPPED, _SLOTS = 0, 1, 2, 3, 4, 5
_WITNESSED = {name: len(_NAMES) * _SLOTS + nth for nth, name in enumerate(SITUATIONS)}
_SIZE = 8 * (len(_NAMES) * _SLOTS + len(SITUATIONS))


class Board:
    """One process' board."""

    def __init__(self, path: Path) -> None:
        """Open the board, or make it."""
        self.path = path
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(handle, _SIZE)
            self._cells = memoryview(mmap.mmap(handle, _SIZE)).cast("Q")
        finally:
            os.close(handle)

    def reached(self, failpoint: str, *, idle: bool = False) -> None:
        """Count a passing, and die or stop here when it is time; nobody stops with idle work in hand.

        Called in the armed process.
        """
        at = _NAMES.index(failpoint) * _SLOTS
        self._cells[at + _PASSED] += 1
        fuse, sign = self._cells[at + _FUSE], self._cells[at + _SIGNAL]
        if fuse and self._cells[at + _PASSED] >= fuse and not (idle and sign == signal.SIGSTOP):
            self._cells[at + _FUSE] = 0
            self._cells[at + (_DIED if sign == signal.SIGKILL else _STOPPED)] += 1
            os.kill(os.getpid(), sign)

    def arm(self, failpoint: str, *, nth: int, sign: signal.Signals = signal.SIGKILL) -> None:
        """Let the process get the signal at its nth passing from now."""
        at = _NAMES.index(failpoint) * _SLOTS
        self._cells[at + _SIGNAL] = sign
        self._cells[at + _FUSE] = self._cells[at + _PASSED] + nth

    def disarm(self) -> None:
        """Let nothing happen from now on."""
        for nth in range(len(_NAMES)):
            self._cells[nth * _SLOTS + _FUSE] = 0

    def passed(self) -> dict[str, int]:
        """Return how often each failpoint was passed."""
        return {name: self._cells[nth * _SLOTS + _PASSED] for nth, name in enumerate(_NAMES)}

    def died(self) -> dict[str, int]:
        """Return how often the process died at each failpoint."""
        return {name: self._cells[nth * _SLOTS + _DIED] for nth, name in enumerate(_NAMES)}

    def stopped(self) -> int:
        """Return how often the process stopped at a failpoint."""
        return sum(self._cells[nth * _SLOTS + _STOPPED] for nth in range(len(_NAMES)))

    def witness(self, situation: str, n: int = 1) -> None:
        """Count a rare situation; called in the armed process."""
        self._cells[_WITNESSED[situation]] += n

    def witnessed(self) -> dict[str, int]:
        """Return how often each rare situation was seen from inside."""
        return {name: self._cells[at] for name, at in _WITNESSED.items()}
