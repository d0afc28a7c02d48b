"""What the story takes from a folder of e-invoices: the firms, an anchor and a programme per currency, its dates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from services.receivables.domain.documents import EInvoice
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.parties import is_other_than
from services.receivables.domain.reading import read_document
from services.receivables.operations.judging.pdfs import invoice_in_pdf
from shared.values.money import MAX_MINOR, minor_digits
from tributary.demo.firms import FirmBook, firms_of
from tributary.demo.plan import Firm, InvoiceFile, Plan, ProgrammePlan, Roles, Trade, story_dates

_MEDIA_TYPES = {".xml": "application/xml", ".pdf": "application/pdf", ".json": "application/json", ".csv": "text/csv"}
_UNKNOWN_TYPE = "application/octet-stream"
_FALLBACK_CURRENCY = "EUR"
_SMALLEST_TRADE = 10_000
_LONGEST_NAME = 280
_MADE_UP = {
    "anchor": Firm("anchor", "Demo Anchor", "ZZ", size_class="large"),
    "first": Firm("first", "Demo Supplier One", "ZZ"),
    "second": Firm("second", "Demo Supplier Two", "ZZ"),
    "third": Firm("third", "Demo Supplier Three", "ZZ"),
    "deep": Firm("deep", "Demo Tier-Two Supplier", "ZZ", size_class="micro"),
    "distributor": Firm("distributor", "Demo Distributor", "ZZ"),
}


class NotAFolder(NotADirectoryError):
    """What was named is no folder."""

    code = "not_a_folder"

    def __init__(self, *, path: Path) -> None:
        """Keep the path."""
        self.path = path
        super().__init__(f"{path} is not a folder of e-invoices.")


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of the folder: who is owed what by whom; twins and copies are one claim.

    What is to be paid to somebody `elsewhere` than the seller waits for a person (R8).
    """

    seller: str
    buyer: str
    currency: str
    payable_minor: int
    elsewhere: bool


