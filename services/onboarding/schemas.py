"""The HTTP shapes of onboarding."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events.onboarding import Direction, ProgrammeTerms, SizeClass
from shared.values.money import Amount

_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
# PostgreSQL keeps no NUL, and no other control character belongs into a name or a reason.
_Text = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]


class Body(BaseModel):
    """A request body: what it does not name, it does not take."""

    model_config = ConfigDict(extra="forbid")


class IdentityIn(Body):
    """A person of the bank, of an anchor or of an SME, or an ERP: each is an API client."""

    name: _Text = Field(min_length=1, max_length=200)
    roles: list[_Text] = Field(min_length=1, max_length=4)
    party: str | None = Field(default=None, pattern=_ID)


class EnterpriseIn(Body):
    """A legal entity; its identifiers by scheme: uscc, lei, vat."""

    name: _Text = Field(min_length=1, max_length=300)
    country: str = Field(pattern=r"^[A-Z]{2}$")
    legal_identifiers: dict[Literal["uscc", "lei", "vat"], _Text] = Field(default_factory=dict)
    group_head_id: str | None = Field(default=None, pattern=_ID)
    size_class: SizeClass = "small"
    industry: _Text = Field(default="", max_length=100)
    account: _Text = Field(min_length=4, max_length=40)


class ReasonIn(Body):
    """Why."""

    reason: _Text = Field(min_length=3, max_length=1000)


class LineAgreementIn(Body):
    """What an SME signs: the line's term, and what the bank commits."""

    programme_id: str = Field(pattern=_ID)
    signed_date: date
    expiry_date: date
    committed: Amount


class LinkIn(Body):
    """Supplier → buyer with its evidence: the contract and the amount traded in 12 months."""

    supplier_id: str = Field(pattern=_ID)
    buyer_id: str = Field(pattern=_ID)
    traded: Amount
    contract: _Text = Field(min_length=1, max_length=200)


class ProgrammeIn(Body):
    """A programme as a maker proposes it."""

    name: _Text = Field(min_length=1, max_length=200)
    anchor_id: str = Field(pattern=_ID)
    terms: ProgrammeTerms


class LimitChangeIn(Body):
    """New limits of a programme, and why."""

    limit: Amount
    upstream_limit: Amount
    downstream_limit: Amount
    reason: _Text = Field(min_length=3, max_length=1000)


class LimitIncreaseIn(Body):
    """What a programme's limits are raised by, on which business dates (both included), and why."""

    limit: Amount
    upstream_limit: Amount
    downstream_limit: Amount
    valid_from: date
    valid_until: date
    reason: _Text = Field(min_length=3, max_length=1000)


class MemberIn(Body):
    """The 1+N admission of a firm; `anchor_support` is the share that the anchor buys back, guarantees or refunds."""

    enterprise_id: str = Field(pattern=_ID)
    direction: Direction
    anchor_support: _Text = "0"
