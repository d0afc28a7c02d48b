"""A part of I8: what receivables set off is what settlement posted, leg by leg; nothing was set off unasked (R14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tributary.verify.result import Result
from tributary.verify.snapshots import World

_BATCH = 1_000
_NETTINGS = """
SELECT n.netting_id, n.state,
    ARRAY(SELECT receivable_id || ' ' || amount_minor FROM netting_leg l WHERE l.netting_id = n.netting_id
        ORDER BY receivable_id COLLATE "C") AS legs,
    ARRAY(SELECT receivable_id || ' ' || amount_minor FROM netting_offset o WHERE o.netting_id = n.netting_id
        ORDER BY receivable_id COLLATE "C") AS offsets,
    (SELECT max(accepted_at) FROM netting_party p WHERE p.netting_id = n.netting_id) AS since
FROM netting n
"""
_FELL = """
SELECT s.netting_id, s.refused,
    ARRAY(SELECT receivable_id || ' ' || amount_minor FROM dilution d WHERE d.reference = 'netting/' || s.netting_id
        ORDER BY receivable_id COLLATE "C") AS legs
FROM set_off s WHERE s.netting_id = ANY($1)
"""
_SET_OFF = "SELECT netting_id FROM set_off WHERE NOT refused"
_STATES = "SELECT netting_id, state FROM netting WHERE netting_id = ANY($1)"


async def check_set_offs(world: World, result: Result) -> None:
    """Compare both sides of each netting; receivables is read later, and so is ahead of what settlement has posted."""
    nettings: list[Mapping[str, Any]] = []
    async for row in world.state["settlement"].pg.cursor(_NETTINGS, prefetch=_BATCH):
        nettings.append(row)
        if len(nettings) == _BATCH:
            await _compare(world, nettings, result)
            nettings = []
    await _compare(world, nettings, result)
    ids = [row["netting_id"] async for row in world.state["receivables"].pg.cursor(_SET_OFF, prefetch=_BATCH)]
    rows = await world.outboxes["settlement"].pg.fetch(_STATES, ids)
    states = {row["netting_id"]: row["state"] for row in rows}
    for netting_id in ids:
        if states.get(netting_id) not in {"accepted", "settled"}:
            result.violate(f"netting {netting_id} was set off though it is {states.get(netting_id, 'unknown')}")


async def _compare(world: World, nettings: Sequence[Mapping[str, Any]], result: Result) -> None:
    rows = await world.outboxes["receivables"].pg.fetch(_FELL, [row["netting_id"] for row in nettings])
    fell = {row["netting_id"]: row for row in rows}
    for netting in nettings:
        result.checked += 1
        netting_id, answer = netting["netting_id"], fell.get(netting["netting_id"])
        if answer is not None and not answer["refused"] and answer["legs"] != netting["legs"]:
            result.violate(f"netting {netting_id}: what fell differs from its legs")
        if answer is not None and answer["refused"] and answer["legs"]:
            result.violate(f"netting {netting_id} was refused, and debts fell")
        if netting["state"] == "accepted":
            result.fly(f"netting {netting_id} waits to be set off", age_s=world.age_s(netting["since"]))
        elif netting["state"] == "settled" and (answer is None or answer["refused"]):
            result.violate(f"netting {netting_id} is settled though no debt fell")
        posted = netting["legs"] if netting["state"] == "settled" else []
        if netting["offsets"] != posted:
            result.violate(f"netting {netting_id} is {netting['state']} and has other offsets than its legs")
