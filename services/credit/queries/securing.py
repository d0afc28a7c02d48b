"""What collateral and guarantees secure of open loans, by kind: for what a bank would expect to lose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from services.credit.domain.covers import Cover, Need, allocate, lending_values
from services.credit.operations.cover_policies import haircuts
from services.credit.operations.cover_rows import cover_of
from services.credit.operations.line_terms import read_lines
from services.credit.queries.covers import LOANS, base_of
from shared.storage.database import Transaction

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


@dataclass(frozen=True, slots=True)
class Securities:
    """Covers by firm, with what each carries and who gave it, and every loan that they may secure."""

    covers: Mapping[str, Collection[Cover]]
    values: Mapping[str, int]
    providers: Mapping[str, str]
    loans: Collection[Loan]

    def secured(self, failed: Collection[str] = ()) -> dict[str, dict[str, int]]:
        """Return how much of each loan is secured, by kind of cover.

        Documents of an obligor that failed carry nothing, so the cover is needed for all that is open; a guarantee of
        a firm that failed is worth nothing.
        """
        kinds = {cover.cover_id: cover.kind for covers in self.covers.values() for cover in covers}
        values = {
            cover_id: 0 if kinds.get(cover_id) == "guarantee" and self.providers[cover_id] in failed else minor
            for cover_id, minor in self.values.items()
        }
        needs: dict[str, list[Need]] = defaultdict(list)
        for loan in self.loans:
            minor = loan.open_minor if loan.obligor_id in failed else loan.need.minor
            needs[loan.firm_id].append(Need(loan.need.drawdown_id, loan.need.line_id, minor))
        found: dict[str, dict[str, int]] = {}
        for firm_id, covers in self.covers.items():
            for drawdown_id, parts in allocate(covers, values, needs[firm_id]).secured.items():
                by_kind: dict[str, int] = defaultdict(int)
                for cover_id, minor in parts.items():
                    by_kind[kinds[cover_id]] += minor
                found[drawdown_id] = by_kind
        return found


async def read_securities(tx: Transaction, *, firm_ids: Collection[str], currency: str, today: date) -> Securities:
    """Return what secures the loans of firms in a currency on the open business date.

    Only for firms that have cover are their loans looked at: on all lines, because every line shares the cover.
    """
    rows = await tx.pg.fetch(_COVERS, sorted(firm_ids), currency)
    values = lending_values([cover_of(row) for row in rows], haircuts(on=today), on=today)
    covers: dict[str, list[Cover]] = defaultdict(list)
    for row in rows:
        if row["enterprise_id"] in firm_ids:
            covers[row["enterprise_id"]].append(cover_of(row))
    found = await tx.pg.fetch(LOANS, sorted(covers), currency) if covers else []
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
    return Securities(covers, values, providers, loans)
