"""Products: what each takes, for how long, in which form and up to what; data of the programme (DOMAIN §2, §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from services.credit.domain.plans import PlanRules

Form = Literal["loan", "purchase"]
ANY_INDUSTRY = "*"


class ProductNotOffered(Exception):
    """The programme offers no such product to this line, or none for what the drawdown stands on."""

    code: ClassVar[str] = "product_not_offered"

    def __init__(self, *, product: str | None, reason: str) -> None:
        """Keep the product, if one was named, and why it is not offered."""
        self.product = product
        self.reason = reason
        super().__init__(f"The line offers no {product or 'product'} for this: {reason}.")


class TenorNotOffered(Exception):
    """A drawdown without documents says for how long, within the product's bounds; of others the documents do."""

    code: ClassVar[str] = "tenor_not_offered"

    def __init__(self, *, shortest_days: int, longest_days: int) -> None:
        """Keep the bounds."""
        self.shortest_days = shortest_days
        self.longest_days = longest_days
        super().__init__(f"A tenor is named where there is no document, {shortest_days} to {longest_days} days.")


@dataclass(frozen=True, slots=True)
class Use:
    """What a drawdown is: lent or bought, and whose risk its price carries."""

    form: Form
    risk: Literal["borrower", "obligor"]


@dataclass(frozen=True, slots=True)
class Product:
    """One version of a product; amounts in minor units, rates in millionths.

    `documents` are the kinds it takes, none of a pure credit. `with_recourse` and `without_recourse` say what it then
    is; None where it is never so. `cover` is what bears principal and interest: the payable or the goods alone, the
    anchor's support, a pledge beside the line, or the line. `quotas` go by currency, industry and size class. `plans`
    say by which instalments it is repaid; only what stands on no document has any, because there the borrower pays.
    """

    name: str
    version: str
    documents: frozenset[str]
    directions: frozenset[str]
    with_recourse: Use | None
    without_recourse: Use | None
    advance_rate: int
    shortest_days: int
    longest_days: int
    payee: Literal["drawer", "anchor", "named"]
    interest_payer: Literal["programme", "seller"]
    revolving: bool
    cover: Literal["payable", "goods", "anchor", "line", "pledge"]
    quotas: Mapping[str, Mapping[str, Mapping[str, int]]]
    price: str
    plans: PlanRules | None = None

    def __post_init__(self) -> None:
        """Refuse plans where an obligor pays its documents when they are due."""
        if self.plans is not None and self.documents:
            message = f"{self.name}: its documents' obligor pays, at their due date; it has no plans"
            raise ValueError(message)

    @property
    def on_claims(self) -> bool:
        """Return whether somebody owes what it stands on; of goods, and without a document, only the borrower does."""
        return bool(self.documents - {"goods"})

    @property
    def documents_bear_interest(self) -> bool:
        """Return whether its documents alone bear the interest too."""
        return self.cover in {"payable", "goods"}

    def recourse(self, *, agreed: bool) -> bool:
        """Return whether it has recourse: as the programme agreed where both are possible, else as it must."""
        if self.with_recourse is None:
            return False
        return agreed or self.without_recourse is None

    def use(self, *, recourse: bool) -> Use:
        """Return what it is with recourse or without."""
        found = self.with_recourse if recourse else self.without_recourse
        if found is None:
            raise ProductNotOffered(product=self.name, reason="recourse")
        return found

    def pays_interest(self, *, agreed: Literal["seller", "anchor"]) -> Literal["seller", "anchor"]:
        """Return who pays the interest: as the programme agreed, unless it is the product's own word."""
        return agreed if self.interest_payer == "programme" else self.interest_payer

    def quota(self, *, currency: str, industry: str, size_class: str) -> int | None:
        """Return the most one line of it may be; None where it has no quota of its own, 0 where none is set for these.

        An industry of its own goes before the rest.
        """
        if not self.quotas:
            return None
        industries = self.quotas.get(currency, {})
        sizes = industries.get(industry) or industries.get(ANY_INDUSTRY, {})
        return sizes.get(size_class, 0)


def line_quota(products: Iterable[Product], *, currency: str, industry: str, size_class: str) -> int | None:
    """Return the most a line of these products may be: the sum of their quotas; None where one has none of its own."""
    quotas = [each.quota(currency=currency, industry=industry, size_class=size_class) for each in products]
    return None if not quotas or None in quotas else sum(quota or 0 for quota in quotas)


def derived(*, recourse: bool) -> tuple[str, ...]:
    """Return the products of a programme that names none: what receivables and vouchers carried before there were."""
    first = "receivables_discounting" if recourse else "payables_finance"
    return first, "deep_tier", "distributor_finance"


def in_direction(products: Iterable[Product], direction: str) -> tuple[Product, ...]:
    """Return the products that a line of this direction has, in the programme's order."""
    return tuple(product for product in products if direction in product.directions)


def choose(products: Sequence[Product], *, named: str | None, kinds: Sequence[str]) -> Product:
    """Return the product of a drawdown on documents of these kinds: the named one, or the first that takes them.

    ProductNotOffered when there is none. Kinds do not mix, which the first document says for all; no documents go
    only with a product that takes none.
    """
    kind = kinds[0] if kinds else None
    if named is None:
        for product in products:
            if _takes(product, kind):
                return product
        raise ProductNotOffered(product=None, reason=f"no_product_takes_{kind or 'no_document'}")
    for product in products:
        if product.name == named:
            if _takes(product, kind):
                return product
            raise ProductNotOffered(product=named, reason=f"takes_no_{kind}" if kind else "needs_a_document")
    raise ProductNotOffered(product=named, reason="not_in_the_programme")


def _takes(product: Product, kind: str | None) -> bool:
    return kind in product.documents if kind is not None else not product.documents


def check_tenor(product: Product, *, tenor_days: int | None, longest_days: int) -> int:
    """Return the tenor asked for without documents; TenorNotOffered outside the product's and programme's bounds."""
    longest = min(product.longest_days, longest_days)
    if tenor_days is None or not product.shortest_days <= tenor_days <= longest:
        raise TenorNotOffered(shortest_days=product.shortest_days, longest_days=longest)
    return tenor_days
