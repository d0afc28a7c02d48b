"""The business state of a town in canonical form: names in place of ids, no time of day; and when a town is quiet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from services.credit import consumers as credit
from services.receivables import consumers as receivables
from services.settlement import consumers as settlement
from shared.events.topics import TOPICS
from tests.faults.town import Town
from tributary.services import SERVICES

_CONSUMED: Mapping[str, Sequence[str]] = {
    "credit": credit.TOPICS,
    "receivables": receivables.TOPICS,
    "settlement": settlement.TOPICS,
    "console": list(TOPICS),
}
_LOOK_S = 0.05
_QUERIES: Mapping[tuple[str, str], str] = {
    ("credit", "node"): """SELECT node_id, sanctioned_minor, held_minor, utilised_minor,
        (SELECT count(*) FROM overuse o WHERE o.node_id = n.node_id AND until IS NULL) FROM limit_node n""",
    ("credit", "line"): "SELECT line_id, tier, cap_minor, drawable, reasons FROM line",
    ("credit", "drawdown"): """SELECT drawdown_id, line_id, state, form, principal_minor, exposure_minor,
        disbursed_minor, outstanding_minor, used_minor, fee_minor, rate, start_date, maturity_date, reason, incident
        FROM drawdown""",
    ("credit", "document"): "SELECT document_id, owner_id, eligible_minor, state FROM document",
    ("credit", "document use"): "SELECT document_id, drawdown_id FROM document_use",
    ("credit", "reinstatement"): """SELECT drawdown_id, count(*), sum(principal_minor), sum(exposure_minor)
        FROM reinstatement GROUP BY 1""",
    ("receivables", "receivable"): """SELECT receivable_id, state, payable_minor, financeable_minor, paid_minor,
        drawdown_id FROM receivable""",
    ("receivables", "dilution"): "SELECT receivable_id, reference, amount_minor FROM dilution",
    ("receivables", "assignment"): "SELECT drawdown_id, state, code FROM assignment",
    ("receivables", "notice"): "SELECT drawdown_id, obligor_id, count(*) FROM notice GROUP BY 1, 2",
    ("settlement", "loan"): """SELECT loan_id, state, principal_minor, paid_out_minor, holdback_minor,
        outstanding_minor, received_minor, interest_minor, interest_paid_minor, penalty_minor, fee_minor,
        disbursed_date, closed_date, maturity_date, accrued_through FROM loan""",
    ("settlement", "payment"): """SELECT loan_id, purpose, state, amount_minor, value_date, account FROM payment""",
    ("settlement", "rail"): """SELECT p.loan_id, r.account, r.amount_minor, r.outcome
        FROM rail_payment r JOIN payment p USING (end_to_end_id)""",
    ("settlement", "ledger"): """SELECT account, currency, sum(debit_minor - credit_minor) FROM ledger_posting
        GROUP BY 1, 2""",
    ("settlement", "ledger transaction"): """SELECT kind, loan_id, value_date, posting_date, count(*)
        FROM ledger_transaction GROUP BY 1, 2, 3, 4""",
    ("settlement", "statement"): """SELECT entry_id, loan_id, outcome, amount_minor, principal_minor, interest_minor,
        surplus_minor, suspense_minor FROM statement_entry""",
    ("settlement", "book"): "SELECT open_date FROM book",
}
_PARKED = "SELECT topic, subject, sequence, reason, error FROM inbox_parked"


async def state_of(town: Town) -> list[str]:
    """Return the business state, a line a fact, sorted: equal towns have equal lines."""
    names = await _names(town)
    lines = []
    for (service, noun), statement in _QUERIES.items():
        rows = await town.databases[service].fetch(statement)
        lines += [f"{noun} {json.dumps([_plain(each, names) for each in row])}" for row in rows]
    return sorted(lines)


def digest(lines: Sequence[str]) -> str:
    """Return the hash of a state."""
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


async def quiet(town: Town, *, within_s: float = 60) -> None:
    """Return when everything said was heard and nothing is under way; TimeoutError when that takes too long."""
    async with asyncio.timeout(within_s):
        # Twice: what was due at the first look is done by its end, and what it said is seen at the second.
        while await _under_way(town) or await _under_way(town):
            await asyncio.sleep(_LOOK_S)


async def parked(town: Town) -> list[str]:
    """Return what is parked anywhere."""
    return [f"{name} {tuple(row)}" for name in _CONSUMED for row in await town.databases[name].fetch(_PARKED)]


async def _under_way(town: Town) -> bool:
    told: dict[str, int] = {}
    for service in SERVICES:
        database = town.databases[service]
        if await database.fetchval("SELECT EXISTS (SELECT FROM outbox_pending)"):
            return True
        told |= await _sequences(town, service, "outbox_head")
    for service, topics in _CONSUMED.items():
        heard = await _sequences(town, service, "inbox_head")
        if any(heard.get(topic, 0) < told.get(topic, 0) for topic in topics):
            return True
    return (
        bool(
            await town.databases["credit"].fetchval(
                """SELECT EXISTS (SELECT FROM drawdown WHERE state IN ('held', 'approved'))
                OR EXISTS (SELECT FROM due_propagation) OR EXISTS (SELECT FROM due_input)
                OR EXISTS (SELECT FROM generation)"""
            )
        )
        or bool(
            await town.databases["receivables"].fetchval(
                """SELECT EXISTS (SELECT FROM goods WHERE state IN ('agreed', 'releasing')
                OR state IN ('pledged', 'assigned', 'financed') AND appraised_date < (SELECT open_date FROM book))"""
            )
        )
        or bool(
            await town.databases["settlement"].fetchval(
                "SELECT EXISTS (SELECT FROM payment WHERE state IN ('due', 'sent', 'unknown'))"
            )
        )
    )


async def _sequences(town: Town, service: str, heads: str) -> dict[str, int]:
    rows = await town.databases[service].fetch(f"SELECT topic, sum(sequence)::bigint AS many FROM {heads} GROUP BY 1")  # noqa: S608 - one of two names of ours
    return {row["topic"]: row["many"] for row in rows}


async def _names(town: Town) -> dict[str, str]:
    market = town.market
    names = {value: name for name, value in market.ids.items()}
    names |= {value: f"line of {name}" for name, value in market.lines.items()}
    names |= {value: name for name, value in market.receivables.items()}
    names[market.programme_id] = "programme"
    rows = await town.databases["credit"].fetch("SELECT drawdown_id, command_key FROM drawdown")
    return names | {row["drawdown_id"]: row["command_key"] for row in rows}


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for part in value.split("/"):
            value = value.replace(part, names.get(part, part))
        return value
    return value if isinstance(value, (int, bool, type(None))) else str(value)
