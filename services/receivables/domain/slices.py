"""Vouchers as half-open intervals [start, end) of minor units of one root payable (R13)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import ClassVar

from services.receivables.domain.receivables import AlreadyApplied, Executed, NotPossible


class SliceState(StrEnum):
    """Where a slice stands; only a replaced one no longer counts towards the face."""

    LIVE = "live"
    OFFERED = "offered"
    REPLACED = "replaced"
    ASSIGNED = "assigned"
    FINANCED = "financed"
    PAID = "paid"
    CANCELLED = "cancelled"


class SliceStep(StrEnum):
    """What can happen to a slice."""

    OFFER = "be offered"
    TAKE_BACK = "be taken back"
    REPLACE = "be replaced"
    ASSIGN = "be assigned"
    FREE = "be freed"
    FINANCE = "be financed"
    PAY = "be paid"
    PAY_HOLDER = "be paid to its holder"


class InvalidSlice(ValueError):
    """A part that is not inside the slice it is cut from."""

    code: ClassVar[str] = "invalid_slice"

    def __init__(self, *, slice_id: str, reason: str) -> None:
        """Keep the slice and the reason."""
        self.slice_id = slice_id
        self.reason = reason
        super().__init__(f"The slice {slice_id} {reason}.")


class VoucherTooLong(ValueError):
    """A voucher may not run for more than a year (R15)."""

    code: ClassVar[str] = "voucher_too_long"

    def __init__(self, *, days: int, most: int) -> None:
        """Keep both terms."""
        self.days = days
        self.most = most
        super().__init__(f"A voucher of {days} days would run for longer than {most}.")


class IssuanceLimitExceeded(Exception):
    """The anchor's outstanding vouchers would pass the programme's issuance limit."""

    code: ClassVar[str] = "issuance_limit_exceeded"

    def __init__(self, *, limit_minor: int, outstanding_minor: int, face_minor: int, currency: str) -> None:
        """Keep what is allowed, outstanding and asked, in minor units."""
        self.limit_minor = limit_minor
        self.outstanding_minor = outstanding_minor
        self.face_minor = face_minor
        self.currency = currency
        super().__init__("The vouchers outstanding would pass the programme's issuance limit.")


@dataclass(frozen=True, slots=True)
class VoucherSlice:
    """The interval [start, end) of a root, and who holds it."""

    slice_id: str
    start_minor: int
    end_minor: int
    holder_id: str
    state: SliceState = SliceState.LIVE

    @property
    def size_minor(self) -> int:
        """Return the slice's face."""
        return self.end_minor - self.start_minor


_NEXT: dict[tuple[SliceState, SliceStep], SliceState] = {
    (SliceState.LIVE, SliceStep.OFFER): SliceState.OFFERED,
    (SliceState.OFFERED, SliceStep.TAKE_BACK): SliceState.LIVE,
    (SliceState.OFFERED, SliceStep.REPLACE): SliceState.REPLACED,
    (SliceState.LIVE, SliceStep.ASSIGN): SliceState.ASSIGNED,
    (SliceState.ASSIGNED, SliceStep.FREE): SliceState.LIVE,
    (SliceState.ASSIGNED, SliceStep.FINANCE): SliceState.FINANCED,
    (SliceState.FINANCED, SliceStep.PAY): SliceState.PAID,
    (SliceState.LIVE, SliceStep.PAY_HOLDER): SliceState.PAID,
}
_DONE: dict[SliceStep, SliceState] = {
    SliceStep.FINANCE: SliceState.FINANCED,
    SliceStep.PAY: SliceState.PAID,
}


def advance_slice(piece: VoucherSlice, asked: SliceStep) -> Executed[SliceState] | AlreadyApplied:
    """Return what a step makes of a slice; NotPossible when its state does not allow it: it is paid once (R13)."""
    following = _NEXT.get((piece.state, asked))
    if following is not None:
        return Executed(following)
    if _DONE.get(asked) is piece.state:
        return AlreadyApplied()
    raise NotPossible(document_id=piece.slice_id, state=piece.state, asked=str(asked))


def whole(*, slice_id: str, face_minor: int, holder_id: str) -> VoucherSlice:
    """Return the one slice [0, face) of a new voucher."""
    if face_minor <= 0:
        raise InvalidSlice(slice_id=slice_id, reason="has nothing to issue")
    return VoucherSlice(slice_id, 0, face_minor, holder_id)


def check_movable(piece: VoucherSlice, *, amount_minor: int, maturity_date: date, today: date | None) -> None:
    """Refuse to split or transfer more than the slice is, and what is frozen, financed or matured (R13)."""
    if piece.state is not SliceState.LIVE:
        raise NotPossible(document_id=piece.slice_id, state=piece.state, asked="be split or transferred")
    check_unmatured(piece, maturity_date=maturity_date, today=today)
    if not 0 < amount_minor <= piece.size_minor:
        raise InvalidSlice(slice_id=piece.slice_id, reason="does not hold that amount")


def check_unmatured(piece: VoucherSlice, *, maturity_date: date, today: date | None) -> None:
    """Refuse what has matured, also if it was offered before; NotPossible (R13)."""
    if today is not None and maturity_date <= today:
        raise NotPossible(document_id=piece.slice_id, state="matured", asked="be split or transferred")


def split(
    piece: VoucherSlice, *, amount_minor: int, transferee_id: str, slice_ids: Sequence[str]
) -> tuple[VoucherSlice, list[VoucherSlice]]:
    """Return the slice as replaced and those made of it: the transferee's at the end, what remains before it."""
    if not 0 < amount_minor <= piece.size_minor:
        raise InvalidSlice(slice_id=piece.slice_id, reason="does not hold that amount")
    cut = piece.end_minor - amount_minor
    made = [VoucherSlice(slice_ids[0], cut, piece.end_minor, transferee_id)]
    if cut > piece.start_minor:
        made.append(VoucherSlice(slice_ids[1], piece.start_minor, cut, piece.holder_id))
    return replace(piece, state=SliceState.REPLACED), made


def counted_minor(slices: Iterable[VoucherSlice]) -> int:
    """Return Σ of all slices that are not replaced: always the root's face (R13)."""
    return sum(each.size_minor for each in slices if each.state is not SliceState.REPLACED)


def check_term(*, issued_on: date, maturity_date: date, most_days: int) -> None:
    """Refuse a voucher that runs for longer than the policy allows; VoucherTooLong (R15)."""
    if maturity_date > issued_on + timedelta(days=most_days):
        raise VoucherTooLong(days=(maturity_date - issued_on).days, most=most_days)


def check_issuance(*, limit_minor: int, outstanding_minor: int, face_minor: int, currency: str) -> None:
    """Refuse a voucher above the programme's issuance limit; IssuanceLimitExceeded."""
    if outstanding_minor + face_minor > limit_minor:
        raise IssuanceLimitExceeded(
            limit_minor=limit_minor, outstanding_minor=outstanding_minor, face_minor=face_minor, currency=currency
        )
