"""Assign documents to drawdowns: locked in id order, all or none, first wins; filed, notified, then told to credit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.receivables.domain.assigning import (
    Candidate,
    Notice,
    Refusal,
    claim_asset,
    slice_asset,
    why_not,
    write_notice,
)
from services.receivables.domain.goods import quantity_text, secured_asset
from services.receivables.domain.orders import drawer_of, order_asset
from services.receivables.domain.receivables import Assignment
from services.receivables.operations.locking import Row, lock_goods, lock_orders, lock_receivables, lock_slices
from services.receivables.operations.match_orders import not_financeable
from services.receivables.operations.movables_registry import Filed, FiledBefore, Filing, MovablesRegistry
from services.receivables.operations.register import register
from services.receivables.operations.sightings import held_back
from services.receivables.operations.take_documents import SOURCE
from shared.events.credit import DrawdownHeld
from shared.events.envelope import Event, Received
from shared.events.onboarding import ProgrammeEvent
from shared.events.receivables import AssignmentRefused, DocumentsAssigned
from shared.messaging.applying import NotYet
from shared.messaging.outbox import append
from shared.runtime.clock import database_now
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.ids import new_id
from shared.values.money import Money

_KEEP = """
INSERT INTO assignment (drawdown_id, programme_id, enterprise_id, obligor_id, state, documents, code, reason,
    registry_reference, registered_at)
SELECT drawdown_id, programme_id, enterprise_id, obligor_id, state, documents::jsonb, code, reason, reference, filed_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::timestamptz[]) AS d(drawdown_id, programme_id, enterprise_id, obligor_id, state, documents, code, reason,
        reference, filed_at)
