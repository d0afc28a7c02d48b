"""The HTTP shapes of credit."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.credit.domain.instructions import NO_INSTRUCTION, Evidence, Instruction, Payee
from services.credit.domain.plans import AskedPlan
from services.credit.domain.what_if import Change, Deepened, Failed, Joined, Limited, Rated, Traded
from shared.values.money import Amount, Money
from shared.values.rates import MILLION, InvalidRate, parse_rate

_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_MOST_DOCUMENTS = 200
_Id = Annotated[str, Field(pattern=_ID)]


class Body(BaseModel):
    """A request body: what it does not name, it does not take."""

    model_config = ConfigDict(extra="forbid")


class DocumentIn(Body):
    """What is drawn on: a receivable or a slice; orders and goods where a product takes them and there are any."""

    kind: Literal["receivable", "slice", "order", "goods"]
    document_id: str = Field(pattern=r"^[!-~]{1,60}$")


def _each_once(documents: list[DocumentIn]) -> list[DocumentIn]:
    if len({document.document_id for document in documents}) != len(documents):
        message = "a document is named twice"
        raise ValueError(message)
    return documents


def _printable(text: str) -> str:
    if "\x00" in text:
        message = "a text holds no NUL"
        raise ValueError(message)
    return text


_Documents = Annotated[list[DocumentIn], Field(max_length=_MOST_DOCUMENTS), AfterValidator(_each_once)]
_Product = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Days = Annotated[int, Field(ge=1, le=365)]
_Text = Annotated[str, StringConstraints(min_length=3, max_length=1000), AfterValidator(_printable)]


class PlanIn(Body):
    """Of which kind, and in how many instalments; as many as the product's period gives where it is not said."""

    kind: Literal["bullet", "equal_principal", "equal_instalments", "interest_only"]
    instalments: int | None = Field(default=None, ge=1, le=60)

    def asked(self) -> AskedPlan:
        """Return the plan as the rules know it."""
        return AskedPlan(self.kind, self.instalments)


class QuoteIn(Body):
    """What an SME wants a price for, and by which plan a loan is repaid; at maturity where none is named."""

    line_id: str = Field(pattern=_ID)
    documents: _Documents
    principal: Amount
    product: _Product | None = None
    tenor_days: _Days | None = None
    plan: PlanIn | None = None


class PayeeIn(Body):
    """Who is paid instead of whom the product pays."""

    enterprise_id: str = Field(pattern=_ID)
    account: str = Field(pattern=r"^[ -~]{1,40}$")


