"""How much processor time the parts of a running platform took."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tributary.platform import Platform

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(platform: Platform) -> dict[str, float]:
    """Return processor seconds so far: each API and worker, PostgreSQL with its backends, Kafka, and this process."""
    taken = {each.name: cpu_of(each.running.pid) for each in platform.others if each.running is not None}
    postgres, kafka = platform.servers.postgres.process, platform.servers.kafka.nodes[0].process
    if postgres is not None:
        taken["PostgreSQL"] = postgres_cpu(postgres.pid)
    if kafka is not None:
        taken["Kafka"] = cpu_of(kafka.pid)
    taken["load and gateway"] = cpu_of(os.getpid())
    return taken


def postgres_cpu(pid: int) -> float:
    """Return processor seconds of a PostgreSQL with its backends."""
    return cpu_of(pid) + sum(cpu_of(child) for child in _children(pid))


def cpu_of(pid: int) -> float:
    """Return a process' user and system time, with that of the children it has reaped."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def _children(pid: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields and int(fields[1]) == pid:
            yield int(path.name)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may hold blanks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []
