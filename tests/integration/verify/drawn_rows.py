"""The drawdowns as rows: what credit, receivables and settlement have once they heard of each other."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from services.credit.domain.paths import Level
from services.credit.operations.hold_rows import ROUTE
from shared.events.credit import DrawdownEvent
from shared.events.settlement import CollectionReceived, LoanEvent
from shared.messaging.outbox import append
from shared.storage.database import Database, Transaction
from tests.integration.verify.drawn import (
    DAY,
    DOWNSTREAM,
    DRAWS,
    DUE,
    UPSTREAM,
    Draw,
    cny,
    document_of,
    drawdown_events,
    loan_events,
)


async def draw(databases: dict[str, Database]) -> None:
    """Write what the three services know of the drawdowns."""
    async with databases["credit"].transaction() as tx:
        await _limits(tx)
        for each in DRAWS:
            await _drawn(tx, each)
        await _heard(tx, LoanEvent.topic, {each.name: len(loan_events(each)) for each in DRAWS if each.instructed})
    async with databases["receivables"].transaction() as tx:
        await _documents(tx)
        await _heard(tx, DrawdownEvent.topic, {each.name: len(drawdown_events(each)) for each in DRAWS})
    async with databases["settlement"].transaction() as tx:
        for each in DRAWS:
            if each.instructed:
                await _lent(tx, each)
        await _heard(tx, DrawdownEvent.topic, {each.name: len(drawdown_events(each)) for each in DRAWS})


async def insert(tx: Transaction, table: str, **row: Any) -> None:
    """Insert a row; lists and dictionaries are JSON."""
    values = [json.dumps(value) if isinstance(value, list | dict) else value for value in row.values()]
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await tx.pg.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *values)  # noqa: S608 - names from this file


async def _heard(tx: Transaction, topic: str, sequences: dict[str, int]) -> None:
    for subject, sequence in sequences.items():
        await insert(tx, "inbox_head", topic=topic, subject=subject, sequence=sequence)


async def _limits(tx: Transaction) -> None:
    """The programme is short by its floors; the group was cut below its use, and says so."""
    await insert(
        tx,
        "programme",
        programme_id="p1",
        name="p1",
        anchor_id="anchor",
        group_head_id="anchor",
        currency="CNY",
        terms={"advance_rate": "1.000000"},
        pool_minor=300_000,
    )
    for line, floor in (("l1", 250_000), ("l2", 60_000)):
        await insert(
            tx,
            "line",
            line_id=line,
            programme_id="p1",
            enterprise_id=line,
            direction="upstream",
            anchor_support=0,
            floor_minor=floor,
            reserved_minor=floor,
            cap_minor=floor,
        )
    held, used = defaultdict[str, int](int), defaultdict[str, int](int)
    for each in DRAWS:
        for step in each.path:
            if each.state in {"held", "referred", "approved"}:
                held[step.node_id] += step.carries(each.exposure)
            used[step.node_id] += step.carries(each.left)
    for step in {*UPSTREAM, *DOWNSTREAM[2:]}:
        short = 1 if step.level is Level.GROUP else 0
        await insert(
            tx,
            "limit_node",
            node_id=step.node_id,
            level=int(step.level),
            currency="CNY",
            sanctioned_minor=held[step.node_id] + used[step.node_id] - short,
            held_minor=held[step.node_id],
            utilised_minor=used[step.node_id],
        )
    since = datetime(2999, 1, 1, tzinfo=UTC)
    await insert(tx, "overuse", overuse_id="o1", node_id="group/anchor/CNY", cause="limit_changed", since=since)


async def _drawn(tx: Transaction, each: Draw) -> None:
    await insert(
        tx,
        "document",
        document_id=f"doc-{each.name}",
        kind="receivable",
        owner_id="l1",
        obligor_id="anchor",
        eligible_minor=each.exposure,
        currency="CNY",
        due_date=DUE,
        state="confirmed",
    )
    await insert(
        tx,
        "drawdown",
        drawdown_id=each.name,
        line_id=each.path[-1].node_id.removeprefix("line/"),
        programme_id="p1",
        enterprise_id="l1",
        obligor_id="anchor",
        state=each.state,
        form=each.form,
        currency="CNY",
        principal_minor=each.exposure,
        face_minor=each.exposure,
        exposure_minor=each.exposure,
        disbursed_minor=each.exposure if each.paid_out else 0,
        outstanding_minor=each.left,
        used_minor=each.left,
        fee_minor=0,
        rate=0,
        penalty_rate=0,
        day_count="ACT/360",
        start_date=DAY,
        due_date=DUE,
        maturity_date=DUE,
        documents=[document_of(each).model_dump()],
        path=[[int(step.level), step.node_id, step.share] for step in each.path],
        purpose="stock",
        policy_version="1",
        product="receivables_discounting",
        product_version="1",
        expires_at=datetime(2999, 1, 1, tzinfo=UTC),
        command_client="sme",
        command_key=f"key-{each.name}",
    )
    answered = {"client": "sme", "route": ROUTE, "key": f"key-{each.name}", "body_hash": b"", "status": 201}
    await insert(tx, "idempotency", **answered, body="{}")
    if each.repaid:
        await insert(
            tx,
            "reinstatement",
            event_id=f"repaid-{each.name}",
            drawdown_id=each.name,
            principal_minor=each.repaid,
            exposure_minor=each.repaid,
        )
    await append(tx, drawdown_events(each), source="credit")


async def _lent(tx: Transaction, each: Draw) -> None:
    states = {"approved": "instructed", "utilised": "disbursed", "repaid": "closed"}
    names = ("programme_id", "enterprise_id", "obligor_id", "payee_id", "collection_account", "seller_account")
    nothing = ("fee_minor", "discount_minor", "holdback_minor", "rate", "penalty_rate", "grace_days")
    await insert(
        tx,
        "loan",
        loan_id=each.name,
        **dict.fromkeys(names, "x"),
        **dict.fromkeys(nothing, 0),
        form=each.form,
        currency="CNY",
        principal_minor=each.exposure,
        face_minor=each.exposure,
        paid_out_minor=each.exposure,
        day_count="ACT/360",
        interest_payer="seller",
        recourse=True,
        document_due_date=DUE,
        maturity_date=DUE,
        end_to_end_id=f"e2e-{each.name}",
        state=states[each.state],
        outstanding_minor=each.left,
        disbursed_date=DAY if each.paid_out else None,
    )
    paid = {"billed_minor": 0, "settled_date": DUE} if each.state == "repaid" else {}
    await insert(tx, "instalment", loan_id=each.name, nth=1, due_date=DUE, principal_minor=each.exposure, **paid)
    if each.paid_out:
        await insert(tx, "loan_balance", loan_id=each.name, nth=1, from_date=DAY, outstanding_minor=each.left)
    asset = "loans_receivable" if each.form == "loan" else "purchased_receivables"
    if each.paid_out:
        await _book(tx, each, kind="disbursement", debit=asset, credit="nostro", minor=each.exposure)
    if each.repaid:
        await _book(tx, each, kind="collection", debit="nostro", credit=asset, minor=each.repaid)
        await _received(tx, each)
    await append(tx, loan_events(each), source="settlement")


async def _book(tx: Transaction, each: Draw, *, kind: str, debit: str, credit: str, minor: int) -> None:
    transaction_id = f"{kind}-{each.name}"
    await insert(
        tx,
        "ledger_transaction",
        transaction_id=transaction_id,
        kind=kind,
        loan_id=each.name,
        currency="CNY",
        value_date=DAY,
        posting_date=DAY,
        reference=f"c-{each.name}" if kind == "collection" else f"e2e-{each.name}",
    )
    await tx.pg.execute(
        """INSERT INTO ledger_posting (transaction_id, line, account, currency, debit_minor, credit_minor)
        VALUES ($1, 1, $2, 'CNY', $4, 0), ($1, 2, $3, 'CNY', 0, $4)""",
        *(transaction_id, debit, credit, minor),
    )


async def _received(tx: Transaction, each: Draw) -> None:
    await insert(
        tx,
        "statement_entry",
        account="COLLECT",
        entry_id=f"entry-{each.name}",
        collection_id=f"c-{each.name}",
        loan_id=each.name,
        outcome="collected",
        direction="credit",
        currency="CNY",
        amount_minor=each.repaid,
        value_date=DUE,
        applied_date=DUE,
        reference=each.name,
        principal_minor=each.repaid,
        recorded_by="maker",
    )
    said = {"account": "COLLECT", "value_date": DUE, "reference": each.name}
    amounts = {"received": cny(each.repaid), "applied": cny(each.repaid), "unmatched": cny(0)}
    await append(tx, [CollectionReceived(collection_id=f"c-{each.name}", **said, **amounts)], source="settlement")


async def _documents(tx: Transaction) -> None:
    """Each drawdown's receivable, one that is free, and a voucher of three slices of which one was replaced."""
    for firm in ("anchor", "l1", "l2"):
        await insert(tx, "enterprise", enterprise_id=firm, name=firm, name_key=firm)
    await insert(
        tx,
        "programme",
        programme_id="p1",
        anchor_id="anchor",
        currency="CNY",
        issuance_limit_minor=1_000_000,
        collection_account="COLLECT",
        matching_policy="matching",
    )
    for nth, each in enumerate(DRAWS):
        state = {"utilised": "financed", "repaid": "settled", "released": "confirmed"}.get(each.state, "assigned")
        await _receivable(tx, each.name, nth, state, each.name if state in {"assigned", "financed"} else None)
        known = {"utilised": "financed", "repaid": "settled", "released": "freed"}.get(each.state, "assigned")
        await insert(
            tx,
            "assignment",
            drawdown_id=each.name,
            programme_id="p1",
            enterprise_id="l1",
            obligor_id="anchor",
            state=known,
            documents=[document_of(each).model_dump()],
            registry_reference=f"reg-{each.name}",
        )
        for kind in ("registration", "discharge")[: 2 if known in {"settled", "freed"} else 1]:
            entry = {"kind": kind, "drawdown_id": each.name, "reference": f"reg-{each.name}", "statement": {}}
            await insert(tx, "register_entry", **entry, at=datetime.now(UTC))
    await _receivable(tx, "vouchered", 100, "confirmed", None, vouchered=True)
    await insert(
        tx,
        "voucher",
        root_id="root",
        programme_id="p1",
        obligor_id="anchor",
        receivable_id="doc-vouchered",
        currency="CNY",
        face_minor=100,
        maturity_date=DUE,
    )
    for name, start, end, state in (("s0", 0, 100, "replaced"), ("s1", 0, 60, "live"), ("s2", 60, 100, "paid")):
        place = {"root_id": "root", "start_minor": start, "end_minor": end}
        await insert(tx, "slice", slice_id=name, **place, holder_id="l1", state=state)


async def _receivable(
    tx: Transaction, name: str, nth: int, state: str, drawdown_id: str | None, *, vouchered: bool = False
) -> None:
    texts = ("document_type", "syntax", "profile", "file", "order_reference", "policy_version")
    await insert(
        tx,
        "receivable",
        **dict.fromkeys(texts, "x"),
        receivable_id=f"doc-{name}",
        seller_id="l1",
        obligor_id="anchor",
        number=f"INV{nth}",
        number_key=f"INV{nth}",
        issue_year=2026,
        issue_date=DAY,
        due_date=DUE,
        currency="CNY",
        payable_minor=100_000,
        financeable_minor=100_000,
        state=state,
        reasons=(),
        vouchered=vouchered,
        drawdown_id=drawdown_id,
    )
