"""Tick → operation."""

from __future__ import annotations

from collections.abc import Mapping

from services.credit.operations.close_drawdowns import expire_drawdowns
from shared.messaging.pipeline import Timer

TIMERS: Mapping[str, Timer] = {"expiry": Timer(1.0, expire_drawdowns)}
