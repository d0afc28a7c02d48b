"""Which firms a folder of e-invoices names: by valid legal identifiers, else by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from services.receivables.domain.documents import EInvoice, Party
from services.receivables.domain.parties import name_key
from shared.values.ids import InvalidLegalIdentifier, check_legal_identifier
from tributary.demo.plan import Firm

_SCHEMES = ("vat", "lei", "uscc")
_UNKNOWN_COUNTRY = "ZZ"
# VAT numbers write Greece EL, Northern Ireland XI.
_VAT_COUNTRIES = {"EL": "GR", "XI": "GB", "EU": _UNKNOWN_COUNTRY}
_LONGEST_NAME = 300

Identifier = tuple[str, str]


@dataclass(frozen=True, slots=True)
class FirmBook:
    """The firms, and how a party of a document finds its own."""

    firms: tuple[Firm, ...]
    by_identifier: Mapping[Identifier, str]
    by_name: Mapping[str, str]

    def key_of(self, party: Party) -> str | None:
        """Return the key of the firm that a party is, None when the document names nobody."""
        found = sorted({self.by_identifier[each] for each in identifiers_of(party) if each in self.by_identifier})
        return found[0] if found else self.by_name.get(name_key(_name(party)))


def identifiers_of(party: Party) -> set[Identifier]:
    """Return the party's legal identifiers whose check digits are right (R24), normalised."""
    found = set()
    for given in party.identifiers:
        for scheme in _SCHEMES:
            try:
                found.add((scheme, check_legal_identifier(scheme=scheme, identifier=given.text)))
            except InvalidLegalIdentifier:
                continue
    return found


def firms_of(invoices: Iterable[EInvoice]) -> FirmBook:
    """Return every seller and buyer as a firm.

    Spellings of a name that share an identifier are one firm, called by the one used most. Who has no identifier that
    is valid and its own goes by its name.
    """
    invoices = list(invoices)
    parties = [party for invoice in invoices for party in (invoice.seller, invoice.buyer)]
    shared = _shared(invoices, parties)
    groups = _groups([identifiers_of(party) - shared for party in parties])
    names: dict[int, Counter[str]] = defaultdict(Counter)
    nameless: Counter[str] = Counter()
    for party in parties:
        group = next((groups[each] for each in identifiers_of(party) - shared), None)
        if group is not None:
            names[group][_name(party)] += 1
        elif _name(party):
            nameless[_name(party)] += 1
    return _book(groups, names, nameless)


def _shared(invoices: Iterable[EInvoice], parties: Iterable[Party]) -> set[Identifier]:
    """Return the identifiers that tell nobody apart: a tax group's, or one that writers of examples like.

    Seller and buyer of one invoice both bear it, or names that do not even begin alike do.
    """
    found = {each for invoice in invoices for each in identifiers_of(invoice.seller) & identifiers_of(invoice.buyer)}
    beginnings: dict[Identifier, set[str]] = defaultdict(set)
    for party in parties:
        for each in identifiers_of(party):
            beginnings[each] |= set(name_key(_name(party)).split()[:1])
    return found | {each for each, words in beginnings.items() if len(words) > 1}


def _groups(sets: Iterable[Collection[Identifier]]) -> dict[Identifier, int]:
    """Return which identifiers belong to one firm: those that ever stood together."""
    group: dict[Identifier, int] = {}
    for nth, found in enumerate(sets):
        joined = {group[each] for each in found if each in group}
        for each, number in list(group.items()):
            if number in joined:
                group[each] = nth
        group.update(dict.fromkeys(found, nth))
    return group


def _book(groups: Mapping[Identifier, int], names: Mapping[int, Counter[str]], nameless: Counter[str]) -> FirmBook:
    firms: list[Firm] = []
    by_identifier: dict[Identifier, str] = {}
    by_name: dict[str, str] = {}
    for group, called in names.items():
        mine = sorted(each for each, number in groups.items() if number == group)
        first_of_each = dict(reversed(mine))
        name = min(called, key=lambda each: (-called[each], each)) or next(iter(first_of_each.values()))
        taken = name_key(name) in by_name
        firm = Firm(
            f"firm-{len(firms) + 1}",
            f"{name} ({next(iter(first_of_each.values()))})"[:_LONGEST_NAME] if taken else name[:_LONGEST_NAME],
            _country(first_of_each),
            first_of_each,
        )
        firms.append(firm)
        by_identifier |= dict.fromkeys(mine, firm.key)
        by_name.setdefault(name_key(firm.name), firm.key)
    for name in nameless:
        if name_key(name) not in by_name:
            firm = Firm(f"firm-{len(firms) + 1}", name[:_LONGEST_NAME], _UNKNOWN_COUNTRY)
            firms.append(firm)
            by_name[name_key(name)] = firm.key
    return FirmBook(tuple(firms), by_identifier, by_name)


def _country(identifiers: Mapping[str, str]) -> str:
    if "uscc" in identifiers:
        return "CN"
    prefix = identifiers.get("vat", "")[:2]
    return _VAT_COUNTRIES.get(prefix, prefix or _UNKNOWN_COUNTRY)


def _name(party: Party) -> str:
    return party.name or party.trading_name
