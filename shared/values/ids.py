"""Identifiers: one NewType per noun over uuid7 text, and the legal identifiers of enterprises (R24)."""

from __future__ import annotations

from typing import ClassVar, NewType
from uuid import UUID

from stdnum import lei
from stdnum.cn import uscc
from stdnum.eu import vat
from stdnum.exceptions import ValidationError
from uuid_utils import uuid7

EnterpriseId = NewType("EnterpriseId", str)
GroupId = NewType("GroupId", str)
ProgrammeId = NewType("ProgrammeId", str)
LinkId = NewType("LinkId", str)
ReceivableId = NewType("ReceivableId", str)
VoucherId = NewType("VoucherId", str)
SliceId = NewType("SliceId", str)
RatingId = NewType("RatingId", str)
NodeId = NewType("NodeId", str)
LineId = NewType("LineId", str)
QuoteId = NewType("QuoteId", str)
DrawdownId = NewType("DrawdownId", str)
LoanId = NewType("LoanId", str)


class InvalidLegalIdentifier(ValueError):
    """A legal identifier whose form or check digits are wrong."""

    code: ClassVar[str] = "invalid_legal_identifier"

    def __init__(self, *, scheme: str, identifier: str) -> None:
        """Keep the scheme and the refused text."""
        self.scheme = scheme
        self.identifier = identifier[:40]
        super().__init__(f"{self.identifier!r} is not a valid {scheme}.")


class InvalidId(ValueError):
    """Text that is not a UUID."""

    code: ClassVar[str] = "invalid_id"

    def __init__(self, *, text: str) -> None:
        """Keep the refused text (shortened)."""
        self.text = text[:40]
        super().__init__(f"{self.text!r} is not an id.")


def new_id() -> str:
    """Return a new uuid7 as text; ids made in one process sort by time."""
    return str(uuid7())


def parse_id(text: str) -> str:
    """Return the canonical text of an id; InvalidId when it is none."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise InvalidId(text=text) from error


_SCHEMES = {"uscc": uscc, "lei": lei, "vat": vat}
_LEI_LENGTH = 20


def check_legal_identifier(*, scheme: str, identifier: str) -> str:
    """Return the normalised identifier of a scheme (uscc, lei, vat), its check digits verified (R24)."""
    module = _SCHEMES.get(scheme)
    if module is None:
        raise InvalidLegalIdentifier(scheme=scheme, identifier=identifier)
    try:
        found = str(module.validate(identifier))
    except ValidationError as error:
        raise InvalidLegalIdentifier(scheme=scheme, identifier=identifier) from error
    # stdnum checks an LEI's digits, not that there are 20: every hundredth short text would pass.
    if scheme == "lei" and len(found) != _LEI_LENGTH:
        raise InvalidLegalIdentifier(scheme=scheme, identifier=identifier)
    return found
