"""Which event does what in receivables."""

from __future__ import annotations

from functools import partial

from services.receivables.operations.assign_documents import assign_documents
from services.receivables.operations.follow_loans import finance_documents, free_documents, settle_documents
from services.receivables.operations.movables_registry import MovablesRegistry
from services.receivables.operations.parties import keep_business_day, keep_enterprises, keep_programmes
from services.receivables.operations.pay import keep_clearings, keep_collections
from services.receivables.operations.release_goods import release_repaid
from services.receivables.operations.set_off import set_off
from shared.events.credit import DrawdownHeld, DrawdownReleased
from shared.events.onboarding import EnterpriseRegistered, ProgrammeActivated, ProgrammeSuspended
from shared.events.settlement import (
    BusinessDayClosed,
    BusinessDayOpened,
    CollectionCleared,
    CollectionReceived,
    LoanClosed,
    LoanDisbursed,
    LoanRepaid,
    NettingAccepted,
)
from shared.messaging.applying import Handlers
from shared.runtime.settings import Settings

TOPICS = [
    "scf.onboarding.enterprise.v1",
    "scf.onboarding.programme.v1",
    "scf.credit.drawdown.v1",
    "scf.settlement.business_day.v1",
    "scf.settlement.loan.v1",
    "scf.settlement.collection.v1",
    "scf.settlement.netting.v1",
]


def handlers(settings: Settings) -> Handlers:
    """Return what each event does; assignments are filed in the movables registry that the settings name."""
    registry = MovablesRegistry(settings.registry)
    return {
        EnterpriseRegistered: keep_enterprises,
        ProgrammeActivated: keep_programmes,
        ProgrammeSuspended: keep_programmes,
        BusinessDayOpened: keep_business_day,
        BusinessDayClosed: keep_business_day,
        DrawdownHeld: partial(assign_documents, registry=registry),
        DrawdownReleased: partial(free_documents, registry=registry),
        LoanDisbursed: partial(finance_documents, registry=registry),
        LoanRepaid: release_repaid,
        LoanClosed: partial(settle_documents, registry=registry),
        CollectionReceived: keep_collections,
        CollectionCleared: keep_clearings,
        NettingAccepted: set_off,
    }
