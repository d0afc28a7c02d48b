"""What credit's API reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from services.credit.domain.limits import Node, binding
from services.credit.domain.offers import Terms
from services.credit.domain.paths import Level, stored_path
from services.credit.domain.support import on_cover
from services.credit.operations.drawdown_rows import UnknownDrawdown
from services.credit.operations.line_terms import UnknownLine, read_terms
from services.credit.operations.programme_terms import terms_in_force
from services.credit.queries.blocks import blocked_out, blocks_of
from services.credit.queries.covers import covers_of
from shared.events.onboarding import ProgrammeTerms
from shared.runtime.clock import database_now
from shared.storage.database import Database, Transaction
from shared.storage.paging import page
from shared.values.money import Amount, Money
from shared.values.rates import rate_text

_LINES = """
SELECT l.*, p.currency, p.name AS programme_name, coalesce(e.name, '') AS enterprise_name
FROM line_now l JOIN programme p USING (programme_id) LEFT JOIN enterprise e USING (enterprise_id)
WHERE l.line_id > $1 AND ($2::text IS NULL OR l.enterprise_id = $2) AND ($3::text IS NULL OR l.programme_id = $3)
    AND ($4::text IS NULL OR l.line_id = $4)
ORDER BY l.line_id LIMIT $5
"""
_DRAWDOWNS = """
SELECT w.*, coalesce(f.deficiency_minor, 0) AS deficiency_minor, coalesce(f.claim_minor, 0) AS claim_minor,
    coalesce(f.top_up_minor, 0) AS top_up_minor
FROM drawdown w LEFT JOIN deficiency f USING (drawdown_id)
WHERE w.drawdown_id > $1 AND ($2::text IS NULL OR w.enterprise_id = $2) AND ($3::text IS NULL OR w.line_id = $3)
ORDER BY w.drawdown_id LIMIT $4
"""
_DRAWDOWN = """
SELECT w.*, coalesce(f.deficiency_minor, 0) AS deficiency_minor, coalesce(f.claim_minor, 0) AS claim_minor,
    coalesce(f.top_up_minor, 0) AS top_up_minor
FROM drawdown w LEFT JOIN deficiency f USING (drawdown_id) WHERE w.drawdown_id = $1
"""
_REFERRALS = """
SELECT w.*, 0 AS deficiency_minor, 0 AS claim_minor, 0 AS top_up_minor FROM drawdown w
WHERE w.state = 'referred' AND w.drawdown_id > $1 ORDER BY w.drawdown_id LIMIT $2
"""
# A firm's documents: what it may be paid for, and what it owes.
_DOCUMENTS = """
SELECT d.kind, d.document_id, d.owner_id, d.obligor_id, d.eligible_minor, d.currency, d.due_date,
    CASE WHEN u.drawdown_id IS NULL THEN document_state(d) ELSE 'in_use' END AS state, d.irrevocable
FROM ((SELECT * FROM document WHERE owner_id = $1 AND document_id > $2 ORDER BY document_id LIMIT $3)
    UNION (SELECT * FROM document WHERE obligor_id = $1 AND document_id > $2 ORDER BY document_id LIMIT $3)) AS d
LEFT JOIN document_use u USING (document_id) ORDER BY d.document_id LIMIT $3
"""
_NODES = """
SELECT n.* FROM limit_node_now n WHERE (n.level, n.node_id) > ($2, $3) AND n.node_id IN (
    SELECT unnest(ARRAY['group/' || p.group_head_id || '/' || p.currency,
        'obligor/' || p.anchor_id || '/' || p.currency, 'programme/' || p.programme_id])
        FROM programme p WHERE p.programme_id = $1
    UNION SELECT 'direction/' || $1 || '/' || d FROM unnest(ARRAY['upstream', 'downstream']) AS d
    UNION SELECT 'tier/' || $1 || '/' || d || '/' || t
        FROM unnest(ARRAY['upstream', 'downstream']) AS d, generate_series(1, 20) AS t
    UNION SELECT unnest(ARRAY['line/' || l.line_id, CASE l.direction WHEN 'upstream' THEN 'sme/' ELSE 'obligor/' END
        || l.enterprise_id || '/' || p.currency])
        FROM line l JOIN programme p USING (programme_id) WHERE l.programme_id = $1
    UNION SELECT unnest(ARRAY[c.node_id, c.node_id || '/' || l.line_id])
        FROM line l JOIN programme p USING (programme_id)
        CROSS JOIN LATERAL (SELECT 'cover/' || l.enterprise_id || '/' || p.currency AS node_id) AS c
        WHERE l.programme_id = $1
    UNION SELECT 'pair/' || CASE l.direction WHEN 'upstream' THEN l.enterprise_id || '/' || p.anchor_id
            ELSE p.anchor_id || '/' || l.enterprise_id END || '/' || p.currency
        FROM line l JOIN programme p USING (programme_id) WHERE l.programme_id = $1)
