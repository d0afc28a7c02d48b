"""The HTTP shapes of credit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shared.values.money import Amount

_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_MOST_DOCUMENTS = 200


class Body(BaseModel):
    """A request body: what it does not name, it does not take."""

    model_config = ConfigDict(extra="forbid")


class DocumentIn(Body):
    """A receivable or a slice to draw on."""

    kind: Literal["receivable", "slice"]
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


_Documents = Annotated[list[DocumentIn], Field(min_length=1, max_length=_MOST_DOCUMENTS), AfterValidator(_each_once)]
_Text = Annotated[str, StringConstraints(min_length=3, max_length=1000), AfterValidator(_printable)]


class QuoteIn(Body):
    """What an SME wants a price for."""

    line_id: str = Field(pattern=_ID)
    documents: _Documents
    principal: Amount


class DrawIn(Body):
    """What an SME draws: a principal on a line over documents; a quote makes its price binding."""

    line_id: str = Field(pattern=_ID)
    documents: _Documents
    principal: Amount
    purpose: _Text
    quote_id: str | None = Field(default=None, pattern=_ID)


class DrawItemIn(DrawIn):
    """One line of a batch of drawdowns: the same as a single one, with its own idempotency key."""

    idempotency_key: str = Field(pattern=r"^[ -~]{1,200}$")


class HeldOut(BaseModel):
    """A held drawdown; receivables assigns its documents next."""

    drawdown_id: str
    state: Literal["held"]
    line_id: str
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


class DecisionIn(Body):
    """What becomes of a referred drawdown, and why."""

    decision: Literal["approve", "decline"]
    reason: _Text
