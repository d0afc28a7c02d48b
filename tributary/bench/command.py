"""`tributary bench FIGURE`: measure, print, compare."""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from shared.runtime.telemetry import configure_logging

# figure → its module, which has `async measure(home) -> dict`.
FIGURES = {
    "holds": "tributary.bench.holds",
    "events": "tributary.bench.events",
    "depth": "tributary.bench.depth",
    "journey": "tributary.bench.journey",
    "propagation": "tributary.bench.propagation",
    "netting": "tributary.bench.netting",
    "intake": "tributary.bench.intake",
}


def run(*, figure: str, json_output: bool) -> int:
    """Measure a figure on a data folder of its own and print it; 2 when there is no such figure."""
    if figure not in FIGURES:
        sys.stderr.write(f"There is no figure {figure!r}; there are: {', '.join(FIGURES)}.\n")
        return 2
    configure_logging(level="ERROR")
    measure = importlib.import_module(FIGURES[figure]).measure
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        # Other users' servers must be able to reach into it: PostgreSQL does not run as root.
        Path(folder).chmod(0o755)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result: dict[str, Any] = runner.run(measure(Path(folder)))
    if json_output:
        from tributary.cli import write_json

        write_json(result)
    else:
        sys.stdout.write("".join(f"{name:<22} {value}\n" for name, value in result.items()))
    return 0
