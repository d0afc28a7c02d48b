"""Which event settlement hears, and what it does then."""

from __future__ import annotations

from services.settlement.operations import obligations
from services.settlement.operations.answer_nettings import end_refused, post_set_offs
from services.settlement.operations.conversions import keep_conversions
from services.settlement.operations.instruct_loans import instruct_loans
from services.settlement.operations.projections import keep_drawdowns, keep_enterprises, keep_programmes
from services.settlement.operations.stop_loans import stop_loans
from shared.events.credit import DrawdownApproved, DrawdownCancellationRequested, DrawdownEvent, DrawdownHeld
from shared.events.onboarding import (
    EnterpriseEvent,
    EnterpriseRegistered,
    EnterpriseReinstated,
    EnterpriseSuspended,
    ProgrammeActivated,
    ProgrammeEvent,
)
from shared.events.receivables import (
    AssignmentEvent,
    DocumentsAssigned,
    DocumentsFreed,
    OrderEvent,
    OrderInvoiced,
    ReceivableAcknowledged,
    ReceivableCancelled,
    ReceivableConfirmed,
    ReceivableDiluted,
    ReceivableDisputed,
    ReceivableDisputeEnded,
    ReceivableEvent,
    ReceivablePaid,
    ReceivableRegistered,
    ReceivableRejected,
    ReceivableSettled,
    SetOffEvent,
    SetOffMade,
    SetOffRefused,
    VoucherEvent,
    VoucherIssued,
)
from shared.messaging.applying import Handlers

TOPICS = [
    EnterpriseEvent.topic,
    ProgrammeEvent.topic,
    OrderEvent.topic,
    ReceivableEvent.topic,
    VoucherEvent.topic,
    AssignmentEvent.topic,
    SetOffEvent.topic,
    DrawdownEvent.topic,
]
HANDLERS: Handlers = {
    EnterpriseRegistered: keep_enterprises,
    EnterpriseSuspended: obligations.bar_suspended,
    EnterpriseReinstated: obligations.bar_suspended,
    ProgrammeActivated: keep_programmes,
    DrawdownHeld: keep_drawdowns,
    DrawdownApproved: instruct_loans,
    DrawdownCancellationRequested: stop_loans,
    ReceivableRegistered: obligations.keep_registered,
    ReceivableConfirmed: obligations.keep_agreed,
    ReceivableAcknowledged: obligations.keep_agreed,
    ReceivableDiluted: obligations.keep_lowered,
    ReceivablePaid: obligations.keep_lowered,
    ReceivableDisputed: obligations.keep_disputes,
    ReceivableDisputeEnded: obligations.keep_disputes,
    ReceivableCancelled: obligations.keep_ended,
    ReceivableRejected: obligations.keep_ended,
    ReceivableSettled: obligations.keep_ended,
    VoucherIssued: obligations.keep_vouchers,
    OrderInvoiced: keep_conversions,
    DocumentsAssigned: obligations.keep_uses,
    DocumentsFreed: obligations.forget_uses,
    SetOffMade: post_set_offs,
    SetOffRefused: end_refused,
}
