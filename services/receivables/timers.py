"""Tick → operation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from services.receivables.operations.appraise_goods import revalue_due
from services.receivables.operations.movables_registry import MovablesRegistry
from services.receivables.operations.pledge_goods import file_pledges
from services.receivables.operations.register import number_register
from services.receivables.operations.take_notes import place_waiting
from services.receivables.operations.take_uploads import work_uploads
from shared.messaging.pipeline import Timer
from shared.runtime.settings import Settings

TIMERS: Mapping[str, Timer] = {
    "register": Timer(1.0, number_register),
    "revaluation": Timer(1.0, revalue_due),
    "uploads": Timer(0.5, work_uploads),
    "credit notes": Timer(2.0, place_waiting),
}


def timers(settings: Settings) -> Mapping[str, Timer]:
    """Return what is done at each tick; pledges are filed in the movables registry that the settings name."""
    filing = partial(file_pledges, registry=MovablesRegistry(settings.registry))
    return {**TIMERS, "pledges": Timer(0.5, filing)}
