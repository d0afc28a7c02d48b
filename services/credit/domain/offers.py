"""What the bank offers on a line over documents: amounts, price and dates, or why it does not (DOMAIN §3, §4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar, Literal

from services.credit.domain.eligibility import (
    BaseExceeded,
    Drawer,
    Financeable,
    NotDrawable,
    NotEligible,
    borrowing_base,
    check_base,
    check_document,
    maturity_of,
)
from services.credit.domain.paths import Step
from services.credit.domain.plans import AskedPlan, InvalidPlan, Lent, Planned, planned
from services.credit.domain.pricing import (
    Borrower,
    Price,
    PricePolicy,
    TrackRecord,
    all_in_rate,
    discount,
    fee,
    largest_principal,
    price,
)
from services.credit.domain.products import Form, Product, ProductNotOffered, TenorNotOffered, check_tenor
from services.credit.domain.support import Support
from shared.values.money import CurrencyMismatch, InvalidAmount, Money, minor_text


class DocumentInUse(Exception):
    """Another drawdown stands on this document: one active financing, first wins."""

    code: ClassVar[str] = "document_in_use"

    def __init__(self, *, document_id: str) -> None:
        """Keep the document; whose drawdown it is, nobody learns here (R23)."""
        self.document_id = document_id
        super().__init__(f"Another drawdown stands on the document {document_id}.")


@dataclass(frozen=True, slots=True)
class Terms:
    """What line, programme, ratings and a product say of any drawdown of that product on a line.

    Rate, tenor, recourse and who pays the interest are the product's, as far as the programme does not bind them more.
    """

    line_id: str
    programme_id: str
    obligor_id: str
    drawer: Drawer
    path: tuple[Step, ...]
    not_drawable: tuple[str, ...]
    product: Product
    recourse: bool
    form: Form
    advance_rate: int
    borrower_spread: int
    obligor_spread: int
    anchor_spread: int
    record: TrackRecord
    size_class: str
    interest_payer: Literal["seller", "anchor"]
    pricing_policy: str
    support: Support | None = None

    @property
    def payee_id(self) -> str:
        """Return whom the product pays: who draws, or the anchor whose goods a distributor buys."""
        return self.drawer.anchor_id if self.product.payee == "anchor" else self.drawer.enterprise_id


@dataclass(frozen=True, slots=True)
class Offer:
    """A drawdown as it would be: `exposure` is what the limits carry, a purchase's face or a loan's principal.

    Without a `repayment` it is repaid at its maturity; with one that is its last due date. `on_cover_minor` of the
    principal no document carries, but the firm's cover does.
    """

    principal: Money
    face: Money
    exposure: Money
    price: Price
    fee_minor: int
    due_date: date
    maturity_date: date
    start_date: date
    repayment: Planned | None = None
    on_cover_minor: int = 0


@dataclass(frozen=True, slots=True)
class Quoted:
    """A price that binds the bank until the quote expires."""

    rate: int
    penalty_rate: int
    fee_minor: int


def offer(
    terms: Terms,
    documents: Sequence[Financeable],
    *,
    principal: Money,
    policy: PricePolicy,
    on: date,
    quoted: Quoted | None = None,
    tenor_days: int | None = None,
    plan: AskedPlan | None = None,
) -> Offer:
    """Return what a drawdown of this principal over these documents would be, at the quoted price if there is one.

    Without documents it lasts as long as it says. NotDrawable, NotEligible, BaseExceeded, TenorNotOffered,
    ProductNotOffered, PlanNotOffered, InvalidPlan, CurrencyMismatch or InvalidAmount say why there is none.
    """
    drawer, product = terms.drawer, terms.product
    _check_principal(principal, currency=drawer.currency)
    if terms.not_drawable:
        raise NotDrawable(reasons=terms.not_drawable)
    if documents and tenor_days is None:
        due, maturity = _dates(terms, documents, on=on)
    elif documents:
        raise TenorNotOffered(shortest_days=product.shortest_days, longest_days=drawer.max_tenor_days)
    else:
        due = on + timedelta(days=check_tenor(product, tenor_days=tenor_days, longest_days=drawer.max_tenor_days))
        maturity = due
    if quoted is not None:
        priced = Price((), quoted.rate, quoted.penalty_rate)
    elif product.price in policy.product:
        priced = price(policy, _borrower(terms), on=on, tenor_days=(maturity - on).days)
    else:
        raise ProductNotOffered(product=product.name, reason="no_price")
    face, on_cover = principal, 0
    if documents:
        face = Money(sum(document.eligible_minor for document in documents), drawer.currency)
        on_cover = _above_documents(
            terms, documents, principal=principal, face=face, rate=priced.rate, dates=(on, maturity), of=policy
        )
    if product.cover == "pledge":
        on_cover = _on_pledge(terms, principal)
    repayment = None
    if plan is not None:
        lent = Lent(principal.amount_minor, priced.rate, on, maturity, policy.day_count)
        repayment = _repayment(terms, plan, lent)
        if repayment.kind != "bullet":
            due = maturity = repayment.maturity
    return Offer(
        principal=principal,
        face=face,
        exposure=face if terms.form == "purchase" else principal,
        price=priced,
        fee_minor=quoted.fee_minor if quoted else fee(policy, principal_minor=principal.amount_minor),
        due_date=due,
        maturity_date=maturity,
        start_date=on,
        repayment=repayment,
        on_cover_minor=on_cover,
    )


def _repayment(terms: Terms, asked: AskedPlan, lent: Lent) -> Planned:
    if terms.form == "purchase":
        raise InvalidPlan(reason="what is bought is not repaid by its seller")
    return planned(asked, terms.product.plans, lent, product=terms.product.name)


def _on_pledge(terms: Terms, principal: Money) -> int:
    """Return that all of it stands on registered cover; BaseExceeded when there is less on the line at most."""
    most = terms.support.most if terms.support else 0
    if principal.amount_minor > most:
        raise BaseExceeded(most=Money(most, principal.currency), requested=principal, reason="registered_cover")
    return principal.amount_minor


def _dates(terms: Terms, documents: Sequence[Financeable], *, on: date) -> tuple[date, date]:
    """Return the latest due date and the maturity; NotEligible names the document that cannot be financed."""
    for document in documents:
        check_document(terms.drawer, document, on=on)
        if document.kind != documents[0].kind:
            raise NotEligible(document_id=document.document_id, reason="kinds_do_not_mix")
    maturity = maturity_of(documents, buffer_days=terms.drawer.buffer_days)
    if (maturity - on).days < terms.product.shortest_days:
        raise NotEligible(document_id=documents[0].document_id, reason="due_before_the_shortest_tenor")
    return max(document.due_date for document in documents), maturity


def _above_documents(
    terms: Terms,
    documents: Sequence[Financeable],
    *,
    principal: Money,
    face: Money,
    rate: int,
    dates: tuple[date, date],
    of: PricePolicy,
) -> int:
    """Return how much of a principal is above the borrowing base, or above what the payable bears with its interest.

    Without other cover the payable or the goods bear both; the anchor's support, a pledge or the line is other cover.
    BaseExceeded when that is more than the firm's cover carries on the line at most. A pledge that the product needs
    stands beside the documents, not in their place.
    """
    base_minor = borrowing_base(documents, advance_rate=terms.advance_rate)
    largest = base_minor
    if terms.form == "loan" and terms.product.documents_bear_interest:
        start, end = dates
        largest = largest_principal(
            payable_minor=face.amount_minor, rate=rate, start=start, end=end, day_count=of.day_count
        )
    cover = terms.support
    if cover is None or terms.form == "purchase" or terms.product.cover == "pledge":
        check_base(principal=principal, base_minor=base_minor, largest_minor=largest)
        return 0
    most = cover.most
    check_base(principal=principal, base_minor=base_minor + most, largest_minor=largest + most)
    return max(0, principal.amount_minor - min(base_minor, largest))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a drawdown costs when it is paid at maturity, and what the payee gets."""

    interest_minor: int
    fee_minor: int
    paid_out_minor: int
    all_in_rate: int