"""
_TAKE_RECEIVABLES = """
UPDATE receivable r SET state = 'assigned', drawdown_id = d.drawdown_id
FROM unnest($1::text[], $2::text[]) AS d(document_id, drawdown_id) WHERE r.receivable_id = d.document_id
"""
_TAKE_SLICES = """
UPDATE slice s SET state = 'assigned', drawdown_id = d.drawdown_id
FROM unnest($1::text[], $2::text[]) AS d(document_id, drawdown_id) WHERE s.slice_id = d.document_id
"""
_TAKE_ORDERS = """
UPDATE trade_order o SET state = 'assigned', drawdown_id = d.drawdown_id
FROM unnest($1::text[], $2::text[]) AS d(document_id, drawdown_id) WHERE o.order_id = d.document_id
"""
_TAKE_GOODS = """
UPDATE goods g SET state = 'assigned', drawdown_id = d.drawdown_id
FROM unnest($1::text[], $2::text[]) AS d(document_id, drawdown_id) WHERE g.goods_id = d.document_id
"""
_NOTIFY = """
INSERT INTO notice (notice_id, drawdown_id, obligor_id, body, digest, notified_at)
SELECT n.*, $6 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS n
"""


@dataclass(slots=True)
class _Plan:
    """What becomes of one held drawdown."""

    held: DrawdownHeld
    refusal: Refusal | None
    filed: Filed | None = None
    notice: Notice | None = None

    @property
    def state(self) -> Assignment:
        """Return where the assignment stands; of a drawdown on the rating alone there is nothing to assign."""
        if self.refusal is not None:
            return Assignment.REFUSED
        return Assignment.ASSIGNED if self.held.documents else Assignment.NOTHING


async def assign_documents(tx: Transaction, events: Sequence[Received], *, registry: MovablesRegistry) -> None:
    """Assign each held drawdown's documents, or refuse and say why; no disbursement before.

    A drawdown without documents is kept, so that its loan is known, and waits for nothing.
    """
    held = [event.event for event in events if isinstance(event.event, DrawdownHeld)]
    done = await tx.pg.fetch(
        "SELECT drawdown_id FROM assignment WHERE drawdown_id = ANY($1)", [each.drawdown_id for each in held]
    )
    known = {row["drawdown_id"] for row in done}
    held = [each for each in held if each.drawdown_id not in known]
    accounts = await _collection_accounts(tx, held)
    candidates = await _lock(tx, held)
    plans = _decide(held, candidates)
    now = await database_now(tx)
    free = [plan for plan in plans if plan.state is Assignment.ASSIGNED]
    filings = [_filing(plan.held, candidates) for plan in free]
    for plan, answer in zip(free, await registry.file(filings, at=now), strict=True):
        if isinstance(answer, FiledBefore):
            plan.refusal = Refusal("registered_before", f"{answer.asset} is registered for {answer.drawdown_id}.")
        else:
            plan.filed = answer
            plan.notice = _notice(plan.held, candidates, accounts[plan.held.programme_id], answer)
    # An earlier attempt may have filed and then failed; what is refused now stands in nobody's way.
    await registry.discharge([plan.held.drawdown_id for plan in plans if plan.refusal is not None], at=now)
    await _keep(tx, plans)
    assigned = [plan for plan in plans if plan.state is Assignment.ASSIGNED]
    await _take(tx, assigned)
    await register(tx, {plan.held.drawdown_id: plan.filed for plan in assigned if plan.filed is not None})
    notices = [(plan.held, plan.notice) for plan in assigned if plan.notice is not None]
    await tx.pg.execute(
        _NOTIFY,
        [new_id() for _ in notices],
        [each.drawdown_id for each, _ in notices],
        [each.obligor_id for each, _ in notices],
        [notice.body for _, notice in notices],
        [notice.digest for _, notice in notices],
        now,
    )
    said: list[Event] = []
    for plan in plans:
        if plan.filed is not None and plan.notice is not None:
            said.append(
                DocumentsAssigned(
                    drawdown_id=plan.held.drawdown_id,
                    documents=plan.held.documents,
                    registry_reference=plan.filed.reference,
                    registered_at=plan.filed.filed_at,
                    notified_at=now,
                    notice_digest=plan.notice.digest,
                )
            )
        elif plan.refusal is not None:
            refusal = plan.refusal
            said.append(AssignmentRefused(drawdown_id=plan.held.drawdown_id, code=refusal.code, reason=refusal.reason))
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry("credit", each.type.removesuffix(".v1"), each.subject, {}) for each in said])


def _decide(held: Sequence[DrawdownHeld], candidates: Mapping[tuple[str, str], Candidate]) -> list[_Plan]:
    """Return what becomes of each drawdown, in their order: all documents or none, and a document once."""
    taken: set[tuple[str, str]] = set()
    plans = []
    for each in held:
        names = [(document.kind, document.document_id) for document in each.documents]
        refusal: Refusal | None = None
        for document, name in zip(each.documents, names, strict=True):
            if name in taken or names.count(name) > 1:
                refusal = refusal or Refusal("document_in_use", f"The document {name[1]} is taken already.")
            refusal = refusal or why_not(
                candidates.get(name),
                document_id=document.document_id,
                amount=document.amount.money(),
                enterprise_id=each.enterprise_id,
                obligor_id=each.obligor_id,
            )
        if refusal is None:
            taken.update(names)
        plans.append(_Plan(each, refusal))
    return plans


async def _collection_accounts(tx: Transaction, held: Sequence[DrawdownHeld]) -> dict[str, str]:
    """Return the designated collection account of each programme; NotYet when one has not arrived here."""
    wanted = sorted({each.programme_id for each in held})
    rows = await tx.pg.fetch(
        "SELECT programme_id, collection_account FROM programme WHERE programme_id = ANY($1)", wanted
    )
    found = {row["programme_id"]: row["collection_account"] for row in rows}
    for programme_id in wanted:
        if programme_id not in found:
            raise NotYet(topic=ProgrammeEvent.topic, subject=programme_id)
    return found


async def _lock(tx: Transaction, held: Sequence[DrawdownHeld]) -> dict[tuple[str, str], Candidate]:
    documents = [document for each in held for document in each.documents]
    # Orders before the receivables that they turn into, as everywhere.
    orders = await lock_orders(tx, [document.document_id for document in documents if document.kind == "order"])
    receivables = await lock_receivables(
        tx, [document.document_id for document in documents if document.kind == "receivable"]
    )
    slices = await lock_slices(tx, [document.document_id for document in documents if document.kind == "slice"])
    goods = await lock_goods(tx, [document.document_id for document in documents if document.kind == "goods"])
    found = {("order", key): _order(row) for key, row in orders.items()}
    unmatched = await not_financeable(tx, receivables)
    # A slice is held back with the receivable beneath it.
    back = await held_back(tx, {*receivables, *(row["receivable_id"] for row in slices.values())})
    found |= {
        ("receivable", key): _receivable(row, unmatched=key in unmatched, back=key in back)
        for key, row in receivables.items()
    }
    found |= {("slice", key): _slice(row, back=row["receivable_id"] in back) for key, row in slices.items()}
    return found | {("goods", key): _goods(row) for key, row in goods.items()}


def _order(row: Row) -> Candidate:
    return Candidate(
        document_id=row["order_id"],
        asset=order_asset(seller_id=row["seller_id"], buyer_id=row["buyer_id"], number_key=row["number_key"]),
        label=f"order {row['number']} of {row['issue_date']} and the invoices that cite it",
        # Who confirmed it is not who draws on it.
        drawers=frozenset({drawer_of(side=row["side"], seller_id=row["seller_id"], buyer_id=row["buyer_id"])}),
        obligor_id=row["buyer_id"],
        financeable=Money(row["open_minor"], row["currency"]),
        state=row["state"],
    )


def _receivable(row: Row, *, unmatched: bool, back: bool) -> Candidate:
    return Candidate(
        document_id=row["receivable_id"],
        asset=claim_asset(seller_id=row["seller_id"], number_key=row["number_key"], issue_year=row["issue_year"]),
        label=f"invoice {row['number']} of {row['issue_date']}",
        # Downstream the distributor, who owes, draws on its anchor's sales invoice.
        drawers=frozenset({row["seller_id"], row["obligor_id"]}),
        obligor_id=row["obligor_id"],
        financeable=Money(row["financeable_minor"], row["currency"]),
        state=row["state"],
        vouchered=row["vouchered"],
        disputed=row["disputed"],
        unmatched=unmatched,
        held_back=back,
    )


def _slice(row: Row, *, back: bool) -> Candidate:
    interval = f"[{row['start_minor']}, {row['end_minor']})"
    return Candidate(
        document_id=row["slice_id"],
        asset=slice_asset(slice_id=row["slice_id"]),
        label=f"voucher {row['root_id']} {interval}",
        drawers=frozenset({row["holder_id"]}),
        obligor_id=row["obligor_id"],
        financeable=Money(row["end_minor"] - row["start_minor"], row["currency"]),
        state=row["state"],
        held_back=back,
    )


def _goods(row: Row) -> Candidate:
    quantity = f"{quantity_text(row['quantity_milli'] - row['released_milli'])} {row['unit']}"
    return Candidate(
        document_id=row["goods_id"],
        # The pledge itself is filed; under it stands the one loan that it secures.
        asset=secured_asset(goods_id=row["goods_id"]),
        label=f"{quantity} of {row['item']}, receipt {row['number']} of {row['warehouse']}, pledged and kept there",
        drawers=frozenset({row["owner_id"]}),
        obligor_id=row["owner_id"],
        financeable=Money(row["eligible_minor"], row["currency"]),
        state=row["state"],
    )


def _filing(held: DrawdownHeld, candidates: Mapping[tuple[str, str], Candidate]) -> Filing:
    assets = tuple(candidates[each.kind, each.document_id].asset for each in held.documents)
    return Filing(held.drawdown_id, held.enterprise_id, held.obligor_id, assets)


def _notice(
    held: DrawdownHeld, candidates: Mapping[tuple[str, str], Candidate], collection_account: str, filed: Filed
) -> Notice:
    return write_notice(
        drawdown_id=held.drawdown_id,
        obligor_id=held.obligor_id,
        collection_account=collection_account,
        documents=[(candidates[each.kind, each.document_id].label, each.amount.money()) for each in held.documents],
        reference=filed.reference,
    )


async def _keep(tx: Transaction, plans: Sequence[_Plan]) -> None:
    await tx.pg.execute(
        _KEEP,
        [plan.held.drawdown_id for plan in plans],
        [plan.held.programme_id for plan in plans],
        [plan.held.enterprise_id for plan in plans],
        [plan.held.obligor_id for plan in plans],
        [plan.state for plan in plans],
        [json.dumps([each.model_dump(mode="json") for each in plan.held.documents]) for plan in plans],
        [plan.refusal.code if plan.refusal else None for plan in plans],
        [plan.refusal.reason if plan.refusal else None for plan in plans],
        [plan.filed.reference if plan.filed else None for plan in plans],
        [plan.filed.filed_at if plan.filed else None for plan in plans],
    )


async def _take(tx: Transaction, plans: Sequence[_Plan]) -> None:
    taking = {"order": _TAKE_ORDERS, "receivable": _TAKE_RECEIVABLES, "slice": _TAKE_SLICES, "goods": _TAKE_GOODS}
    for kind, statement in taking.items():
        pairs = [
            (document.document_id, plan.held.drawdown_id)
            for plan in plans
            for document in plan.held.documents
            if document.kind == kind
        ]
        await tx.pg.execute(statement, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
