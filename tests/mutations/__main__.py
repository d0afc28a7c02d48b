"""`make mutations`: plant each bug in a copy of the code, run the test that must notice, say what came of it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutations.planted import PLANTED, Planted

_ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("shared", "services", "tributary", "tests", "policies", "docs", "pyproject.toml", "jars.lock")
_WITHIN_S = 240
_TESTS_FAILED = 1


def plant(planted: Planted, root: Path) -> None:
    """Make the bug's changes in a copy of the code; each text must be there exactly once."""
    for change in planted.changes:
        path = root / change.file
        text = path.read_text(encoding="utf-8")
        assert text.count(change.before) == 1, (planted.name, change.file, text.count(change.before))
        path.write_text(text.replace(change.before, change.after), encoding="utf-8")


def caught(planted: Planted) -> tuple[bool, str]:
    """Return whether the named test fails on the bug, and pytest's last words."""
    with tempfile.TemporaryDirectory(prefix="tributary-mutation-") as folder:
        root = Path(folder)
        # The servers' unprivileged user must be able to pass through.
        root.chmod(0o755)
        for name in _COPIED:
            source = _ROOT / name
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, root / name, ignore=ignored) if source.is_dir() else shutil.copy(source, root)
        plant(planted, root)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-rf", *planted.tests],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=False,
        )
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
        words = failed or [line for line in done.stdout.splitlines() if line.strip()] or [done.stderr[-300:]]
        return done.returncode == _TESTS_FAILED and bool(failed), words[0].removeprefix("FAILED ")


def main() -> int:
    """Plant all, or those whose name holds a word; return 1 when one survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only bugs whose name holds this")
    word = parser.parse_args().word
    survivors = []
    chosen = [each for each in PLANTED if word in each.name]
    for planted in chosen:
        started = time.monotonic()
        noticed, words = caught(planted)
        took = f"{time.monotonic() - started:5.1f} s"
        sys.stdout.write(f"{'caught  ' if noticed else 'SURVIVED'} {took}  {planted.name}: {words}" + "\n")
        sys.stdout.flush()
        if not noticed:
            survivors.append(planted.name)
    sys.stdout.write(f"{len(chosen) - len(survivors)} of {len(chosen)} planted bugs are caught" + "\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
