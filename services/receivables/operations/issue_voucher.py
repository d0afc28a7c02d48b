"""Issue a voucher (应收账款电子凭证) over a confirmed payable: it replaces the receivable beneath it."""

from __future__ import annotations

from typing import Any

from services.receivables.domain.receivables import NotPossible, Step, advance, told
from services.receivables.domain.slices import check_issuance, check_term, whole
from services.receivables.operations.locking import Row, UnknownProgramme, lock_receivable
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import Slice, VoucherIssued
from shared.messaging.outbox import append
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.ids import new_id
from shared.values.money import Amount, CurrencyMismatch
from shared.values.policies import policy_on
from shared.web.auth import ForeignParty

KIND = "voucher"

_OUTSTANDING = """
SELECT coalesce(sum(s.end_minor - s.start_minor), 0)::bigint FROM voucher v JOIN slice s USING (root_id)
WHERE v.programme_id = $1 AND s.state IN ('live', 'offered', 'assigned', 'financed')
"""


async def propose_voucher(
    tx: Transaction, *, programme_id: str, receivable_id: str, party: str, actor: str
) -> dict[str, Any]:
    """Propose to issue a voucher; a checker of the same anchor decides."""
    await _issuable(tx, programme_id=programme_id, receivable_id=receivable_id, party=party)
    content = {"programme_id": programme_id, "receivable_id": receivable_id}
    proposal = await propose(tx, kind=KIND, subject=receivable_id, content=content, proposer=actor, party=party)
    await record(tx, [Entry(actor, "voucher.proposed", receivable_id, content)])
    return proposal.wire()


async def issue(tx: Transaction, approval: Approval) -> None:
    """Issue what was approved: one slice of the whole face, held by the seller."""
    content = approval.content
    row = await _issuable(
        tx,
        programme_id=content["programme_id"],
        receivable_id=content["receivable_id"],
        party=approval.party or "",
    )
    root_id = new_id()
    piece = whole(slice_id=new_id(), face_minor=row["financeable_minor"], holder_id=row["seller_id"])
    await tx.pg.execute(
        """INSERT INTO voucher (root_id, programme_id, obligor_id, receivable_id, currency, face_minor, maturity_date)
        VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        *(root_id, content["programme_id"], row["obligor_id"], row["receivable_id"]),
        *(row["currency"], piece.size_minor, row["due_date"]),
    )
    await tx.pg.execute(
        "INSERT INTO slice (slice_id, root_id, start_minor, end_minor, holder_id, state) VALUES ($1,$2,$3,$4,$5,$6)",
        *(piece.slice_id, root_id, piece.start_minor, piece.end_minor, piece.holder_id, piece.state.value),
    )
    await tx.pg.execute("UPDATE receivable SET vouchered = true WHERE receivable_id = $1", row["receivable_id"])
    event = VoucherIssued(
        root_id=root_id,
        programme_id=content["programme_id"],
        obligor_id=row["obligor_id"],
        receivable_id=row["receivable_id"],
        face=Amount.of(amount_minor=piece.size_minor, currency=row["currency"]),
        maturity_date=row["due_date"],
        slice=Slice(
            slice_id=piece.slice_id, start_minor=0, end_minor=piece.end_minor, holder_id=piece.holder_id, state="live"
        ),
    )
    await append(tx, [event], source=SOURCE)


async def _issuable(tx: Transaction, *, programme_id: str, receivable_id: str, party: str) -> Row:
    """Lock the programme, then the receivable; refuse what is not the anchor's, not free, or above its limits."""
    programme = await tx.pg.fetchrow(
        "SELECT * FROM programme WHERE programme_id = $1 AND active FOR NO KEY UPDATE", programme_id
    )
    if programme is None:
        raise UnknownProgramme(programme_id=programme_id)
    row = await lock_receivable(tx, receivable_id=receivable_id)
    if party not in {programme["anchor_id"]} & {row["obligor_id"]}:
        raise ForeignParty
    if row["currency"] != programme["currency"]:
        raise CurrencyMismatch(expected=programme["currency"], found=row["currency"])
    advance(document_id=receivable_id, state=told(row["state"]), asked=Step.VOUCHER)
    for why in ("vouchered", "disputed"):
        if row[why]:
            raise NotPossible(document_id=receivable_id, state=why, asked=str(Step.VOUCHER))
    whole(slice_id=receivable_id, face_minor=row["financeable_minor"], holder_id=row["seller_id"])
    today = await tx.pg.fetchval("SELECT open_date FROM book")
    if today is not None and row["due_date"] <= today:
        raise NotPossible(document_id=receivable_id, state="matured", asked=str(Step.VOUCHER))
    if today is not None:
        most = policy_on("intake", on=today).values["voucher_days_at_most"]
        check_term(issued_on=today, maturity_date=row["due_date"], most_days=most)
    check_issuance(
        limit_minor=programme["issuance_limit_minor"],
        outstanding_minor=await tx.pg.fetchval(_OUTSTANDING, programme_id),
        face_minor=row["financeable_minor"],
        currency=row["currency"],
    )
    return row
