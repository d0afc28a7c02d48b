"""What a line's drawdowns stand on, read from credit's projections."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, ClassVar

from services.credit.domain.blocks import bars
from services.credit.domain.covers import lending_values
from services.credit.domain.eligibility import Drawer, LineState, why_not_drawable
from services.credit.domain.offers import Terms
from services.credit.domain.paths import Place, path_of
from services.credit.domain.pricing import TrackRecord
from services.credit.domain.products import Product, choose, derived, in_direction
from services.credit.domain.support import Support
from services.credit.operations.cover_policies import haircuts
from services.credit.operations.cover_rows import cover_of
from services.credit.operations.product_policies import drawn_product, product, programme_products
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction
from shared.values.rates import parse_rate

_PLAIN = """
SELECT l.line_id, l.enterprise_id, l.direction, l.tier, l.anchor_support, l.reasons, l.drawable, l.next_cap_minor,
    e.active AS sme_active, p.active AS programme_active, r.valid_until, g.expiry_date,
    EXISTS (SELECT FROM overdue_loan o WHERE o.line_id = l.line_id) AS overdue,
    EXISTS (SELECT FROM deficiency d WHERE d.line_id = l.line_id AND d.deficiency_minor > 0) AS deficient,
    p.programme_id, p.anchor_id, p.group_head_id, p.currency, n.version,
    coalesce(e.size_class, '') AS size_class, r.risk_spread AS own_spread, a.risk_spread AS anchor_spread,
    f.name IS NOT NULL AS anchor_known,
    EXISTS (SELECT FROM block b WHERE b.subject = l.line_id AND b.lifted_at IS NULL) AS line_blocked,
    EXISTS (SELECT FROM block b WHERE b.subject = l.enterprise_id AND b.lifted_at IS NULL) AS firm_blocked,
    (SELECT jsonb_agg(c)::text FROM cover c WHERE c.state = 'registered' AND c.currency = p.currency
        AND c.asset = ANY(ARRAY(SELECT o.asset FROM cover o WHERE o.enterprise_id = l.enterprise_id
            AND o.currency = p.currency AND o.state = 'registered'))) AS charges,
    (SELECT k.version FROM limit_node k
        WHERE k.node_id = 'cover/' || l.enterprise_id || '/' || p.currency) AS cover_version,
    (SELECT k.node_id FROM limit_node k WHERE k.node_id = 'pair/' || CASE l.direction
        WHEN 'upstream' THEN l.enterprise_id || '/' || p.anchor_id ELSE p.anchor_id || '/' || l.enterprise_id END
        || '/' || p.currency) AS pair_node,
    t.first_drawn_date, coalesce(t.repaid, 0) AS repaid, t.last_repaid_date, coalesce(t.repaid_that_day, 0) AS that_day,
    coalesce((SELECT open_date FROM book), current_date) AS today
FROM line_now l JOIN programme p USING (programme_id)
JOIN limit_node n ON n.node_id = 'programme/' || p.programme_id
LEFT JOIN enterprise e ON e.enterprise_id = l.enterprise_id
LEFT JOIN enterprise f ON f.enterprise_id = p.anchor_id
LEFT JOIN rating r ON (r.enterprise_id, r.currency) = (l.enterprise_id, p.currency)
LEFT JOIN rating a ON (a.enterprise_id, a.currency) = (p.anchor_id, p.currency)
LEFT JOIN track_record t ON t.enterprise_id = l.enterprise_id
LEFT JOIN agreement g ON (g.programme_id, g.enterprise_id) = (l.programme_id, l.enterprise_id)
WHERE l.line_id = ANY($1)
"""
_READ = _PLAIN.replace("n.version", "p.terms, n.version")


class UnknownLine(LookupError):
    """No line has this id."""

    code: ClassVar[str] = "unknown_line"

    def __init__(self, *, line_id: str) -> None:
        """Keep the id asked for."""
        self.line_id = line_id
        super().__init__(f"There is no line {line_id}.")


@dataclass(frozen=True)
class LineTerms:
    """What a line offers: the terms of each product of its programme that its direction has, in their order.

    `next_cap` is the line's cap by a generation that is in force and not written into its node yet, if there is one.
    """

    products: tuple[Product, ...]
    terms: tuple[Terms, ...]
    next_cap: int | None = None

    def choose(self, *, named: str | None, kinds: Sequence[str]) -> Terms:
        """Return the terms of a drawdown on documents of these kinds; ProductNotOffered when there are none."""
        return self._by_name[choose(self.products, named=named, kinds=kinds).name]

    @property
    def usual(self) -> Terms:
        """Return the terms of the line's first product: what is said of a line where no document is named yet."""
        return self.terms[0]

    @cached_property
    def _by_name(self) -> dict[str, Terms]:
        return {each.product.name: each for each in self.terms}


