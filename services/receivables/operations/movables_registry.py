"""The movables registry as a file: append-only, one line a filing, searched before each; first in time is first.

A filing is idempotent by drawdown: a crash between the file and the commit is harmless, for the event comes again and
finds its own filing.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True, slots=True)
class Filing:
    """What is to be registered for a drawdown: whose claims, on whom, which assets."""

    drawdown_id: str
    seller_id: str
    obligor_id: str
    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filed:
    """A filing that stands."""

    reference: str
    filed_at: datetime


@dataclass(frozen=True, slots=True)
class FiledBefore:
    """An asset that another drawdown registered first."""

    asset: str
    drawdown_id: str


class MovablesRegistry:
    """One process' view of the file; a lock on the file itself keeps several processes in one order."""

    def __init__(self, folder: Path) -> None:
        """Use the file in this folder; it is made when first needed."""
        self._path = folder / "filings.jsonl"
        self._offset = 0
        self._sequence = 0
        self._filed: dict[str, Filed] = {}
        self._assets: dict[str, list[str]] = {}
        self._active: dict[str, str] = {}
        self._mutex = asyncio.Lock()

    async def file(self, filings: Sequence[Filing], *, at: datetime) -> list[Filed | FiledBefore]:
        """Search and file each in order; a drawdown that has filed gets its own filing again."""
        if not filings:
            return []
        async with self._mutex:
            return await asyncio.to_thread(self._file, filings, at)

    async def discharge(self, drawdown_ids: Sequence[str], *, at: datetime) -> None:
        """End the filings of these drawdowns; those that have none, or ended, are left."""
        if drawdown_ids:
            async with self._mutex:
                await asyncio.to_thread(self._discharge, drawdown_ids, at)

    def _file(self, filings: Sequence[Filing], at: datetime) -> list[Filed | FiledBefore]:
        with self._locked() as stream:
            answers: list[Filed | FiledBefore] = []
            lines: list[dict[str, Any]] = []
            for filing in filings:
                answer = self._filed.get(filing.drawdown_id) or self._search(filing)
                if answer is None:
                    sequence = self._sequence + 1
                    line = {
                        "sequence": sequence,
                        "kind": "filing",
                        "reference": f"MR-{sequence:08d}",
                        "filed_at": at.isoformat(),
                        **asdict(filing),
                    }
                    lines.append(line)
                    self._take(line)
                    answer = self._filed[filing.drawdown_id]
                answers.append(answer)
            self._append(stream, lines)
        return answers

    def _discharge(self, drawdown_ids: Sequence[str], at: datetime) -> None:
        with self._locked() as stream:
            lines: list[dict[str, Any]] = []
            for drawdown_id in drawdown_ids:
                if drawdown_id in self._filed:
                    line = {
                        "sequence": self._sequence + 1,
                        "kind": "discharge",
                        "drawdown_id": drawdown_id,
                        "filed_at": at.isoformat(),
                    }
                    lines.append(line)
                    self._take(line)
            self._append(stream, lines)

    def _search(self, filing: Filing) -> FiledBefore | None:
        for asset in filing.assets:
            if asset in self._active:
                return FiledBefore(asset, self._active[asset])
        return None

    def _take(self, line: dict[str, Any]) -> None:
        self._sequence = line["sequence"]
        drawdown_id = line["drawdown_id"]
        if line["kind"] == "filing":
            self._filed[drawdown_id] = Filed(line["reference"], datetime.fromisoformat(line["filed_at"]))
            self._assets[drawdown_id] = line["assets"]
            self._active.update(dict.fromkeys(line["assets"], drawdown_id))
        else:
            self._filed.pop(drawdown_id, None)
            for asset in self._assets.pop(drawdown_id, ()):
                self._active.pop(asset, None)

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Open and lock the file, and read what others appended; a torn last line was never acknowledged: cut it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if os.fstat(stream.fileno()).st_size < self._offset:
                self._forget()
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    stream.truncate(self._offset)
                    break
                self._take(json.loads(line))
                self._offset += len(line)
            try:
                yield stream
            except BaseException:
                # What was taken into memory may not be on disk: read the file anew next time.
                self._forget()
                raise

    def _forget(self) -> None:
        self._offset = self._sequence = 0
        for known in (self._filed, self._assets, self._active):
            known.clear()

    def _append(self, stream: BinaryIO, lines: Sequence[dict[str, Any]]) -> None:
        """Write the lines in one append and wait until they are on disk."""
        if lines:
            data = b"".join(json.dumps(line, sort_keys=True).encode() + b"\n" for line in lines)
            stream.seek(0, os.SEEK_END)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            self._offset += len(data)
