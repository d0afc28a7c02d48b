"""Settlement's HTTP app."""

from __future__ import annotations

from services.settlement.api import router
from services.settlement.domain.business_day import (
    BookAlreadyOpen,
    BookNotOpen,
    DayAlreadyClosed,
    DayInTheFuture,
    ValueDateAhead,
)
from services.settlement.domain.clearing import (
    DebtNotTold,
    MoreThanWaits,
    NotItsOwners,
    NotThisWay,
    NotWhereItCameFrom,
    PaidADebt,
    TakesNothing,
)
from services.settlement.domain.loans import NotPossible
from services.settlement.domain.netting import TooMuchDebt
from services.settlement.domain.proposals import NettingClosed, NettingTooLate, UnknownNetting
from services.settlement.operations.clear_suspense import UnknownSuspense
from services.settlement.operations.find_out import UnknownLoan
from services.settlement.operations.record_statement import EntryConflict
from services.settlement.operations.run_netting import DebtsMoved, TooLongToAccept
from services.settlement.queries import UnknownRun
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.web.parked import PARKED_STATUSES, parked_router
from shared.web.problems import ErrorStatuses
from shared.web.serving import ServiceApp, service_app

NAME = "settlement"
STATUSES: ErrorStatuses = {
    **PARKED_STATUSES,
    BookNotOpen: 409,
    BookAlreadyOpen: 409,
    DayAlreadyClosed: 409,
    DayInTheFuture: 422,
    ValueDateAhead: 422,
    NotPossible: 409,
    UnknownLoan: 404,
    EntryConflict: 409,
    UnknownSuspense: 404,
    MoreThanWaits: 409,
    PaidADebt: 409,
    DebtNotTold: 409,
    NotItsOwners: 409,
    TakesNothing: 409,
    NotThisWay: 422,
    NotWhereItCameFrom: 422,
    UnknownNetting: 404,
    UnknownRun: 404,
    NettingClosed: 409,
    NettingTooLate: 409,
    DebtsMoved: 409,
    TooMuchDebt: 422,
    TooLongToAccept: 422,
}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of settlement."""
    database = Database(settings.database(NAME), pool_size=4)
    return service_app(NAME, settings=settings, database=database, routers=[router, parked_router()], statuses=STATUSES)
