"""What onboarding publishes: enterprises, chain links, programmes and their members."""

from __future__ import annotations

from datetime import date, time
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, WithJsonSchema

from shared.events.envelope import Event
from shared.values.money import Amount

Direction = Literal["upstream", "downstream"]
# JSON Schema's own "time" asks for an offset, which a time in the programme's zone does not have.
_LOCAL_TIME = {"type": "string", "pattern": r"^\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$", "examples": ["17:00:00"]}
LocalTime = Annotated[time, WithJsonSchema(_LOCAL_TIME)]
SizeClass = Literal["micro", "small", "medium", "large"]


class EnterpriseEvent(Event):
    topic: ClassVar[str] = "scf.onboarding.enterprise.v1"
    enterprise_id: str

    @property
    def subject(self) -> str:
        return self.enterprise_id


class EnterpriseRegistered(EnterpriseEvent):
    """Trigger: a bank maker registers a firm. Consumers: all. Contents: who it is, its group's head, its account."""

    type: ClassVar[str] = "enterprise.registered.v1"
    name: str
    country: str
    legal_identifiers: dict[str, str]
    group_head_id: str
    size_class: SizeClass
    industry: str
    account: str


class EnterpriseSuspended(EnterpriseEvent):
    """Trigger: a bank checker suspends a firm. Consumers: credit blocks its lines. Contents: the reason."""

    type: ClassVar[str] = "enterprise.suspended.v1"
    reason: str


class EnterpriseReinstated(EnterpriseEvent):
    """Trigger: a bank checker lifts a suspension. Consumers: credit."""

    type: ClassVar[str] = "enterprise.reinstated.v1"


class LineAgreementSigned(EnterpriseEvent):
    """Trigger: an SME signs its line agreement. Consumers: credit. Contents: its term and what the bank committed."""

    type: ClassVar[str] = "enterprise.line_agreement_signed.v1"
    programme_id: str
    signed_date: date
    expiry_date: date
    committed: Amount


class LinkEvent(Event):
    topic: ClassVar[str] = "scf.onboarding.link.v1"
    link_id: str

    @property
    def subject(self) -> str:
        return self.link_id


class LinkRecorded(LinkEvent):
    """Trigger: a supplier → buyer link is evidenced or its traded amount changes. Consumers: credit, receivables."""

    type: ClassVar[str] = "link.recorded.v1"
    supplier_id: str
    buyer_id: str
    traded: Amount
    contract: str


class ProgrammeTerms(BaseModel):
    """What bank and anchor agreed; rates are decimal fractions a year, shares decimal fractions.

    `products` are offered in this order; a programme that names none offers those that follow from its recourse.
    `matching_policy` says how far an invoice may differ from its order and what was delivered.
    """

    currency: str
    limit: Amount
    upstream_limit: Amount
    downstream_limit: Amount
    issuance_limit: Amount
    max_tier: int
    advance_rate: str
    concentration_share: str
    max_tenor_days: int
    buffer_days: int
    grace_days: int
    recourse: bool
    interest_payer: Literal["seller", "anchor"]
    pricing_policy: str
    propagation_policy: str
    auto_approve_up_to: Amount
    cut_off: LocalTime
    zone: str
    collection_account: str
    products: list[str] = []
    matching_policy: str = "matching"


class ProgrammeEvent(Event):
    topic: ClassVar[str] = "scf.onboarding.programme.v1"
    programme_id: str

    @property
    def subject(self) -> str:
        return self.programme_id


class ProgrammeActivated(ProgrammeEvent):
    """Trigger: a second person approves a proposed programme (R22). Consumers: all. Contents: its terms."""

    type: ClassVar[str] = "programme.activated.v1"
    name: str
    anchor_id: str
    group_head_id: str
    terms: ProgrammeTerms


class ProgrammeLimitChanged(ProgrammeEvent):
    """Trigger: a second person approves a limit change (R12, R22). Consumers: credit propagates again."""

    type: ClassVar[str] = "programme.limit_changed.v1"
    limit: Amount
    upstream_limit: Amount
    downstream_limit: Amount
    reason: str


class ProgrammeLimitIncreased(ProgrammeEvent):
    """Trigger: a second person approves a temporary increase (R22). Consumers: credit. Contents: by what, from when.

    It counts on the business dates from `valid_from` to `valid_until`, both included; then limits are as before (R12).
    """

    type: ClassVar[str] = "programme.limit_increased.v1"
    increase_id: str
    limit: Amount
    upstream_limit: Amount
    downstream_limit: Amount
    valid_from: date
    valid_until: date
    reason: str


class ProgrammeSuspended(ProgrammeEvent):
    """Trigger: a second person approves a suspension. Consumers: credit freezes draws."""

    type: ClassVar[str] = "programme.suspended.v1"
    reason: str


class MemberAdmitted(ProgrammeEvent):
    """Trigger: 1+N admission of a firm. Consumers: credit opens its line. Contents: direction, the anchor's support."""

    type: ClassVar[str] = "programme.member_admitted.v1"
    enterprise_id: str
    direction: Direction
    anchor_support: str