async def read_lines(
    tx: Transaction, *, line_ids: Collection[str]
) -> tuple[dict[str, LineTerms], dict[str, tuple[int, date]]]:
    """Return what lines offer, by id, and until when that holds: the version of each programme, and the day."""
    rows = await read_rows(tx, line_ids=line_ids)
    programmes: dict[str, ProgrammeTerms] = {}
    found = {}
    for row in rows:
        known = programmes.get(row["programme_id"]) or ProgrammeTerms.model_validate(row["terms"])
        programmes[row["programme_id"]] = known
        found[row["line_id"]] = terms_of(row, known)
    return found, {row["programme_id"]: (row["version"], row["today"]) for row in rows}


async def read_rows(
    tx: Transaction, *, line_ids: Collection[str], with_terms: bool = True
) -> Sequence[Mapping[str, Any]]:
    """Return what `terms_of` makes terms of, line by line; the programme's terms not where the caller has them."""
    rows: Sequence[Mapping[str, Any]] = await tx.pg.fetch(_READ if with_terms else _PLAIN, list(line_ids))
    return rows


async def read_terms(
    tx: Transaction, *, line_ids: Collection[str]
) -> tuple[dict[str, Terms], dict[str, tuple[int, date]]]:
    """Return the terms of the lines' first products, by id, and until when they hold."""
    found, holds = await read_lines(tx, line_ids=line_ids)
    return {line_id: line.usual for line_id, line in found.items()}, holds


async def drawn_terms(tx: Transaction, drawn: Collection[tuple[str, str]]) -> dict[tuple[str, str], Terms]:
    """Return the terms of what was drawn, by line and product's version: that version's, whatever is offered now.

    The line's own part of them, whether it may be drawn and at whose risk, is today's. VersionGone.
    """
    rows = {row["line_id"]: row for row in await read_rows(tx, line_ids={line_id for line_id, _ in drawn})}
    agreed = {line_id: ProgrammeTerms.model_validate(row["terms"]) for line_id, row in rows.items()}
    return {
        (line_id, version): _terms(rows[line_id], agreed[line_id], drawn_product(version=version))
        for line_id, version in drawn
    }


async def line_terms(tx: Transaction, *, line_id: str) -> LineTerms:
    """Return what one line offers; UnknownLine when there is none."""
    found, _ = await read_lines(tx, line_ids=[line_id])
    if line_id not in found:
        raise UnknownLine(line_id=line_id)
    return found[line_id]


def terms_of(row: Mapping[str, Any], programme: ProgrammeTerms) -> LineTerms:
    """Return what a line offers, of a row as this file reads it."""
    offered = programme_products(names=tuple(programme.products), recourse=programme.recourse, on=row["today"])
    products = in_direction(offered, row["direction"])
    if products:
        return LineTerms(products, tuple(_terms(row, programme, each) for each in products), row["next_cap_minor"])
    # A line that its programme has no product for is shown, with that reason; nothing is drawn on it.
    known = tuple(product(name=name, on=row["today"]) for name in derived(recourse=False))
    usual = in_direction(known, row["direction"]) or known[:1]
    return LineTerms(
        (), tuple(_terms(row, programme, each, lacking=("no_product",)) for each in usual), row["next_cap_minor"]
    )