def folder_plan(folder: Path, *, today: date) -> Plan:
    """Return the story's plan on a folder of e-invoices; NotAFolder when there is none."""
    if not folder.is_dir():
        raise NotAFolder(path=folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    read = {name: found for name, body in files.items() if (found := _read(body)) is not None}
    book = firms_of(read.values())
    claims = _claims(read.values(), book)
    by_currency: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_currency[claim.currency].append(claim)
    anchors = {currency: _anchor_of(found) for currency, found in by_currency.items()}
    main = _main_currency(by_currency)
    opening, story_date = story_dates(issued=[each.issue_date for each in read.values()], today=today)
    cast = _Cast(main, anchors.get(main), by_currency[main])
    others = [
        _programme(currency, anchors[currency], found) for currency, found in by_currency.items() if currency != main
    ]
    owners = {name: _owner(invoice, book, anchors) for name, invoice in read.items()}
    apart = {name: each for name, invoice in read.items() if (each := _told_apart(invoice, book)) is not None}

    def listed(_: Mapping[str, str]) -> list[InvoiceFile]:
        parties = {name: (seller, buyer.key) for name, (seller, buyer) in apart.items()}
        return [
            InvoiceFile(name, body, _media_type(name, body), owners.get(name), parties.get(name))
            for name, body in files.items()
        ]

    namesakes = {buyer.key: buyer for _, buyer in apart.values()}
    firms = (*book.firms, *namesakes.values(), *(_MADE_UP[role] for role in cast.made_up))
    title = f"{folder.name}: {len(files)} files"
    return Plan(title, firms, cast.programme(), others, cast.roles(), opening, story_date, listed, cast.lacks())


def _read(body: bytes) -> EInvoice | None:
    """Return the invoice in a file, None when intake will refuse it, whatever the reason."""
    try:
        return read_document(invoice_in_pdf(body) if body.startswith(b"%PDF") else body)
    except ValueError:
        return None


def _media_type(name: str, body: bytes) -> str:
    found = _MEDIA_TYPES.get(Path(name).suffix.lower())
    if found is None and body[:200].lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return _MEDIA_TYPES[".xml"]
    return found or _UNKNOWN_TYPE


def _claims(invoices: Iterable[EInvoice], book: FirmBook) -> list[Claim]:
    found: dict[tuple[str, str, int], Claim] = {}
    for invoice in invoices:
        seller, buyer = book.key_of(invoice.seller), book.key_of(invoice.buyer)
        if seller is None or buyer is None or seller == buyer:
            continue
        key = (seller, number_key(invoice.number), invoice.issue_date.year)
        elsewhere = invoice.payee is not None and is_other_than(invoice.payee, invoice.seller, seller_id=seller)
        found.setdefault(key, Claim(seller, buyer, invoice.currency, invoice.payable.amount_minor, elsewhere))
    return list(found.values())


def _ranked(claims: Iterable[Claim], who: str) -> list[str]:
    """Return the sellers or buyers of claims: by number, then total, then key."""
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for claim in claims:
        counts[getattr(claim, who)] += 1
        totals[getattr(claim, who)] += claim.payable_minor
    return sorted(counts, key=lambda key: (-counts[key], -totals[key], key))


def _anchor_of(claims: Sequence[Claim]) -> str:
    return _ranked(claims, "buyer")[0]


def _main_currency(by_currency: Mapping[str, Sequence[Claim]]) -> str:
    ranked = sorted(by_currency, key=lambda currency: (-len(by_currency[currency]), currency))
    return ranked[0] if ranked else _FALLBACK_CURRENCY


def _owner(invoice: EInvoice, book: FirmBook, anchors: Mapping[str, str]) -> str | None:
    """Return the anchor whose ERP uploads an invoice: what it owes itself; all else the bank's operations send."""
    buyer, seller = book.key_of(invoice.buyer), book.key_of(invoice.seller)
    return buyer if buyer is not None and buyer != seller and buyer == anchors.get(invoice.currency) else None


def _told_apart(invoice: EInvoice, book: FirmBook) -> tuple[str, Firm] | None:
    """Return seller and a namesake as buyer where a document calls both alike: a firm owes itself nothing."""
    seller, buyer = book.key_of(invoice.seller), book.key_of(invoice.buyer)
    if seller is None or seller != buyer:
        return None
    firm = next(each for each in book.firms if each.key == seller)
    return seller, Firm(f"{seller}-buyer", f"{firm.name[:_LONGEST_NAME]} (as buyer)", firm.country)


def _trades(claims: Iterable[Claim]) -> list[Trade]:
    totals: Counter[tuple[str, str]] = Counter()
    for claim in claims:
        totals[claim.seller, claim.buyer] += claim.payable_minor
    return [Trade(seller, buyer, min(MAX_MINOR, total)) for (seller, buyer), total in totals.items()]


def _programme(currency: str, anchor: str, claims: Sequence[Claim]) -> ProgrammePlan:
    """Return a programme in a currency that is not the story's: the anchor and whoever supplies it."""
    owed = [claim for claim in claims if claim.buyer == anchor]
    return ProgrammePlan(currency, anchor, _trades(owed), _sum(owed))


def _sum(claims: Iterable[Claim]) -> int:
    return min(MAX_MINOR // 4, sum(claim.payable_minor for claim in claims))


class _Cast:
    """Who plays whom in the story's currency; what the folder cannot give is made up, and said."""

    def __init__(self, currency: str, anchor: str | None, claims: Sequence[Claim]) -> None:
        """Fill the roles from the claims."""
        self.currency = currency
        self.made_up: list[str] = []
        self.anchor = anchor or self._make_up("anchor")
        self.owed = [claim for claim in claims if claim.buyer == self.anchor]
        certain = _ranked([claim for claim in self.owed if not claim.elsewhere], "seller")
        sellers = list(dict.fromkeys([*certain, *_ranked(self.owed, "seller")]))
        self.tier_one = [*sellers]
        for nth, role in enumerate(("first", "second", "third")):
            if nth >= len(sellers):
                self.tier_one.append(self._make_up(role))
        taken = {self.anchor, *self.tier_one}
        behind = [each for each in claims if each.buyer == self.tier_one[0] and each.seller not in taken]
        bought = [each for each in claims if each.seller == self.anchor and each.buyer not in taken]
        self.deep = next(iter(_ranked(behind, "seller")), None) or self._make_up("deep")
        bought = [each for each in bought if each.buyer != self.deep]
        self.distributor = next(iter(_ranked(bought, "buyer")), None) or self._make_up("distributor")
        self.known_trades = _trades([*self.owed, *behind, *bought])

    def _make_up(self, role: str) -> str:
        self.made_up.append(role)
        return _MADE_UP[role].key

    def roles(self) -> Roles:
        """Return who plays whom."""
        first, second, third = self.tier_one[:3]
        return Roles(first=first, second=second, third=third, deep=self.deep, distributor=self.distributor)

    def programme(self) -> ProgrammePlan:
        """Return the story's programme: trade as the folder says, and made-up trade of the same size beside it."""
        smallest = _SMALLEST_TRADE * 10 ** minor_digits(self.currency)
        trades = {(each.supplier, each.buyer): each.traded_minor for each in self.known_trades}
        like = max([smallest, *(trades.get((key, self.anchor), 0) for key in self.tier_one)])
        for key in self.tier_one:
            trades.setdefault((key, self.anchor), like)
        for pair in ((self.deep, self.tier_one[0]), (self.anchor, self.distributor)):
            trades.setdefault(pair, like // 2)
        listed = [Trade(supplier, buyer, traded) for (supplier, buyer), traded in trades.items()]
        outsiders = {each.supplier for each in listed if each.buyer == self.tier_one[0]} - {self.deep}
        outsiders |= {each.buyer for each in listed if each.supplier == self.anchor} - {self.distributor}
        return ProgrammePlan(self.currency, self.anchor, listed, _sum(self.owed), frozenset(outsiders))

    def lacks(self) -> dict[str, str]:
        """Return, by step, what the folder could not give."""
        words = {
            "anchor": "a buyer",
            "first": "a supplier of the anchor",
            "second": "a second supplier of the anchor",
            "third": "a third supplier of the anchor",
            "deep": "a supplier behind the first one",
            "distributor": "a buyer of the anchor's own",
        }
        missing = [words[role] for role in self.made_up]
        return {"firms": f"{', '.join(missing)} in {self.currency}"} if missing else {}
