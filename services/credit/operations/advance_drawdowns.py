"""Advance drawdowns by what receivables and settlement report (DOMAIN §5); late and repeated reports change nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from services.credit.domain.drawdowns import AlreadyApplied, Executed, Input, NotPossible, State, after_repayment, repay
from services.credit.operations.approve_drawdowns import WITHDRAWN, review, settle_reviews
from services.credit.operations.drawdown_rows import Drawdown, Locked, lock_drawdowns
from services.credit.operations.freeze_lines import end_overdue
from services.credit.operations.note_deficiencies import end_deficiencies, lessen_deficiencies, note_deficiencies
from services.credit.operations.product_quotas import use_up
from services.credit.operations.track_records import (
    borrowers_nodes,
    count_repaid,
    newcomers_nodes,
    note_drawn,
    reopened_nodes,
)
from shared.events.credit import DrawdownReinstated
from shared.events.envelope import Received
from shared.events.receivables import AssignmentRefused, DocumentsAssigned, DocumentsWithdrawn
from shared.events.settlement import DisbursementFailed, LoanClosed, LoanDisbursed, LoanRepaid
from shared.storage.database import Transaction, by_column

_UNPAID = {
    "enterprise_id": """SELECT drawdown_id FROM drawdown
        WHERE enterprise_id = ANY($1) AND state IN ('held', 'referred', 'approved')""",
    "programme_id": """SELECT drawdown_id FROM drawdown JOIN line USING (line_id)
        WHERE line.programme_id = ANY($1) AND state IN ('held', 'referred', 'approved')""",
}


async def approve_assigned(tx: Transaction, events: Sequence[Received]) -> None:
    """Approve what stays inside policy, refer the rest, release what is blocked meanwhile."""
    ids = [event.event.drawdown_id for event in events if isinstance(event.event, DocumentsAssigned)]
    # A dilution that came while the drawdown was being held saw no drawdown yet.
    await note_deficiencies(tx, drawdown_ids=ids)
    locked = await lock_drawdowns(tx, drawdown_ids=ids)
    waiting = [each for each in map(locked.find, ids) if each.state is State.HELD]
    settle_reviews(locked, await review(tx, locked, waiting))
    await save_with_ends(tx, locked, cause="assignment.documents_assigned")


async def release_refused(tx: Transaction, events: Sequence[Received]) -> None:
    """Release what receivables could not assign."""
    kept = [event.event for event in events if isinstance(event.event, AssignmentRefused)]
    locked = await lock_drawdowns(tx, drawdown_ids=[each.drawdown_id for each in kept])
    for each in kept:
        locked.advance(locked.find(each.drawdown_id), Input.REFUSED, reason=each.code)
    await save_with_ends(tx, locked, cause="assignment.refused")


async def stop_withdrawn(tx: Transaction, events: Sequence[Received]) -> None:
    """Release what stands on documents diluted since, or ask settlement to stop it; what was paid stays (DOMAIN §5)."""
    ids = [event.event.drawdown_id for event in events if isinstance(event.event, DocumentsWithdrawn)]
    locked = await lock_drawdowns(tx, drawdown_ids=ids)
    for drawdown_id in ids:
        locked.advance(locked.find(drawdown_id), Input.WITHDRAWN, reason=WITHDRAWN)
    await save_with_ends(tx, locked, cause="assignment.withdrawn")


async def utilise_disbursed(tx: Transaction, events: Sequence[Received]) -> None:
    """Turn holds into use; money that went out after a release is used too, with a shortfall and an incident."""
    kept = [event.event for event in events if isinstance(event.event, LoanDisbursed)]
    ids = [each.loan_id for each in kept]
    locked = await lock_drawdowns(tx, drawdown_ids=ids, node_ids=await newcomers_nodes(tx, drawdown_ids=ids))
    used, late = [], []
    for each in kept:
        drawdown = locked.find(each.loan_id)
        if drawdown.state in {State.HELD, State.REFERRED}:
            raise NotPossible(drawdown_id=each.loan_id, state=drawdown.state, asked="be disbursed")
        if drawdown.state in {State.APPROVED, State.CANCELLING, State.RELEASED}:
            drawdown.disbursed_minor = drawdown.outstanding_minor = each.principal.minor
            drawdown.used_minor = drawdown.exposure_minor
        done = locked.advance(drawdown, Input.DISBURSED)
        if isinstance(done, AlreadyApplied):
            continue
        used.append((drawdown.enterprise_id, each.disbursed_date))
        if done.incident == "disbursed_after_release":
            late.append(drawdown)
    await _take_again(tx, late)
    await locked.save(tx, cause="loan.disbursed")
    await note_drawn(tx, used)
    await note_deficiencies(tx, drawdown_ids=[each.drawdown_id for each in late])


async def release_failed(tx: Transaction, events: Sequence[Received]) -> None:
    """Release what was not paid out."""
    kept = [event.event for event in events if isinstance(event.event, DisbursementFailed)]
    locked = await lock_drawdowns(tx, drawdown_ids=[each.loan_id for each in kept])
    for each in kept:
        locked.advance(locked.find(each.loan_id), Input.FAILED, reason=each.reason)
    await save_with_ends(tx, locked, cause="loan.disbursement_failed")


async def reinstate_repaid(tx: Transaction, events: Sequence[Received]) -> None:
    """Lower use on every node of the path by the principal repaid, once an event; a reversal raises it (R11)."""
    kept = [(event.id, event.event) for event in events if isinstance(event.event, LoanRepaid)]
    ids = [each.loan_id for _, each in kept]
    locked = await lock_drawdowns(tx, drawdown_ids=ids, node_ids=await reopened_nodes(tx, drawdown_ids=ids))
    rows, reopened, used = [], [], []
    for event_id, each in kept:
        drawdown, principal = locked.find(each.loan_id), each.principal.minor
        if drawdown.state not in {State.UTILISED, State.REPAID}:
            raise NotPossible(drawdown_id=each.loan_id, state=drawdown.state, asked="be repaid")
        before, was = drawdown.used_minor, drawdown.state
        _repay(locked, drawdown, each)
        if drawdown.state is not was:
            reopened.append((drawdown.enterprise_id, each.value_date, -1))
        rows.append((event_id, drawdown.drawdown_id, principal, before - drawdown.used_minor))
        used.append((drawdown, before - drawdown.used_minor))
    await tx.pg.execute(
        """INSERT INTO reinstatement (event_id, drawdown_id, principal_minor, exposure_minor)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])""",
        *by_column(rows, width=4),
    )
    await use_up(tx, used)
    await locked.save(tx, cause="loan.repaid")
    await lessen_deficiencies(tx, drawdown_ids=ids, cause="loan.repaid")
    await count_repaid(tx, reopened)


async def close_repaid(tx: Transaction, events: Sequence[Received]) -> None:
    """End drawdowns whose loan is closed, and its delay; principal still open is an incident for a person."""
    kept = [event.event for event in events if isinstance(event.event, LoanClosed)]
    ids = [each.loan_id for each in kept]
    locked = await lock_drawdowns(tx, drawdown_ids=ids, node_ids=await borrowers_nodes(tx, drawdown_ids=ids))
    repaid = []
    for each in kept:
        drawdown = locked.find(each.loan_id)
        if drawdown.outstanding_minor == 0:
            if isinstance(locked.advance(drawdown, Input.CLOSED), Executed):
                repaid.append((drawdown.enterprise_id, each.closed_date, 1))
        else:
            locked.report(drawdown, "closed_with_principal_open")
    await save_with_ends(tx, locked, cause="loan.closed")
    await end_overdue(tx, drawdown_ids=list(locked.drawdowns), cause="loan.closed")
    await count_repaid(tx, repaid)


async def block(
    tx: Transaction, *, column: Literal["enterprise_id", "programme_id"], ids: Collection[str], reason: str
) -> None:
    """Stop whatever a blocked firm or programme has not been paid yet: a block revokes, a limit cut does not."""
    if ids:
        rows = await tx.pg.fetch(_UNPAID[column], list(ids))
        await _stop(tx, [row["drawdown_id"] for row in rows], Input.BLOCK, reason=reason)


async def withdraw_documents(tx: Transaction, *, document_ids: Collection[str]) -> None:
    """Stop whatever stands on documents that are no longer there and was not paid yet."""
    rows = await tx.pg.fetch("SELECT drawdown_id FROM document_use WHERE document_id = ANY($1)", list(document_ids))
    await _stop(tx, [row["drawdown_id"] for row in rows], Input.WITHDRAWN, reason=WITHDRAWN)


async def _stop(tx: Transaction, drawdown_ids: Sequence[str], happened: Input, *, reason: str) -> None:
    locked = await lock_drawdowns(tx, drawdown_ids=drawdown_ids)
    for drawdown in locked.drawdowns.values():
        locked.advance(drawdown, happened, reason=reason)
    await save_with_ends(tx, locked, cause=happened)


def _repay(locked: Locked, drawdown: Drawdown, event: LoanRepaid) -> None:
    principal = event.principal.minor
    if principal > drawdown.outstanding_minor:
        locked.report(drawdown, "repaid_more_than_was_open")
    repaid = repay(
        exposure_minor=drawdown.exposure_minor,
        disbursed_minor=drawdown.disbursed_minor,
        outstanding_minor=drawdown.outstanding_minor,
        used_minor=drawdown.used_minor,
        principal_minor=principal,
    )
    locked.move(drawdown, repaid.move)
    drawdown.outstanding_minor, drawdown.used_minor = repaid.outstanding_minor, repaid.used_minor
    drawdown.state = after_repayment(drawdown.state, outstanding_minor=repaid.outstanding_minor)
    if principal:
        locked.events.append(
            DrawdownReinstated(
                drawdown_id=drawdown.drawdown_id,
                principal=event.principal,
                outstanding=drawdown.amount(repaid.outstanding_minor),
                line_id=drawdown.line_id,
            )
        )


async def save_with_ends(tx: Transaction, locked: Locked, *, cause: str) -> None:
    """Save drawdowns of which some ended; their deficiencies end with them, and their lines may draw again."""
    await locked.save(tx, cause=cause)
    ended = [each.drawdown_id for each in locked.drawdowns.values() if each.state in {State.RELEASED, State.REPAID}]
    await end_deficiencies(tx, drawdown_ids=ended, cause=cause)


async def _take_again(tx: Transaction, drawdowns: Sequence[Drawdown]) -> None:
    """Mark the documents of money that went out late as used; where another drawdown was first, the incident says."""
    await tx.pg.executemany(
        "INSERT INTO document_use (document_id, drawdown_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [(document_id, each.drawdown_id) for each in drawdowns for document_id in each.document_ids],
    )
