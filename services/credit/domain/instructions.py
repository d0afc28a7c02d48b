"""What a drawdown is for and whom it pays: purpose codes, payee, evidence, entrusted payment (DOMAIN §5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from services.credit.domain.plans import AskedPlan
from services.credit.domain.products import Form, Product
from shared.values.money import Money


class UnknownPurpose(ValueError):
    """No purpose has this code."""

    code: ClassVar[str] = "unknown_purpose"

    def __init__(self, *, purpose: str, known: list[str]) -> None:
        """Keep what was said (shortened) and the codes that there are."""
        self.purpose = purpose[:40]
        self.known = known
        super().__init__(f"A purpose is one of {', '.join(known)}.")


class EntrustedPaymentNeedsPayee(Exception):
    """A loan this large is paid to a payee named with evidence, never to the borrower."""

    code: ClassVar[str] = "entrusted_payment_needs_payee"

    def __init__(self, *, above: Money | None) -> None:
        """Keep the amount from which on it is so; None where the product always names its payee."""
        self.above = above
        super().__init__("The drawdown names who is paid, who is not the borrower, and the evidence for it.")


class PayeeNotAllowed(Exception):
    """The product says who is paid; the drawdown cannot."""

    code: ClassVar[str] = "payee_not_allowed"

    def __init__(self, *, product: str) -> None:
        """Keep the product."""
        self.product = product
        super().__init__(f"Whom {product} pays follows from the product.")


@dataclass(frozen=True, slots=True)
class Payee:
    """Who is paid, and where."""

    enterprise_id: str
    account: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that the payee is owed: a contract, an invoice, with the digest of its file."""

    kind: str
    reference: str
    digest: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the drawer chose; what it left open follows from the product."""

    product: str | None = None
    tenor_days: int | None = None
    payee: Payee | None = None
    evidence: tuple[Evidence, ...] = ()
    plan: AskedPlan | None = None


NO_INSTRUCTION = Instruction()


@dataclass(frozen=True, slots=True)
class PurposeRules:
    """One version of the purposes: each word that may be said with its code, and from where payment is entrusted."""

    version: str
    codes: Mapping[str, str]
    entrusted_above: Mapping[str, int]

    def code_of(self, purpose: str) -> str:
        """Return the code of a purpose; UnknownPurpose when there is none."""
        found = self.codes.get(purpose)
        if found is None:
            raise UnknownPurpose(purpose=purpose, known=sorted(set(self.codes.values())))
        return found


def check_payee(
    rules: PurposeRules, asked: Instruction, *, product: Product, form: Form, drawer_id: str, principal: Money
) -> None:
    """Refuse a payee where the product pays another, and a large loan without one; what is bought pays its seller.

    PayeeNotAllowed, EntrustedPaymentNeedsPayee. Whether the account is the payee's is looked at before approval.
    """
    payee = asked.payee
    if payee is not None and (form == "purchase" or product.payee == "anchor"):
        raise PayeeNotAllowed(product=product.name)
    above = rules.entrusted_above.get(principal.currency)
    large = form == "loan" and product.payee != "anchor" and above is not None and principal.amount_minor > above
    if not large and product.payee != "named":
        return
    if payee is None or payee.enterprise_id == drawer_id or not asked.evidence:
        raise EntrustedPaymentNeedsPayee(above=Money(above, principal.currency) if large and above else None)


def doubts(payee: Payee, accounts: Mapping[str, str], *, drawer_id: str) -> list[str]:
    """Return why a person must look at a payee: one that nobody registered, or an account that is another's."""
    registered = accounts.get(payee.enterprise_id)
    found = []
    if registered is None:
        found.append("payee_not_registered")
    elif registered != payee.account:
        found.append("payee_account_not_registered")
    if payee.enterprise_id != drawer_id and payee.account == accounts.get(drawer_id):
        found.append("payee_account_is_the_borrowers")
    return found
