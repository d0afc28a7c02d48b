"""Receivables' HTTP app."""

from __future__ import annotations

from services.receivables.api import router
from services.receivables.api.uploads import STREAMED
from services.receivables.domain.assents import InvalidAssentDate
from services.receivables.domain.batches import BatchTooLarge, NothingChosen
from services.receivables.domain.credit_notes import DuplicateNote, NoteNotApplicable
from services.receivables.domain.crosscheck_file import CrosscheckNotSetUp, UnreadableCrosscheck
from services.receivables.domain.crosschecks import CrosscheckTooLarge, InvalidPeriod, TooManyAnswers
from services.receivables.domain.deliveries import DuplicateDelivery, OrderNotKnown
from services.receivables.domain.documents import DocumentRefused, InvalidDueDate
from services.receivables.domain.duplicates import DuplicateDocument
from services.receivables.domain.financeable import IrrevocableUndertaking
from services.receivables.domain.goods import DuplicateReceipt, GoodsNotValued, UnknownGoodsClass
from services.receivables.domain.notices import DeliveredBefore, InvalidDelivery, OtherNotice
from services.receivables.domain.orders import DuplicateOrder, DuplicateReduction
from services.receivables.domain.parties import UnknownParty
from services.receivables.domain.payments import DuplicatePayment, InvalidPaidDate, PaidAfterNotice
from services.receivables.domain.readings import InvalidReading
from services.receivables.domain.receivables import NotPossible
from services.receivables.domain.register_form import UnknownPosition
from services.receivables.domain.slices import InvalidSlice, IssuanceLimitExceeded, VoucherTooLong
from services.receivables.operations.agree import NotTheirDispute
from services.receivables.operations.crosschecks import AnsweredBefore, UnknownCrosscheck
from services.receivables.operations.decide_notes import UnknownCreditNote
from services.receivables.operations.deliver_notices import UnknownNotice
from services.receivables.operations.dilute import DuplicateDilution
from services.receivables.operations.document_assent import AssentWaits
from services.receivables.operations.locking import (
    UnknownGoods,
    UnknownOrder,
    UnknownProgramme,
    UnknownReceivable,
    UnknownVoucher,
)
from services.receivables.operations.pledge_goods import DeviceInUse
from services.receivables.operations.read_upload import UnsupportedMediaType
from services.receivables.operations.sightings import UnknownSighting
from services.receivables.operations.take_goods import (
    DuplicateValuation,
    UnknownCondition,
    UnknownOwner,
    ValuedInTheFuture,
)
from services.receivables.operations.transfer import Transfers
from services.receivables.queries import NoMatch, NoOriginal, UnknownUpload
from services.receivables.queries.batches import UnknownBatch
from services.receivables.queries.register import UnknownAssignment
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
    BatchTooLarge: 422,
    NothingChosen: 422,
    InvalidPaidDate: 422,
    InvalidAssentDate: 422,
    InvalidSlice: 422,
    VoucherTooLong: 422,
    InvalidDelivery: 422,
    UnknownPosition: 422,
    UnreadableCrosscheck: 422,
    InvalidPeriod: 422,
    CrosscheckTooLarge: 422,
    InvalidReading: 422,
    UnknownGoodsClass: 422,
    UnknownCondition: 422,
    UnknownOwner: 422,
    ValuedInTheFuture: 422,
    UnsupportedMediaType: 415,
    DuplicateDocument: 409,
    DuplicateDilution: 409,
    DuplicateNote: 409,
    DuplicatePayment: 409,
    PaidAfterNotice: 409,
    NoteNotApplicable: 409,
    DuplicateOrder: 409,
    DuplicateDelivery: 409,
    DuplicateReduction: 409,
    OtherNotice: 409,
    DeliveredBefore: 409,
    AnsweredBefore: 409,
    AssentWaits: 409,
    TooManyAnswers: 409,
    CrosscheckNotSetUp: 409,
    DuplicateReceipt: 409,
    DuplicateValuation: 409,
    GoodsNotValued: 409,
    DeviceInUse: 409,
    NotPossible: 409,
    IrrevocableUndertaking: 409,
    IssuanceLimitExceeded: 409,
    NotTheirDispute: 403,
    UnknownReceivable: 404,
    UnknownCreditNote: 404,
    UnknownBatch: 404,
    UnknownVoucher: 404,
    UnknownOrder: 404,
    UnknownGoods: 404,
    OrderNotKnown: 404,
    NoMatch: 404,
    UnknownProgramme: 404,
    UnknownAssignment: 404,
    UnknownNotice: 404,
    UnknownCrosscheck: 404,
    UnknownSighting: 404,
    UnknownUpload: 404,
    NoOriginal: 404,
}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of receivables."""
    database = Database(settings.database(NAME), pool_size=4)
    transfers = Transfers(database)
    app = service_app(
        NAME,
        settings=settings,
        database=database,
        routers=[router, parked_router()],
        statuses=STATUSES,
        streamed=STREAMED,
        closing=[transfers.aclose],
    )
    app.fastapi.state.transfers = transfers
    return app
