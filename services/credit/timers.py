"""Tick → operation."""

from __future__ import annotations

from collections.abc import Mapping

from services.credit.operations.close_drawdowns import expire_drawdowns
from services.credit.operations.due_propagations import notes_of
from services.credit.operations.generations.carry import carry_generations
from services.credit.operations.propagate_due import propagate_due
from shared.messaging.pipeline import Timer

TIMERS: Mapping[str, Timer] = {
    "expiry": Timer(1.0, expire_drawdowns),
    "propagation": Timer(0.25, propagate_due, notes_of),
    "generations": Timer(0.25, carry_generations, notes_of),
}
