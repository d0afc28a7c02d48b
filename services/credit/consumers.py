"""Event type → operation."""

from __future__ import annotations

from services.credit.operations import advance_drawdowns, documents, freeze_lines, goods, orders, parties
from services.credit.operations.business_days import keep_business_date
from services.credit.operations.limit_increases import keep_increases
from shared.events import goods as goods_events
from shared.events import onboarding, receivables, risk, settlement
from shared.messaging.applying import Handlers

TOPICS = (
    "scf.onboarding.enterprise.v1",
    "scf.onboarding.link.v1",
    "scf.onboarding.programme.v1",
    "scf.risk.rating.v1",
    "scf.receivables.order.v1",
    "scf.receivables.goods.v1",
    "scf.receivables.receivable.v1",
    "scf.receivables.voucher.v1",
    "scf.receivables.assignment.v1",
    "scf.settlement.business_day.v1",
    "scf.settlement.loan.v1",
)

HANDLERS: Handlers = {
    onboarding.EnterpriseRegistered: parties.keep_enterprises,
    onboarding.EnterpriseSuspended: parties.suspend_enterprises,
    onboarding.EnterpriseReinstated: parties.suspend_enterprises,
    onboarding.LineAgreementSigned: parties.keep_agreements,
    onboarding.LinkRecorded: parties.keep_links,
    onboarding.ProgrammeActivated: parties.keep_programmes,
    onboarding.ProgrammeLimitChanged: parties.keep_programmes,
    onboarding.ProgrammeLimitIncreased: keep_increases,
    onboarding.ProgrammeSuspended: parties.keep_programmes,
    onboarding.MemberAdmitted: parties.keep_members,
    risk.RatingRecorded: parties.keep_ratings,
    receivables.OrderRegistered: orders.keep_orders,
    receivables.OrderConfirmed: orders.keep_confirmed_orders,
    receivables.OrderReduced: orders.keep_reduced_orders,
    receivables.OrderReopened: orders.keep_reduced_orders,
    receivables.OrderInvoiced: orders.keep_invoiced_orders,
    receivables.OrderRejected: orders.keep_ended_orders,
    receivables.OrderSettled: orders.keep_ended_orders,
    goods_events.GoodsPledged: goods.keep_pledged_goods,
    goods_events.GoodsRevalued: goods.keep_revalued_goods,
    goods_events.GoodsReleased: goods.keep_released_goods,
    receivables.ReceivableRegistered: documents.keep_registered,
    receivables.ReceivableConfirmed: documents.keep_confirmed,
    receivables.ReceivableDiluted: documents.keep_diluted,
    receivables.ReceivablePaid: documents.keep_paid,
    receivables.ReceivableCancelled: documents.keep_ended,
    receivables.ReceivableRejected: documents.keep_ended,
    receivables.ReceivableSettled: documents.keep_ended,
    receivables.VoucherIssued: documents.keep_vouchers,
    receivables.VoucherTransferred: documents.move_slices,
    receivables.VoucherSettled: documents.settle_slices,
    receivables.DocumentsAssigned: advance_drawdowns.approve_assigned,
    receivables.AssignmentRefused: advance_drawdowns.release_refused,
    receivables.DocumentsWithdrawn: advance_drawdowns.stop_withdrawn,
    settlement.BusinessDayOpened: keep_business_date,
    settlement.BusinessDayClosed: keep_business_date,
    settlement.LoanDisbursed: advance_drawdowns.utilise_disbursed,
    settlement.DisbursementFailed: advance_drawdowns.release_failed,
    settlement.LoanOverdue: freeze_lines.freeze_overdue,
    settlement.LoanCured: freeze_lines.open_cured,
    settlement.LoanRepaid: advance_drawdowns.reinstate_repaid,
    settlement.LoanClosed: advance_drawdowns.close_repaid,
}
