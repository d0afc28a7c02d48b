"""Every event type → what console keeps of it; a type without an entry is in the feed all the same."""

from __future__ import annotations

from collections.abc import Sequence

from services.console.operations.keep_drawdowns import move_drawdowns, open_drawdowns
from services.console.operations.keep_facts import keep
from services.console.operations.keep_feed import keep_feed
from services.console.tables import (
    ASSIGNMENT,
    BOOK,
    COLLECTION,
    CREDIT_NOTE,
    ENTERPRISE,
    LINE,
    LOAN,
    NETTING,
    PROGRAMME,
    RECEIVABLE,
)
from shared.events import audit, credit, credit_notes, goods, onboarding, receivables, risk, settlement
from shared.events.envelope import EVENT_TYPES, Event, Received
from shared.messaging.applying import Handler, Handlers
from shared.storage.database import Transaction

PUBLISHERS = (onboarding, receivables, credit_notes, goods, risk, credit, settlement)

_READ_MODELS: dict[type[Event], Handler] = {
    onboarding.EnterpriseRegistered: keep(ENTERPRISE, "name", "country", "size_class"),
    onboarding.EnterpriseSuspended: keep(ENTERPRISE, suspended=True),
    onboarding.EnterpriseReinstated: keep(ENTERPRISE, suspended=False),
    onboarding.ProgrammeActivated: keep(
        PROGRAMME,
        "name",
        "anchor_id",
        "terms.limit",
        "terms.upstream_limit",
        "terms.downstream_limit",
        state="active",
    ),
    onboarding.ProgrammeLimitChanged: keep(PROGRAMME, "limit", "upstream_limit", "downstream_limit"),
    onboarding.ProgrammeSuspended: keep(PROGRAMME, state="suspended"),
    receivables.ReceivableRegistered: keep(
        RECEIVABLE,
        *("seller_id", "obligor_id", "number", "document_type", "syntax", "issue_date", "payable", "due_date"),
        *("state", "reasons"),
    ),
    receivables.ReceivableAccepted: keep(RECEIVABLE, state="validated"),
    receivables.ReceivableMatched: keep(
        RECEIVABLE,
        *("order_id", "status as match_status", "reasons as match_reasons", "lines", "matched_lines"),
        "is_financeable as match_financeable",
    ),
    receivables.ReceivableConfirmed: keep(RECEIVABLE, "financeable", "due_date", "undertaking", state="confirmed"),
    receivables.ReceivableDiluted: keep(RECEIVABLE, "financeable", "reason"),
    receivables.ReceivablePaid: keep(RECEIVABLE, "financeable"),
    receivables.ReceivableCancelled: keep(RECEIVABLE, "reason", state="cancelled"),
    receivables.ReceivableRejected: keep(RECEIVABLE, "reason", state="rejected"),
    receivables.ReceivableSettled: keep(RECEIVABLE, state="settled"),
    credit_notes.CreditNoteTaken: keep(
        CREDIT_NOTE, "seller_id", "obligor_id", "number", "amount", "issue_date", "state", "reasons", "parts"
    ),
    credit_notes.CreditNoteDecided: keep(CREDIT_NOTE, "state", "reason", "parts", "left"),
    receivables.DocumentsAssigned: keep(ASSIGNMENT, "registry_reference", state="assigned"),
    receivables.AssignmentRefused: keep(ASSIGNMENT, "reason", state="refused"),
    receivables.DocumentsWithdrawn: keep(ASSIGNMENT, "reason", state="withdrawn"),
    receivables.DocumentsFreed: keep(ASSIGNMENT, state="freed"),
    receivables.DocumentsFinanced: keep(ASSIGNMENT, state="financed"),
    receivables.AssignmentSettled: keep(ASSIGNMENT, state="settled"),
    credit.LimitPropagated: keep(PROGRAMME, "pool", "reserved", "shortfall"),
    credit.LineChanged: keep(LINE, "programme_id", "enterprise_id", "direction", "tier", "cap", "drawable", "reasons"),
    credit.LineBlocked: keep(LINE, "programme_id", "enterprise_id", "currency", "blocks"),
    credit.LineUnblocked: keep(LINE, "programme_id", "enterprise_id", "currency", "blocks"),
    credit.DrawdownHeld: open_drawdowns,
    credit.DrawdownReferred: move_drawdowns,
    credit.DrawdownApproved: move_drawdowns,
    credit.DrawdownCancellationRequested: move_drawdowns,
    credit.DrawdownReleased: move_drawdowns,
    credit.DrawdownUtilised: move_drawdowns,
    credit.DrawdownReinstated: move_drawdowns,
    credit.DrawdownTopUpDue: move_drawdowns,
    credit.DrawdownTopUpEnded: move_drawdowns,
    credit.DrawdownRepaid: move_drawdowns,
    settlement.BusinessDayOpened: keep(BOOK, "open_date"),
    settlement.BusinessDayClosed: keep(BOOK, "open_date"),
    settlement.LoanInstructed: keep(LOAN, "end_to_end_id", "paid_out", state="instructed"),
    settlement.LoanUnknown: keep(LOAN, "end_to_end_id", state="unknown"),
    settlement.LoanDisbursed: keep(
        LOAN, "principal", "paid_out", "disbursed_date", "maturity_date", "standing", state="disbursed"
    ),
    settlement.DisbursementFailed: keep(LOAN, "reason", state="failed"),
    settlement.LoanBilled: keep(LOAN, "standing"),
    settlement.LoanOverdue: keep(LOAN, "outstanding"),
    settlement.LoanRepaid: keep(LOAN, "outstanding", "standing"),
    settlement.LoanClosed: keep(LOAN, state="closed", outstanding_minor=0),
    settlement.NettingProposed: keep(NETTING, "cleared", "parties", "legs", "accept_by", state="proposed"),
    settlement.NettingAccepted: keep(NETTING, state="accepted"),
    settlement.NettingSettled: keep(NETTING, "posting_date", state="settled"),
    settlement.NettingEnded: keep(NETTING, "reason", state="ended"),
    settlement.CollectionReceived: keep(
        COLLECTION, "account", "received", "applied", "unmatched", "value_date", "reference"
    ),
    settlement.CollectionCleared: keep(COLLECTION, "unmatched"),
}
_PUBLISHED = [kind for kind in EVENT_TYPES.values() if kind.__module__ in {each.__name__ for each in PUBLISHERS}]


async def _pass_by(_: Transaction, __: Sequence[Received]) -> None:
    """Keep nothing: the heads of the audit logs are no business to watch."""


HANDLERS: Handlers = dict.fromkeys(_PUBLISHED, keep_feed) | _READ_MODELS | {audit.AuditSealed: _pass_by}
