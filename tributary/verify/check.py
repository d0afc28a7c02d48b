"""All checks on one world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import cast

from shared.runtime.settings import Settings
from tributary.verify import (
    i01_limit_tree,
    i02_held_and_utilised,
    i03_one_financing,
    i04_ledger,
    i05_outbox_and_topic,
    i06_sequences,
    i07_rebuild,
    i08_exactly_once,
    i09_deadlines,
    i10_reinstated,
    i11_audit_chain,
)
from tributary.verify.result import Result
from tributary.verify.snapshots import World, world_of

Check = Callable[[World], Awaitable[Result]]

INVARIANTS: Mapping[str, ModuleType] = {
    "I1": i01_limit_tree,
    "I2": i02_held_and_utilised,
    "I3": i03_one_financing,
    "I4": i04_ledger,
    "I5": i05_outbox_and_topic,
    "I6": i06_sequences,
    "I7": i07_rebuild,
    "I8": i08_exactly_once,
    "I9": i09_deadlines,
    "I10": i10_reinstated,
    "I11": i11_audit_chain,
}


async def run_checks(settings: Settings, *, stopped: bool = False) -> dict[str, Result]:
    """Return what each invariant's check found; settings name both servers.

    `stopped` says that nothing runs on them: what was in flight when it stopped has not aged since.
    """
    async with world_of(settings, stopped=stopped) as world:
        return {name: await cast("Check", module.check)(world) for name, module in INVARIANTS.items()}
