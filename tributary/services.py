"""The six services, found by their names: each has `main.build(settings)` and `worker.run(settings, stop)`."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType
from typing import cast

from shared.runtime.settings import Settings
from shared.web.serving import ServiceApp

SERVICES = ("onboarding", "receivables", "risk", "credit", "settlement", "console")

Build = Callable[[Settings], ServiceApp]
Work = Callable[[Settings, asyncio.Event], Awaitable[None]]


def builds(services: Iterable[str] = SERVICES) -> dict[str, Build]:
    """Return what builds each service's HTTP app."""
    found = {name: _module(name, "main") for name in services}
    return {name: cast("Build", module.build) for name, module in found.items() if module is not None}


def works(services: Iterable[str] = SERVICES) -> dict[str, Work]:
    """Return what runs each service's consumers, relay and timers."""
    found = {name: _module(name, "worker") for name in services}
    return {name: cast("Work", module.run) for name, module in found.items() if module is not None}


def _module(service: str, room: str) -> ModuleType | None:
    try:
        return importlib.import_module(f"services.{service}.{room}")
    except ModuleNotFoundError as error:
        if error.name == f"services.{service}.{room}":
            return None
        raise
