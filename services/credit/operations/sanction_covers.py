"""Sanction what a firm's registered cover carries: nodes that its loans hold for what no document carries of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from services.credit.domain.covers import Cover, lending_values
from services.credit.domain.paths import Level, cover_line_node, cover_node, programme_node
from services.credit.domain.support import named_lines, secured_on
from services.credit.operations.bring_in import bring_in_covered
from services.credit.operations.cover_policies import haircuts
from services.credit.operations.cover_rows import cover_of
from services.credit.operations.nodes import create_nodes, lock_nodes, note_overuse, renew_version, sanction
from shared.events.credit import CoverLendingValueChanged
from shared.messaging.outbox import append
from shared.storage.database import Transaction
from shared.values.money import Amount

Firm = tuple[str, str]
_TODAY = "SELECT coalesce((SELECT open_date FROM book), current_date)"
_LINES = """
SELECT f.enterprise_id, f.currency, l.line_id, l.programme_id FROM unnest($1::text[], $2::text[])
    AS f(enterprise_id, currency) JOIN line l USING (enterprise_id)
JOIN programme p ON p.programme_id = l.programme_id AND p.currency = f.currency ORDER BY l.line_id
"""
# Charges on an asset share it, whosever loans they secure.
_CHARGES = """
SELECT * FROM cover WHERE state = 'registered' AND asset = ANY(ARRAY(
    SELECT o.asset FROM unnest($1::text[], $2::text[]) AS f(enterprise_id, currency)
    JOIN cover o USING (enterprise_id, currency) WHERE o.state = 'registered')) ORDER BY cover_id
