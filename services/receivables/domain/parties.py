"""Who a document means: by any identifier it gives, else by a name that only one firm has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from services.receivables.domain.documents import Party

Side = Literal["seller", "obligor", "transferee"]
_SPACES = re.compile(r"\s+")
_SHORTEST_IDENTIFIER = 5


class UnknownParty(LookupError):
    """The document names a seller or obligor that no registered firm is, or that several could be."""

    code: ClassVar[str] = "unknown_party"

    def __init__(self, *, which: Side, name: str, why: Literal["not_registered", "ambiguous"]) -> None:
        """Keep which side, what the document calls it, and whether none or several match."""
        self.which = which
        self.name = name[:200]
        self.why = why
        several = "is not registered" if why == "not_registered" else "could be several registered firms"
        super().__init__(f"The {which} {self.name!r} {several}.")


def name_key(name: str) -> str:
    """Return a name as it is compared: compatibility forms folded, case and extra spaces away."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", name)).strip().casefold()


def identifier_key(text: str) -> str:
    """Return an identifier as it is compared, its scheme aside: letters and digits only; empty when too short."""
    key = "".join(each for each in unicodedata.normalize("NFKC", text).upper() if each.isalnum())
    return key if len(key) >= _SHORTEST_IDENTIFIER else ""


def keys_of(party: Party) -> tuple[list[str], list[str]]:
    """Return the identifier keys and the name keys by which a party may be found, the better name first."""
    identifiers = [key for each in party.identifiers if (key := identifier_key(each.text))]
    names = [key for name in (party.name, party.trading_name) if (key := name_key(name))]
    return list(dict.fromkeys(identifiers)), list(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Directory:
    """The registered firms that a batch of documents may mean."""

    known: frozenset[str] = frozenset()
    by_identifier: Mapping[str, frozenset[str]] = field(default_factory=dict)
    by_name: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def resolve(self, party: Party, *, which: Side) -> str:
        """Return the enterprise's id; UnknownParty when no firm, or more than one, answers to the party."""
        if party.enterprise_id is not None:
            if party.enterprise_id not in self.known:
                raise UnknownParty(which=which, name=party.enterprise_id, why="not_registered")
            return party.enterprise_id
        identifiers, names = keys_of(party)
        found = frozenset().union(*(self.by_identifier.get(key, frozenset()) for key in identifiers))
        candidates: Sequence[frozenset[str]] = [found, *(self.by_name.get(key, frozenset()) for key in names)]
        for firms in candidates:
            if len(firms) == 1:
                return next(iter(firms))
            if firms:
                raise UnknownParty(which=which, name=party.name, why="ambiguous")
        raise UnknownParty(which=which, name=party.name, why="not_registered")


def is_other_than(payee: Party, seller: Party, *, seller_id: str) -> bool:
    """Return whether the money is to go to somebody else than the seller (R8): no identifier and no name in common."""
    if payee.enterprise_id is not None:
        return payee.enterprise_id != seller_id
    payee_ids, payee_names = keys_of(payee)
    seller_ids, seller_names = keys_of(seller)
    same = not set(payee_ids).isdisjoint(seller_ids) or not set(payee_names).isdisjoint(seller_names)
    return bool(payee_ids or payee_names) and not same