ORDER BY n.level, n.node_id LIMIT $4
"""


class UnknownProgramme(LookupError):
    """No programme has this id."""

    code: ClassVar[str] = "unknown_programme"

    def __init__(self, *, programme_id: str) -> None:
        """Keep the id asked for."""
        self.programme_id = programme_id
        super().__init__(f"There is no programme {programme_id}.")


async def lines(
    database: Database, *, enterprise_id: str | None, programme_id: str | None, after: str, limit: int
) -> dict[str, Any]:
    """Return a page of lines with what each can draw: the minimum over its path."""
    async with database.snapshot() as tx:
        rows = await tx.pg.fetch(_LINES, after, enterprise_id, programme_id, None, limit + 1)
        terms, nodes = await read_paths(tx, rows)
    found = [line_out(row, terms[row["line_id"]], nodes) for row in rows]
    return page(found, limit=limit, key=lambda each: str(each["line_id"]))


async def line(database: Database, *, line_id: str, whole: bool) -> dict[str, Any]:
    """Return one line; UnknownLine when there is none. Shown whole it tells who blocked it, when and why."""
    async with database.snapshot() as tx:
        row, terms, nodes = await read_line(tx, line_id=line_id)
        blocks = await blocks_of(tx, row, as_of=await database_now(tx)) if whole else []
    shown = line_out(row, terms, nodes)
    return {**shown, "blocks": [blocked_out(each) for each in blocks]} if whole else shown


async def programme(database: Database, *, programme_id: str) -> dict[str, Any]:
    """Return one programme as credit knows it; UnknownProgramme when it does not."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM programme WHERE programme_id = $1", programme_id)
        if row is None:
            raise UnknownProgramme(programme_id=programme_id)
        reserved = await tx.pg.fetchval(
            "SELECT coalesce(sum(reserved_minor), 0)::bigint FROM line_now WHERE programme_id = $1", programme_id
        )
        terms = (await terms_in_force(tx, [row]))[programme_id]
    agreed, currency = ProgrammeTerms.model_validate(row["terms"]), row["currency"]
    return {
        "programme_id": programme_id,
        "name": row["name"],
        "anchor_id": row["anchor_id"],
        "currency": currency,
        "limit": terms.limit.model_dump(),
        "agreed_limit": agreed.limit.model_dump(),
        "pool": Money(row["pool_minor"], currency).wire(),
        "reserved": Money(reserved, currency).wire(),
        "shortfall": Money(row["shortfall_minor"], currency).wire(),
        "active": row["active"],
    }


async def nodes(database: Database, *, programme_id: str, after: str, limit: int) -> dict[str, Any]:
    """Return a page of the limit nodes of a programme, root first."""
    level, _, node_id = after.partition(":")
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_NODES, programme_id, int(level) if level.isdigit() else -1, node_id, limit + 1)
    found = [node_out(node_of(row), Level(row["level"]), row["currency"]) for row in rows]
    return page(found, limit=limit, key=lambda each: f"{int(Level[each['level'].upper()])}:{each['node_id']}")


async def drawdowns(
    database: Database, *, enterprise_id: str | None, line_id: str | None, after: str, limit: int
) -> dict[str, Any]:
    """Return a page of drawdowns, oldest first."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_DRAWDOWNS, after, enterprise_id, line_id, limit + 1)
    return page([_drawdown(row) for row in rows], limit=limit, key=lambda each: str(each["drawdown_id"]))


async def drawdown(database: Database, *, drawdown_id: str) -> dict[str, Any]:
    """Return one drawdown; UnknownDrawdown when there is none."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(_DRAWDOWN, drawdown_id)
        if row is None:
            raise UnknownDrawdown(drawdown_id=drawdown_id)
        secured = await covers_of(tx, row)
    return {**_drawdown(row), "covers": secured}


async def referrals(database: Database, *, after: str, limit: int) -> dict[str, Any]:
    """Return a page of the drawdowns that wait for two persons."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_REFERRALS, after, limit + 1)
    return page([_drawdown(row) for row in rows], limit=limit, key=lambda each: str(each["drawdown_id"]))


async def documents(database: Database, *, enterprise_id: str, after: str, limit: int) -> dict[str, Any]:
    """Return a page of a firm's documents as credit knows them."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_DOCUMENTS, enterprise_id, after, limit + 1)
    found = [{**dict(row), "eligible": _eligible(row)} for row in rows]
    for each in found:
        del each["eligible_minor"], each["currency"]
    return page(found, limit=limit, key=lambda each: str(each["document_id"]))