"""
_SHARING = """
SELECT DISTINCT o.enterprise_id, o.currency FROM cover c JOIN cover o USING (asset, currency)
WHERE c.cover_id = $1 AND (o.state = 'registered' OR o.cover_id = $1)
"""
_REGISTERED = "SELECT * FROM cover WHERE state = 'registered' ORDER BY cover_id"
_ON_ASSETS = "SELECT * FROM cover WHERE state = 'registered' AND asset = ANY($1) ORDER BY cover_id"
_RENEW = "UPDATE limit_node SET version = version + 1 WHERE node_id = ANY($1)"


async def sanction_changed(tx: Transaction, *, cover_id: str, cause: str) -> None:
    """Sanction anew whatever a cover's step may change: its firm's node, and those of others on the same asset."""
    firms = [(row["enterprise_id"], row["currency"]) for row in await tx.pg.fetch(_SHARING, cover_id)]
    await _sanction(tx, firms, cause=cause, has_stepped=True)


async def sanction_between(tx: Transaction, *, before: date, today: date) -> None:
    """Sanction anew the firms of which a cover is worth something else on a business date than on another; say so."""
    rows = await tx.pg.fetch(_REGISTERED)
    then, now = _values(rows, on=before), _values(rows, on=today)
    changed = [row for row in rows if then[row["cover_id"]] != now[row["cover_id"]]]
    if not changed:
        return
    firms = {(row["enterprise_id"], row["currency"]) for row in changed}
    await _sanction(tx, sorted(firms), cause="business_day", has_stepped=False)
    # Under the firms' nodes: whatever step of a cover comes now speaks after us, one that came before spoke.
    still = await _worth(tx, [row["asset"] for row in changed], on=today)
    told = [
        CoverLendingValueChanged(
            cover_id=row["cover_id"],
            enterprise_id=row["enterprise_id"],
            lending_value=Amount.of(amount_minor=still[row["cover_id"]], currency=row["currency"]),
            lending_value_before=Amount.of(amount_minor=then[row["cover_id"]], currency=row["currency"]),
            business_date=today,
        )
        for row in changed
        if still.get(row["cover_id"], then[row["cover_id"]]) != then[row["cover_id"]]
    ]
    await append(tx, told, source="credit")


async def _worth(tx: Transaction, assets: Sequence[str], *, on: date) -> dict[str, int]:
    """Return what the registered covers on some assets carry on a day, as they stand now."""
    return _values(await tx.pg.fetch(_ON_ASSETS, sorted(set(assets))), on=on)


async def _sanction(tx: Transaction, firms: Sequence[Firm], *, cause: str, has_stepped: bool) -> None:
    """Write what the firms' nodes are sanctioned, under their locks; loans stay as they are (R12).

    After a step the programmes of the firms' lines are locked too: what is remembered of the lines is old, and lines
    that a cover names may be new ones. The turn of a day makes everything that is remembered old.
    """
    names = [list(each) for each in zip(*firms, strict=True)]
    lines = await tx.pg.fetch(_LINES, *names)
    programmes = sorted({row["programme_id"] for row in lines}) if has_stepped else []
    nodes = {firm: cover_node(enterprise_id=firm[0], currency=firm[1]) for firm in firms}
    line_nodes = {row["line_id"]: _line_node(row) for row in lines}
    known = await _known(tx, [*nodes.values(), *line_nodes.values()])
    added = _added(firms, await tx.pg.fetch(_CHARGES, *names), line_nodes, known) if has_stepped else []
    for firm, node_id in nodes.items():
        beneath = [line_nodes[row["line_id"]] for row in lines if (row["enterprise_id"], row["currency"]) == firm]
        wanted = [node_id, *(each for each in beneath if each in added)]
        await create_nodes(tx, nodes=[(Level.COVER, each) for each in wanted], currency=firm[1])
    held = [*nodes.values(), *(each for each in line_nodes.values() if each in known or each in added)]
    await lock_nodes(tx, node_ids=[*held, *(programme_node(programme_id=each) for each in programmes)])
    # Read again: what another step changed before we had the locks counts.
    charges = await tx.pg.fetch(_CHARGES, *names)
    await sanction(tx, _amounts(nodes, lines, line_nodes, charges, on=await tx.pg.fetchval(_TODAY), only=held))
    if added:
        firm_of = {row["line_id"]: nodes[row["enterprise_id"], row["currency"]] for row in lines}
        named = [line_id for line_id, node_id in line_nodes.items() if node_id in added]
        await bring_in_covered(tx, [(line_id, firm_of[line_id], line_nodes[line_id]) for line_id in named])
    await note_overuse(tx, node_ids=held, cause=cause)
    await tx.pg.execute(_RENEW, sorted(nodes.values()))
    for programme_id in programmes:
        await renew_version(tx, programme_id=programme_id)


def _added(
    firms: Sequence[Firm], charges: Sequence[Mapping[str, Any]], line_nodes: Mapping[str, str], known: Collection[str]
) -> list[str]:
    """Return the nodes of lines that a cover names for the first time."""
    own = [cover_of(row) for row in charges if (row["enterprise_id"], row["currency"]) in firms]
    named = [line_nodes[line_id] for line_id in named_lines(own) if line_id in line_nodes]
    return [node_id for node_id in named if node_id not in known]


def _amounts(
    nodes: Mapping[Firm, str],
    lines: Sequence[Mapping[str, Any]],
    line_nodes: Mapping[str, str],
    charges: Sequence[Mapping[str, Any]],
    *,
    on: date,
    only: Collection[str],
) -> dict[str, int]:
    values = _values(charges, on=on)
    own: dict[Firm, list[Cover]] = defaultdict(list)
    for row in charges:
        own[row["enterprise_id"], row["currency"]].append(cover_of(row))
    found = {node_id: sum(values[each.cover_id] for each in own[firm]) for firm, node_id in nodes.items()}
    for row in lines:
        node_id, firm = line_nodes[row["line_id"]], (row["enterprise_id"], row["currency"])
        if node_id in only:
            found[node_id] = secured_on(own[firm], values, line_id=row["line_id"])
    return found


def _values(rows: Sequence[Mapping[str, Any]], *, on: date) -> dict[str, int]:
    """Return what covers carry on a day; charges on an asset share it within a currency."""
    policy = haircuts(on=on)
    found: dict[str, int] = {}
    for currency in sorted({row["currency"] for row in rows}):
        found |= lending_values([cover_of(row) for row in rows if row["currency"] == currency], policy, on=on)
    return found


def _line_node(row: Mapping[str, Any]) -> str:
    return cover_line_node(enterprise_id=row["enterprise_id"], currency=row["currency"], line_id=row["line_id"])


async def _known(tx: Transaction, node_ids: Collection[str]) -> set[str]:
    rows = await tx.pg.fetch("SELECT node_id FROM limit_node WHERE node_id = ANY($1)", list(node_ids))
    return {row["node_id"] for row in rows}
