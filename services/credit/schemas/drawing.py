"""The shapes of quotes and drawdowns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from services.credit.domain.instructions import NO_INSTRUCTION, Evidence, Instruction, Payee
from services.credit.domain.plans import AskedPlan
from services.credit.schemas.body import ID, Body, Text
from shared.values.money import Amount

_MOST_DOCUMENTS = 200


class DocumentIn(Body):
    """What is drawn on: a receivable or a slice; orders and goods where a product takes them and there are any."""

    kind: Literal["receivable", "slice", "order", "goods"]
    document_id: str = Field(pattern=r"^[!-~]{1,60}$")


def _each_once(documents: list[DocumentIn]) -> list[DocumentIn]:
    if len({document.document_id for document in documents}) != len(documents):
        message = "a document is named twice"
        raise ValueError(message)
    return documents


_Documents = Annotated[list[DocumentIn], Field(max_length=_MOST_DOCUMENTS), AfterValidator(_each_once)]
_Product = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Days = Annotated[int, Field(ge=1, le=365)]


class PlanIn(Body):
    """Of which kind, and in how many instalments; as many as the product's period gives where it is not said."""

    kind: Literal["bullet", "equal_principal", "equal_instalments", "interest_only"]
    instalments: int | None = Field(default=None, ge=1, le=60)

    def asked(self) -> AskedPlan:
        """Return the plan as the rules know it."""
        return AskedPlan(self.kind, self.instalments)


class QuoteIn(Body):
    """What an SME wants a price for, and by which plan a loan is repaid; at maturity where none is named."""

    line_id: str = Field(pattern=ID)
    documents: _Documents
    principal: Amount
    product: _Product | None = None
    tenor_days: _Days | None = None
    plan: PlanIn | None = None


class PayeeIn(Body):
    """Who is paid instead of whom the product pays."""

    enterprise_id: str = Field(pattern=ID)
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

    line_id: str = Field(pattern=ID)
    documents: _Documents
    principal: Amount
    purpose: Text
    quote_id: str | None = Field(default=None, pattern=ID)
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


class DecisionIn(Body):
    """What becomes of a referred drawdown, and why."""

    decision: Literal["approve", "decline"]
    reason: Text