class EvidenceIn(Body):
    """What shows that the payee is owed; the digest is the SHA-256 of its file."""

    kind: Literal["contract", "order", "invoice", "payslips", "other"]
    reference: str = Field(pattern=r"^[ -~]{1,100}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class DrawIn(Body):
    """What an SME draws: a principal on a line over documents; a quote makes its price binding.

    Without a product the line's first one that takes the documents is drawn. Without documents it is one that takes
    none, and says its tenor, and by which of the product's plans it is repaid if not at maturity. The purpose is a
    code of the purposes policy.
    """

    line_id: str = Field(pattern=_ID)
    documents: _Documents
    principal: Amount
    purpose: _Text
    quote_id: str | None = Field(default=None, pattern=_ID)
    product: _Product | None = None
    tenor_days: _Days | None = None
    payee: PayeeIn | None = None
    evidence: list[EvidenceIn] = Field(default_factory=list, max_length=20)
    plan: PlanIn | None = None

    def instruction(self) -> Instruction:
        """Return what is said beside amount and documents; most drawdowns say nothing."""
        if not (self.product or self.tenor_days or self.payee or self.evidence or self.plan):
            return NO_INSTRUCTION
        payee = None if self.payee is None else Payee(self.payee.enterprise_id, self.payee.account)
        evidence = tuple(Evidence(each.kind, each.reference, each.digest) for each in self.evidence)
        return Instruction(self.product, self.tenor_days, payee, evidence, self.plan.asked() if self.plan else None)


class DrawItemIn(DrawIn):
    """One line of a batch of drawdowns: the same as a single one, with its own idempotency key."""

    idempotency_key: str = Field(pattern=r"^[ -~]{1,200}$")


class InstalmentOut(BaseModel):
    """What is due on a date, if the loan is paid out on the drawdown's day and each instalment is paid on its own."""

    due_date: str
    principal: Amount
    interest: Amount
    total: Amount
    outstanding: Amount


class RepaymentOut(BaseModel):
    """How a loan is paid back by dates."""

    kind: Literal["bullet", "equal_principal", "equal_instalments", "interest_only"]
    binding: bool
    early_repayment: Literal["shorten", "lower", "refused"]
    interest: Amount
    instalments: list[InstalmentOut]


class HeldOut(BaseModel):
    """A held drawdown; receivables assigns its documents next."""

    drawdown_id: str
    state: Literal["held"]
    line_id: str
    product: str
    form: Literal["loan", "purchase"]
    principal: Amount
    held: Amount
    rate: str
    penalty_rate: str
    fee: Amount
    due_date: str
    maturity_date: str
    documents: list[dict[str, object]]
    expires_at: str
    repayment: RepaymentOut | None = Field(default=None, description="Where it is repaid by a plan.")
    on_cover: Amount | None = None


class DrawItemHeldOut(HeldOut):
    """The answer to an item of a batch that is held."""

    status: Literal[201]


class DrawItemRefusedOut(BaseModel):
    """The answer to an item of a batch that is refused; its neighbours have their own."""

    status: int
    code: str
    detail: str
    facts: dict[str, object]


class ReasonIn(Body):
    """Why."""

    reason: _Text


class BlockIn(Body):
    """Lines, and firms with every line of theirs, on which draws are stopped, and why.

    The reason is a code of the blocks policy; the reference tells causes of one reason apart (an order's number). The
    note is for the bank's people alone.
    """

    line_ids: list[_Id] = Field(default_factory=list, max_length=500)
    enterprise_ids: list[_Id] = Field(default_factory=list, max_length=500)
    reason: str = Field(pattern=r"^[a-z][a-z_]{0,39}$")
    reference: str = Field(default="", max_length=100, pattern=r"^[^\x00-\x1f]*$")
    note: _Text

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not self.line_ids and not self.enterprise_ids:
            message = "name a line or an enterprise"
            raise ValueError(message)
        return self


class DecisionIn(Body):
    """What becomes of a referred drawdown, and why."""

    decision: Literal["approve", "decline"]
    reason: _Text


_Rate = Annotated[str, Field(pattern=r"^-?[0-9]{1,3}([.][0-9]{1,6})?$", examples=["-0.300000"])]
_Share = Annotated[str, Field(pattern=r"^[0-9]{1,3}([.][0-9]{1,6})?$", examples=["0.300000"])]
_Grade = Annotated[str, Field(pattern=r"^[A-Z]{1,3}$")]
# Above these a product of the two would leave the integers that propagation counts in.
_HIGHEST_FACTOR = 10_000_000


def _factor(text: str | None) -> int | None:
    """Return millionths between nothing and tenfold."""
    if text is None:
        return None
    found = parse_rate(text)
    if found > _HIGHEST_FACTOR:
        raise InvalidRate(text=text)
    return found


def _money(amount: Amount | None) -> Money | None:
    return None if amount is None else amount.money()


class RatedIn(Body):
    """A firm, or every member of the group it heads, is rated some notches lower, or a grade, a cap, a multiplier."""

    change: Literal["rating"]
    enterprise_id: _Id
    notches: int | None = Field(default=None, ge=-10, le=10)
    grade: _Grade | None = None
    cap: Amount | None = None
    multiplier: _Share | None = None
    whole_group: bool = False

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        multiplier = _factor(self.multiplier)
        return Rated(self.enterprise_id, self.notches, self.grade, _money(self.cap), multiplier, self.whole_group)


class FailedIn(Body):
    """A firm, or every member of the group it heads, fails: lines close, trade is gone, what is owed is at risk."""

    change: Literal["failure"]
    enterprise_id: _Id
    whole_group: bool = False

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Failed(self.enterprise_id, self.whole_group)


class LimitedIn(Body):
    """A programme's limits change: to amounts, or by a share where no amount is given."""

    change: Literal["limit"]
    limit: Amount | None = None
    upstream_limit: Amount | None = None
    downstream_limit: Amount | None = None
    by: _Rate | None = None
    programme_id: _Id | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Limited(
            _money(self.limit),
            _money(self.upstream_limit),
            _money(self.downstream_limit),
            _share_change(self.by),
            self.programme_id,
        )


class TradedIn(Body):
    """What a supplier sells to a buyer in twelve months changes: to an amount, or by a share."""

    change: Literal["trade"]
    supplier_id: _Id
    buyer_id: _Id
    traded: Amount | None = None
    by: _Rate | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Traded(self.supplier_id, self.buyer_id, _money(self.traded), _share_change(self.by))


class JoinedIn(Body):
    """A firm is admitted, active and under a signed agreement; where no rating is given it keeps its own."""

    change: Literal["member"]
    enterprise_id: _Id
    direction: Literal["upstream", "downstream"]
    trades_with: _Id
    traded: Amount
    cap: Amount | None = None
    multiplier: _Share | None = None
    grade: _Grade | None = None
    anchor_support: _Share = "0"
    committed: Amount | None = None
    programme_id: _Id | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Joined(
            self.enterprise_id,
            self.direction,
            self.trades_with,
            self.traded.money(),
            _money(self.cap),
            _factor(self.multiplier),
            self.grade,
            min(MILLION, _factor(self.anchor_support) or 0),
            _money(self.committed),
            self.programme_id,
        )


class DeepenedIn(Body):
    """A programme reaches another tier."""

    change: Literal["max_tier"]
    max_tier: int = Field(ge=1, le=20)
    programme_id: _Id | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Deepened(self.max_tier, self.programme_id)


def _share_change(text: str | None) -> int | None:
    """Return a change by a share: all of it may go, at most ten times as much may come."""
    if text is None:
        return None
    found = parse_rate(text)
    if not -MILLION <= found <= _HIGHEST_FACTOR:
        raise InvalidRate(text=text)
    return found


ChangeIn = Annotated[RatedIn | FailedIn | LimitedIn | TradedIn | JoinedIn | DeepenedIn, Field(discriminator="change")]


class WhatIfIn(Body):
    """Changes to suppose, one after the other, and how many of each list to answer."""

    changes: list[ChangeIn] = Field(max_length=100)
    limit: int = Field(default=1000, ge=1, le=10_000)

    def supposed(self) -> list[Change]:
        """Return the changes as the rules know them."""
        return [each.supposed() for each in self.changes]


class WhatIfOfAllIn(WhatIfIn):
    """Changes to suppose of some programmes, or, where none are named, of every one that they concern."""

    changes: list[ChangeIn] = Field(min_length=1, max_length=100)
    programme_ids: Annotated[list[_Id], Field(min_length=1, max_length=500)] | None = None


class PairLimitIn(Body):
    """The most that is financed of one seller's claims on one obligor."""

    seller_id: _Id
    obligor_id: _Id
    limit: Amount
    reason: _Text


class FlowIn(Body):
    """Money that the firm expects or owes on a day, which the platform does not know of."""

    due_date: date
    direction: Literal["in", "out"]
    amount: Amount
    name: str = Field(min_length=1, max_length=200)


class CashNeedsIn(Body):
    """What the firm has, what it wants to keep at the end of every week, and what else moves, over some weeks."""

    opening_balance: Amount
    minimum_balance: Amount
    weeks: int = Field(default=13, ge=1, le=26)
    flows: list[FlowIn] = Field(default=[], max_length=1000)


class CoverIn(Body):
    """Collateral or a guarantee that shall secure a firm's loans: on all of its lines, or on some."""

    enterprise_id: _Id
    provider_id: _Id
    kind: Literal["building", "instrument", "equipment", "goods", "guarantee"]
    asset: str = Field(pattern=r"^[ -~]{1,100}$", description="Its title, serial or contract number.")
    description: _Text
    secured: Amount
    rank: int = Field(default=1, ge=1, le=99)
    valid_until: date
    line_ids: Annotated[list[_Id], Field(min_length=1, max_length=100)] | None = None


class ValuedIn(Body):
    """What it is worth, and what others' charges take before ours."""

    step: Literal["value"]
    value: Amount
    prior_charges: Amount
    valued_date: date
    valuer: _Text


class RegisteredIn(Body):
    """It is in the register, or the guarantee is signed."""

    step: Literal["register"]
    registry_reference: str = Field(pattern=r"^[!-~]{1,100}$")


class EndedIn(Body):
    """It is given back, or made use of."""

    step: Literal["release", "enforce"]
    reason: _Text


CoverStepIn = Annotated[ValuedIn | RegisteredIn | EndedIn, Field(discriminator="step")]
