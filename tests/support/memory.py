"""Where files that live as long as a test are kept in memory, if the machine has room for them."""

from __future__ import annotations

import os
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - not a file's name: where Linux keeps files in memory
_ROOM_BYTES = 6 * 1024**3


def roomy_memory_folder() -> str | None:
    """Return a folder in memory where tests may write and run what they wrote; None where there is too little room."""
    try:
        found, memory = os.statvfs(_SHARED_MEMORY), Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    available = next(int(line.split()[1]) * 1024 for line in memory.splitlines() if line.startswith("MemAvailable:"))
    has_room = min(found.f_bavail * found.f_frsize, available) > _ROOM_BYTES
    may_run = not found.f_flag & os.ST_NOEXEC and os.access(_SHARED_MEMORY, os.W_OK)
    return str(_SHARED_MEMORY) if has_room and may_run else None