def _terms(
    row: Mapping[str, Any], programme: ProgrammeTerms, offered: Product, *, lacking: tuple[str, ...] = ()
) -> Terms:
    upstream, alone = row["direction"] == "upstream", not offered.on_claims
    support = _support(row)
    if offered.cover == "pledge" and not (support and support.most):
        lacking = (*lacking, "no_registered_cover")
    # Without a document, and on goods, nobody but the borrower owes.
    obligor_id = row["anchor_id"] if upstream and not alone else row["enterprise_id"]
    recourse = offered.recourse(agreed=programme.recourse)
    place = Place(
        line_id=row["line_id"],
        programme_id=row["programme_id"],
        enterprise_id=row["enterprise_id"],
        group_head_id=row["group_head_id"],
        direction=row["direction"],
        tier=row["tier"] or 1,
        currency=row["currency"],
        recourse=recourse,
        anchor_support=row["anchor_support"],
        alone=alone,
        product=offered.name if offered.quotas else None,
        pair=row["pair_node"],
    )
    return Terms(
        line_id=row["line_id"],
        programme_id=row["programme_id"],
        obligor_id=obligor_id,
        drawer=Drawer(
            enterprise_id=row["enterprise_id"],
            anchor_id=row["anchor_id"],
            direction=row["direction"],
            tier=place.tier,
            currency=row["currency"],
            max_tenor_days=min(programme.max_tenor_days, offered.longest_days),
            buffer_days=programme.buffer_days,
        ),
        path=path_of(place, obligor_id=obligor_id),
        not_drawable=why_barred(row) + lacking,
        product=offered,
        recourse=recourse,
        form=offered.use(recourse=recourse).form,
        advance_rate=min(parse_rate(programme.advance_rate), offered.advance_rate),
        borrower_spread=row["own_spread"] or 0,
        obligor_spread=(row["anchor_spread"] if upstream else row["own_spread"]) or 0,
        anchor_spread=row["anchor_spread"] or 0,
        record=TrackRecord(row["first_drawn_date"], row["repaid"], row["last_repaid_date"], row["that_day"]),
        size_class=row["size_class"],
        interest_payer=offered.pays_interest(agreed=programme.interest_payer),
        pricing_policy=programme.pricing_policy,
        support=support,
    )


def _support(row: Mapping[str, Any]) -> Support | None:
    """Return the firm's registered cover as the line may use it; None, at no cost, where there is none."""
    if not row["charges"]:
        return None
    told = json.loads(row["charges"])
    charges = [cover_of(each) for each in told]
    own = {each["cover_id"] for each in told if each["enterprise_id"] == row["enterprise_id"]}
    return Support(
        enterprise_id=row["enterprise_id"],
        currency=row["currency"],
        line_id=row["line_id"],
        covers=tuple(each for each in charges if each.cover_id in own),
        values=lending_values(charges, haircuts(on=row["today"]), on=row["today"]),
        version=row["cover_version"],
    )


def why_barred(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every reason against drawing that a line's row tells, whatever is offered on it."""
    reasons = list(row["reasons"])
    # What stops draws counts as soon as it is known, whenever the line itself is propagated.
    state = LineState(
        row["sme_active"], row["programme_active"], row["valid_until"], row["expiry_date"], row["overdue"]
    )
    known = why_not_drawable(state, on=row["today"]) + ["deficiency"] * row["deficient"]
    reasons += [reason for reason in known if reason not in reasons]
    if not row["drawable"] and not reasons:
        reasons.append("not_propagated_yet")
    if row["anchor_spread"] is None and row["direction"] == "upstream":
        reasons.append("anchor_unrated")
    if not row["anchor_known"]:
        reasons.append("anchor_unknown")
    return (*reasons, *bars(line_blocked=row["line_blocked"], firm_blocked=row["firm_blocked"]))
