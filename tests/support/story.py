"""A run of the demo's story for a test, on servers and a data folder of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shared.runtime.settings import Settings
from tributary.demo.command import play
from tributary.demo.plan import Plan
from tributary.demo.report import Result


def run(plan: Plan, home: Path, *, processes: bool = False) -> Result:
    """Play a story on a data folder of its own."""
    settings = Settings.model_construct(
        server_url="",
        bootstrap_servers="",
        home=home,
        host="127.0.0.1",
        port=0,
        issuer="tributary",
        audience="tributary",
        hold_seconds=600,
        rail_timeout_seconds=0.3,
    )
    home.chmod(0o755)
    return asyncio.run(play(settings, plan=plan, processes=processes))
