"""Tick → operation."""

from __future__ import annotations

from collections.abc import Mapping

from services.receivables.operations.take_uploads import work_uploads
from shared.messaging.pipeline import Timer

TIMERS: Mapping[str, Timer] = {"uploads": Timer(0.5, work_uploads)}
