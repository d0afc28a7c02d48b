"""One claim, one financing (R8)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.receivables.domain.documents import FACTORED, EInvoice
from services.receivables.domain.parties import is_other_than

_SEPARATORS = re.compile(r"[^\w]+|_+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)-(?=\d)")


class DuplicateDocument(ValueError):
    """The seller's number of this year was taken in before, whatever obligor, type, format or channel (R8)."""

    code: ClassVar[str] = "duplicate_document"

    def __init__(self, *, receivable_id: str, number: str, issue_year: int, syntax: str) -> None:
        """Keep the receivable that stands; not its state: whoever brings it may not be told that (R23)."""
        self.receivable_id = receivable_id
        self.number = number
        self.issue_year = issue_year
        self.syntax = syntax
        super().__init__(f"The invoice {number!r} of {issue_year} was taken in before, as {receivable_id}.")


def number_key(number: str) -> str:
    """Return an invoice number as it is compared: forms and case folded, separators away unless between digits.

    INV-001, inv 001 and INV001 are one number; 1/11 and 11/1 stay two.
    """
    folded = _SEPARATORS.sub("-", unicodedata.normalize("NFKC", number).casefold()).strip("-")
    marked = _BETWEEN_DIGITS.sub("\0", folded).replace("-", "").replace("\0", "-")
    return marked or number.strip().casefold()


@dataclass(frozen=True, slots=True)
class Standing:
    """A receivable that has the same seller and number."""

    receivable_id: str
    obligor_id: str
    issue_year: int
    number: str
    syntax: str


def same_claim(standing: Sequence[Standing], *, obligor_id: str, issue_year: int) -> Standing | None:
    """Return what stands and is this very claim: of the same year, owed by the same firm (R8)."""
    found = (each for each in standing if (each.issue_year, each.obligor_id) == (issue_year, obligor_id))
    return next(found, None)


def why_refer(
    standing: Sequence[Standing], *, obligor_id: str, issue_year: int, document_type: str, other_payee: bool
) -> list[str]:
    """Return why a person must look before anybody confirms: what may be sold twice, or assigned already (R8)."""
    reasons = []
    if standing and any(each.issue_year != issue_year for each in standing):
        reasons.append("same_number_in_another_year")
    if standing and any(each.obligor_id != obligor_id for each in standing):
        reasons.append("same_number_to_another_obligor")
    if other_payee:
        reasons.append("payee_is_not_the_seller")
    if document_type == FACTORED:
        reasons.append("factored_invoice")
    return reasons


def stated_reasons(invoice: EInvoice, *, seller_id: str = "", whole: bool = True) -> list[str]:
    """Return why a person must look at what the document itself states (R7, R8).

    `whole` is false of a profile that has no place for all the totals: they cannot disagree.
    """
    other_payee = invoice.payee is not None and is_other_than(invoice.payee, invoice.seller, seller_id=seller_id)
    reasons = why_refer(
        [],
        obligor_id="",
        issue_year=invoice.issue_date.year,
        document_type=invoice.document_type,
        other_payee=other_payee,
    )
    if whole and invoice.computed is not None and invoice.computed != invoice.payable:
        reasons.append("totals_disagree")
    return reasons
