"""The six services, found by their names: each has `main.build(settings)` and `worker.run(settings, stop)`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from importlib import import_module

from shared.runtime.settings import Settings
from shared.web.serving import ServiceApp

SERVICES = ("onboarding", "receivables", "risk", "credit", "settlement", "console")

Build = Callable[[Settings], ServiceApp]
Work = Callable[[Settings, asyncio.Event], Awaitable[None]]


def builds(services: Iterable[str] = SERVICES) -> dict[str, Build]:
    """Return what builds each service's HTTP app."""
    return {name: import_module(f"services.{name}.main").build for name in services}


def works(services: Iterable[str] = SERVICES) -> dict[str, Work]:
    """Return what runs each service's consumers, relay and timers."""
    return {name: import_module(f"services.{name}.worker").run for name in services}