def cost_of(terms: Terms, offered: Offer, policy: PricePolicy) -> Cost:
    """Return interest to maturity, the fee, what is paid out, and all of it as one yearly rate.

    A purchase keeps the discount back, unless the anchor pays the interest; a loan's interest comes in arrears.
    """
    principal, repayment = offered.principal.amount_minor, offered.repayment
    interest = (
        repayment.interest
        if repayment is not None
        else discount(
            face_minor=principal,
            rate=offered.price.rate,
            start=offered.start_date,
            end=offered.maturity_date,
            day_count=policy.day_count,
        )
    )
    borne = interest if terms.interest_payer == "seller" else 0
    kept_back = borne if terms.form == "purchase" else 0
    yearly = all_in_rate(
        principal_minor=principal - kept_back,
        interest_minor=borne,
        fee_minor=offered.fee_minor,
        tenor_days=(offered.maturity_date - offered.start_date).days,
        lent_days=repayment.lent_days(principal_minor=principal, start=offered.start_date) if repayment else None,
    )
    return Cost(interest, offered.fee_minor, principal - kept_back - offered.fee_minor, yearly)


def _check_principal(principal: Money, *, currency: str) -> None:
    if principal.currency != currency:
        raise CurrencyMismatch(expected=currency, found=principal.currency)
    if principal.amount_minor <= 0:
        text = minor_text(amount_minor=principal.amount_minor, currency=principal.currency)
        raise InvalidAmount(amount=text, reason="is not above zero")


def _borrower(terms: Terms) -> Borrower:
    """Whoever the bank looks to: the obligor of what it buys and of a voucher, else the borrower."""
    on_obligor = terms.product.use(recourse=terms.recourse).risk == "obligor"
    return Borrower(
        risk_spread=terms.obligor_spread if on_obligor else terms.borrower_spread,
        product=terms.product.price,
        tier=terms.drawer.tier,
        record=terms.record,
        size_class=terms.size_class,
    )
