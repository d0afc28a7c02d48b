"""What collateral and guarantees secure of open loans, by kind: for what a bank would expect to lose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from services.credit.domain.covers import Cover, CoverState, Haircuts, Need, allocate, lending_values
from services.credit.domain.paths import cover_line_node, cover_node
from services.credit.domain.support import secured_on
from services.credit.domain.what_if import Covered
from services.credit.operations.cover_policies import haircuts
from services.credit.operations.cover_rows import cover_of
from services.credit.operations.line_terms import read_lines
from services.credit.queries.covers import LOANS, base_of
from shared.storage.database import Transaction
from shared.values.rates import MILLION, share_of

# Charges on an asset share it, whosever loans they secure.
_COVERS = """
SELECT * FROM cover WHERE state = 'registered' AND currency = $2 AND asset IN (
    SELECT asset FROM cover WHERE enterprise_id = ANY($1) AND currency = $2 AND state = 'registered')
ORDER BY cover_id
"""


@dataclass(frozen=True, slots=True)
class Loan:
    """An open loan of a firm that has cover: who owes its documents, what is open, and what they do not carry."""

    firm_id: str
    obligor_id: str
    need: Need
    open_minor: int


@dataclass(frozen=True)
class Securities:
    """Registered covers of some firms, with the charges of others on the same assets, and the loans they may secure."""

    charges: Sequence[Cover]
    owners: Mapping[str, str]
    providers: Mapping[str, str]
    loans: Collection[Loan]
    haircuts: Haircuts
    today: date

    @cached_property
    def values(self) -> Mapping[str, int]:
        """Return what each charge carries."""
        return lending_values(self.charges, self.haircuts, on=self.today)

    @cached_property
    def covers(self) -> Mapping[str, Sequence[Cover]]:
        """Return the firms' covers."""
        found: dict[str, list[Cover]] = defaultdict(list)
        for cover in self.charges:
            if cover.cover_id in self.owners:
                found[self.owners[cover.cover_id]].append(cover)
        return found

    def supposed(self, changes: Iterable[Covered], failed: Collection[str]) -> Securities:
        """Return them as they would be: of other values or gone, and no guarantee of a firm that fails."""
        by_id = {cover.cover_id: cover for cover in self.charges}
        for change in changes:
            if change.cover_id in by_id:
                by_id[change.cover_id] = _changed(by_id[change.cover_id], change)
        charges = [
            replace(each, state=CoverState.ENFORCED)
            if each.kind == "guarantee" and self.providers[each.cover_id] in failed
            else each
            for each in by_id.values()
        ]
        return replace(self, charges=charges)

    def changed_from(self, other: Securities) -> frozenset[str]:
        """Return the firms of which a cover carries something else than by another reading."""
        return frozenset(
            firm_id for cover_id, firm_id in self.owners.items() if self.values[cover_id] != other.values[cover_id]
        )

    def sanctioned(self, line_id: str, firm_id: str, currency: str) -> dict[str, int]:
        """Return what the nodes of cover are sanctioned that a loan on a line of a firm may hold."""
        own = self.covers.get(firm_id, ())
        line_node = cover_line_node(enterprise_id=firm_id, currency=currency, line_id=line_id)
        return {
            cover_node(enterprise_id=firm_id, currency=currency): sum(self.values[each.cover_id] for each in own),
            line_node: secured_on(own, self.values, line_id=line_id),
        }

    def secured(self, failed: Collection[str] = ()) -> dict[str, dict[str, int]]:
        """Return how much of each loan is secured, by kind of cover.

        Documents of an obligor that failed carry nothing, so the cover is needed for all that is open.
        """
        kinds = {cover.cover_id: cover.kind for cover in self.charges}
        needs: dict[str, list[Need]] = defaultdict(list)
        for loan in self.loans:
            minor = loan.open_minor if loan.obligor_id in failed else loan.need.minor
            needs[loan.firm_id].append(Need(loan.need.drawdown_id, loan.need.line_id, minor))
        found: dict[str, dict[str, int]] = {}
        for firm_id, covers in self.covers.items():
            for drawdown_id, parts in allocate(covers, self.values, needs[firm_id]).secured.items():
                by_kind: dict[str, int] = defaultdict(int)
                for cover_id, minor in parts.items():
                    by_kind[kinds[cover_id]] += minor
                found[drawdown_id] = by_kind
        return found


def _changed(cover: Cover, change: Covered) -> Cover:
    if change.gone:
        return replace(cover, state=CoverState.RELEASED)
    if change.value is not None:
        return replace(cover, value_minor=change.value.amount_minor)
    return replace(cover, value_minor=share_of(amount=cover.value_minor, millionths=MILLION + (change.by or 0)))


async def read_securities(tx: Transaction, *, firm_ids: Collection[str], currency: str, today: date) -> Securities:
    """Return what secures the loans of firms in a currency on the open business date.

    Only for firms that have cover are their loans looked at: on all lines, because every line shares the cover.
    """
    rows = await tx.pg.fetch(_COVERS, sorted(firm_ids), currency)
    owners = {row["cover_id"]: row["enterprise_id"] for row in rows if row["enterprise_id"] in firm_ids}
    found = await tx.pg.fetch(LOANS, sorted(set(owners.values())), currency) if owners else []
    lines, _ = await read_lines(tx, line_ids={row["line_id"] for row in found}) if found else ({}, {})
    loans = []
    for row in found:
        need = max(0, row["open_minor"] - base_of(row, lines[row["line_id"]]))
        loans.append(
            Loan(
                row["enterprise_id"],
                row["obligor_id"],
                Need(row["drawdown_id"], row["line_id"], need),
                row["open_minor"],
            )
        )
    providers = {row["cover_id"]: row["provider_id"] for row in rows}
    return Securities([cover_of(row) for row in rows], owners, providers, loans, haircuts(on=today), today)