async def read_line(tx: Transaction, *, line_id: str) -> tuple[Mapping[str, Any], Terms, dict[str, Node]]:
    """Return a line, its terms and the nodes of its path; UnknownLine when there is none."""
    row = await tx.pg.fetchrow(_LINES, "", None, None, line_id, 1)
    if row is None:
        raise UnknownLine(line_id=line_id)
    terms, found = await read_paths(tx, [row])
    return row, terms[line_id], found


async def read_paths(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Terms], dict[str, Node]]:
    """Return the terms of lines, and the nodes of their paths as they stand."""
    terms, _ = await read_terms(tx, line_ids=[row["line_id"] for row in rows])
    wanted = {step.node_id for each in terms.values() for step in each.path}
    wanted |= {node_id for each in terms.values() if each.support for node_id in each.support.node_ids}
    found = await tx.pg.fetch("SELECT * FROM limit_node_now WHERE node_id = ANY($1)", sorted(wanted))
    return terms, {row["node_id"]: node_of(row) for row in found}


def node_of(row: Mapping[str, Any]) -> Node:
    """Return a limit node of its row."""
    return Node(row["node_id"], row["sanctioned_minor"], row["held_minor"], row["utilised_minor"])


def line_out(row: Mapping[str, Any], terms: Terms, found: Mapping[str, Node]) -> dict[str, Any]:
    """Return a line with what it can draw, and which node binds."""
    currency = row["currency"]
    own, bind = found[f"line/{row['line_id']}"], binding(found, terms.path)
    return {
        "line_id": row["line_id"],
        "programme_id": row["programme_id"],
        "programme_name": row["programme_name"],
        "enterprise_id": row["enterprise_id"],
        "enterprise_name": row["enterprise_name"],
        "direction": row["direction"],
        "tier": row["tier"] or 0,
        "currency": currency,
        "cap": Money(row["cap_minor"], currency).wire(),
        "reserved": Money(row["reserved_minor"], currency).wire(),
        "held": Money(own.held, currency).wire(),
        "utilised": Money(own.utilised, currency).wire(),
        "available": Money(bind.available, currency).wire(),
        "shortfall": Money(own.shortfall, currency).wire(),
        "drawable": not terms.not_drawable,
        "reasons": list(terms.not_drawable),
        "binding_node": bind.node_id,
    }


def node_out(node: Node, level: Level, currency: str) -> dict[str, Any]:
    """Return a limit node with everything about it."""
    return {
        "node_id": node.node_id,
        "level": level.name.lower(),
        "sanctioned": Money(node.sanctioned, currency).wire(),
        "held": Money(node.held, currency).wire(),
        "utilised": Money(node.utilised, currency).wire(),
        "available": Money(node.available, currency).wire(),
        "shortfall": Money(node.shortfall, currency).wire(),
    }


def _drawdown(row: Mapping[str, Any]) -> dict[str, Any]:
    def amount(name: str) -> dict[str, str]:
        return Money(row[name], row["currency"]).wire()

    return {
        "drawdown_id": row["drawdown_id"],
        "line_id": row["line_id"],
        "programme_id": row["programme_id"],
        "enterprise_id": row["enterprise_id"],
        "obligor_id": row["obligor_id"],
        "state": row["state"],
        "form": row["form"],
        "principal": amount("principal_minor"),
        "face": amount("face_minor"),
        "exposure": amount("exposure_minor"),
        "on_cover": _on_cover(row),
        "outstanding": amount("outstanding_minor"),
        "fee": amount("fee_minor"),
        "rate": rate_text(row["rate"]),
        "penalty_rate": rate_text(row["penalty_rate"]),
        "due_date": row["due_date"],
        "maturity_date": row["maturity_date"],
        "documents": row["documents"],
        "purpose": row["purpose"],
        "product": row["product"],
        "product_version": row["product_version"],
        "payee": (row["payment"] or {}).get("payee"),
        "evidence": (row["payment"] or {}).get("evidence", []),
        "repayment": row["plan"],
        "reason": row["reason"],
        "incident": row["incident"],
        "deficiency": amount("deficiency_minor"),
        "claim": amount("claim_minor"),
        "top_up": amount("top_up_minor"),
        "held_at": row["held_at"],
        "expires_at": row["expires_at"],
    }


def _on_cover(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what the firm's cover carries of a drawdown now, in the documents' place."""
    held = row["state"] in {"held", "referred", "approved", "cancelling"}
    carried = row["exposure_minor"] if held else row["used_minor"]
    return Money(on_cover(stored_path(row["path"]), carried), row["currency"]).wire()


def _eligible(row: Mapping[str, Any]) -> dict[str, str] | None:
    if row["currency"] is None:
        return None
    return Amount.of(amount_minor=row["eligible_minor"] or 0, currency=row["currency"]).model_dump()
