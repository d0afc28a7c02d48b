"""Receivables' HTTP app."""

from __future__ import annotations

from services.receivables.api import router
from services.receivables.domain.deliveries import DuplicateDelivery, OrderNotKnown
from services.receivables.domain.documents import DocumentRefused, InvalidDueDate
from services.receivables.domain.duplicates import DuplicateDocument
from services.receivables.domain.financeable import IrrevocableUndertaking
from services.receivables.domain.orders import DuplicateOrder, DuplicateReduction
from services.receivables.domain.parties import UnknownParty
from services.receivables.domain.receivables import NotPossible
from services.receivables.domain.slices import InvalidSlice, IssuanceLimitExceeded, VoucherTooLong
from services.receivables.operations.agree import NotTheirDispute
from services.receivables.operations.dilute import DuplicateDilution
from services.receivables.operations.locking import UnknownOrder, UnknownProgramme, UnknownReceivable, UnknownVoucher
from services.receivables.operations.read_upload import UnsupportedMediaType
from services.receivables.queries import NoMatch, NoOriginal, UnknownAssignment, UnknownUpload
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.web.parked import PARKED_STATUSES, parked_router
from shared.web.problems import ErrorStatuses
from shared.web.serving import ServiceApp, service_app

NAME = "receivables"
STATUSES: ErrorStatuses = {
    **PARKED_STATUSES,
    DocumentRefused: 422,
    UnknownParty: 422,
    InvalidDueDate: 422,
    InvalidSlice: 422,
    VoucherTooLong: 422,
    UnsupportedMediaType: 415,
    DuplicateDocument: 409,
    DuplicateDilution: 409,
    DuplicateOrder: 409,
    DuplicateDelivery: 409,
    DuplicateReduction: 409,
    NotPossible: 409,
    IrrevocableUndertaking: 409,
    IssuanceLimitExceeded: 409,
    NotTheirDispute: 403,
    UnknownReceivable: 404,
    UnknownVoucher: 404,
    UnknownOrder: 404,
    OrderNotKnown: 404,
    NoMatch: 404,
    UnknownProgramme: 404,
    UnknownAssignment: 404,
    UnknownUpload: 404,
    NoOriginal: 404,
}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of receivables."""
    database = Database(settings.database(NAME), pool_size=4)
    return service_app(NAME, settings=settings, database=database, routers=[router, parked_router()], statuses=STATUSES)
