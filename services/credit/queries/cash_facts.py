"""What credit knows of a firm's cash to come, and what the firm can draw on (S26)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from services.credit.domain.cash_needs import WEEK_DAYS, Flow, Instrument
from services.credit.domain.eligibility import BaseExceeded, Financeable, NotDrawable, NotEligible
from services.credit.domain.limits import Node, available_on
from services.credit.domain.offers import Offer, Terms, offer
from services.credit.domain.plans import Lent, still_to_pay
from services.credit.domain.pricing import PricePolicy, discount, largest_principal
from services.credit.domain.products import ProductNotOffered, TenorNotOffered
from services.credit.domain.support import SharedCover
from services.credit.operations.line_terms import LineTerms, read_lines
from services.credit.operations.price_policies import price_policy
from services.credit.operations.product_policies import drawn_product
from services.credit.queries.reading import node_of
from shared.storage.database import Transaction
from shared.values.money import Money, parse_minor
from shared.values.periods import DayCount
from shared.values.rates import MILLION, share_of

_NOT_NOW = (NotDrawable, NotEligible, BaseExceeded, ProductNotOffered, TenorNotOffered)
# Documents due near each other are taken together, in so few groups that the mix is found at once.
_MOST_GROUPS = 14
_GOODS = "goods"
_OWED = """
SELECT d.kind, d.document_id, d.owner_id, d.obligor_id, d.eligible_minor, d.currency, d.due_date,
    document_state(d) AS state, d.confirmed_by
FROM document d
WHERE d.owner_id = $1 AND d.currency = $2 AND document_state(d) = 'free' AND d.due_date >= $3 AND d.eligible_minor > 0
    AND NOT EXISTS (SELECT FROM document_use u WHERE u.document_id = d.document_id)
ORDER BY d.due_date, d.document_id LIMIT 2000
"""
# Whoever finances it, the obligor pays it, unless a drawdown of its own has.
_OWES = """
SELECT d.document_id, d.eligible_minor, d.due_date FROM document d
WHERE d.obligor_id = $1 AND d.currency = $2 AND document_state(d) = 'free' AND d.due_date >= $3 AND d.kind <> 'goods'
    AND NOT EXISTS (SELECT FROM document_use u JOIN drawdown w USING (drawdown_id)
        WHERE u.document_id = d.document_id AND w.enterprise_id = $1)
ORDER BY d.due_date, d.document_id LIMIT 2000
"""
_OPEN = """
SELECT w.drawdown_id, w.state, w.form, w.principal_minor, w.face_minor, w.disbursed_minor, w.outstanding_minor,
    w.fee_minor, w.rate, w.day_count, w.start_date, w.maturity_date, w.documents, w.product_version, w.plan,
    l.direction, w.currency,
    p.terms ->> 'interest_payer' AS interest_payer
FROM drawdown w JOIN line l USING (line_id) JOIN programme p ON p.programme_id = w.programme_id
WHERE w.enterprise_id = $1 AND w.currency = $2 AND w.state IN ('held', 'referred', 'approved', 'utilised')
ORDER BY w.drawdown_id
"""
_LINES = (
    "SELECT l.line_id FROM line l JOIN programme p USING (programme_id) WHERE l.enterprise_id = $1 AND p.currency = $2"
)


@dataclass(frozen=True, slots=True)
class Known:
    """A flow that credit knows, and what it comes from."""

    flow: Flow
    source: str
    reference: str


@dataclass(frozen=True, slots=True)
class Drawable:
    """What an instrument stands on.

    `carried_minor` is what documents carry of all that is drawn on them: what is above it the firm's cover does. None
    where nothing stands on cover.
    """

    line_id: str
    product: str
    documents: tuple[str, ...]
    carried_minor: int | None = None


@dataclass(frozen=True, slots=True)
class CashFacts:
    """Everything that one snapshot says of a firm's cash."""

    today: date
    known: tuple[Known, ...]
    instruments: tuple[Instrument, ...]
    stand_on: Mapping[str, Drawable]
    available: Mapping[str, int]
    shared: SharedCover | None


async def read_cash_facts(tx: Transaction, *, enterprise_id: str, currency: str) -> CashFacts:
    """Return what a firm's documents, loans and lines mean for its cash in one currency."""
    today: date = await tx.pg.fetchval("SELECT coalesce((SELECT open_date FROM book), current_date)")
    owed = await tx.pg.fetch(_OWED, enterprise_id, currency, today)
    owes = await tx.pg.fetch(_OWES, enterprise_id, currency, today)
    # Goods can be drawn on, but nobody pays them.
    paid = [row for row in owed if row["kind"] != _GOODS]
    known = [Known(Flow(row["due_date"], row["eligible_minor"]), "receivable", row["document_id"]) for row in paid]
    known += [Known(Flow(row["due_date"], -row["eligible_minor"]), "payable", row["document_id"]) for row in owes]
    for row in await tx.pg.fetch(_OPEN, enterprise_id, currency):
        known += _of_drawdown(row, today=today)
    line_ids = [row["line_id"] for row in await tx.pg.fetch(_LINES, enterprise_id, currency)]
    lines, _ = await read_lines(tx, line_ids=line_ids)
    terms = [each for line in lines.values() for each in line.terms]
    wanted = sorted({node_id for each in terms for node_id in _nodes_of(each)})
    rows = await tx.pg.fetch("SELECT * FROM limit_node_now WHERE node_id = ANY($1)", wanted)
    nodes = {row["node_id"]: node_of(row) for row in rows}
    rooms, shared = _rooms(terms, nodes)
    found = _on_documents(lines, [Financeable(*row) for row in owed], rooms, today=today)
    found += [each for line in lines.values() for each in _on_nothing(line, nodes, rooms, today=today)]
    return CashFacts(
        today=today,
        known=tuple(each for each in known if each.flow.minor),
        instruments=tuple(instrument for instrument, _ in found),
        stand_on={instrument.name: drawable for instrument, drawable in found},
        available={node.node_id: node.available for node in nodes.values()} | rooms,
        shared=shared,
    )


def _nodes_of(terms: Terms) -> set[str]:
    support = terms.support.node_ids if terms.support else frozenset()
    return {step.node_id for step in terms.path} | support


def _rooms(terms: Iterable[Terms], nodes: Mapping[str, Node]) -> tuple[dict[str, int], SharedCover | None]:
    """Return what each line alone may still take of the firm's cover, and how they share it where it is not for all.

    The limit that stands for it has the name of its line.
    """
    supports = {each.line_id: each.support for each in terms if each.support is not None}
    known = {line_id: support for line_id, support in supports.items() if support.node_ids <= nodes.keys()}
    rooms = dict.fromkeys(supports, 0) | {line_id: support.room(nodes) for line_id, support in known.items()}
    # All of one firm and currency: what they share is the same, whichever of them is asked.
    shared = (support.shared(nodes, names=frozenset(rooms)) for support in known.values())
    return rooms, next(shared, None)


def _cover_limits(terms: Terms) -> dict[str, int]:
    """Return the limits that what the firm's cover carries of a drawdown takes beside the path's, all of it each."""
    if terms.support is None:
        return {}
    return dict.fromkeys((terms.support.node_id, terms.line_id), MILLION)


def _of_drawdown(row: Mapping[str, Any], *, today: date) -> list[Known]:
    """Return what a drawdown brings when it is paid out, and what its maturity leaves the firm or takes from it.

    Upstream the obligor pays the documents: what is above the debt is the firm's. Goods nobody pays but the firm.
    """
    paid_out = row["state"] == "utilised"
    debt = row["outstanding_minor"] if paid_out else row["principal_minor"]
    cost = _interest(row, debt)
    purchase = row["form"] == "purchase"
    flows = []
    kinds = {each["kind"] for each in row["documents"]}
    is_paid_for = row["direction"] == "upstream" and bool(kinds - {_GOODS})
    if not paid_out and (row["direction"] == "upstream" or kinds <= {_GOODS}):
        ahead = row["fee_minor"] + (cost if purchase else 0)
        flows.append(Known(Flow(today, debt - ahead), "drawdown_paid_out", row["drawdown_id"]))
    if row["plan"]:
        return [*flows, *_of_plan(row, debt, today=today)]
    face = row["face_minor"] if is_paid_for else 0
    if paid_out and row["disbursed_minor"]:
        face = face * debt // row["disbursed_minor"]
    left = face - debt - (0 if purchase else cost)
    source = "surplus_of_a_loan" if left > 0 else "loan_maturity"
    return [*flows, Known(Flow(row["maturity_date"], left), source, row["drawdown_id"])]


def _of_plan(row: Mapping[str, Any], debt: int, *, today: date) -> list[Known]:
    """Return each instalment that is still to be paid, what is late of them today."""
    lent = Lent(
        row["principal_minor"], row["rate"], row["start_date"], row["maturity_date"], DayCount(row["day_count"])
    )
    parts = [
        (date.fromisoformat(each["due_date"]), parse_minor(**each["principal"])) for each in row["plan"]["instalments"]
    ]
    return [
        Known(Flow(max(each.due_date, today), -each.total), "loan_instalment", row["drawdown_id"])
        for each in still_to_pay(lent, parts, outstanding=debt, on=today)
    ]


def _interest(row: Mapping[str, Any], debt: int) -> int:
    drawn = drawn_product(version=row["product_version"])
    if drawn.pays_interest(agreed=row["interest_payer"]) == "anchor":
        return 0
    return discount(
        face_minor=debt,
        rate=row["rate"],
        start=row["start_date"],
        end=row["maturity_date"],
        day_count=DayCount(row["day_count"]),
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A document with the terms on which it could be drawn now, and the most it carries."""

    terms: Terms
    policy: PricePolicy
    document: Financeable
    offered: Offer
    most_minor: int

    @property
    def rate(self) -> int:
        """Return what the firm itself would pay."""
        return self.offered.price.rate if self.terms.interest_payer == "seller" else 0


def _on_documents(
    lines: Mapping[str, LineTerms], documents: Iterable[Financeable], rooms: Mapping[str, int], *, today: date
) -> list[tuple[Instrument, Drawable]]:
    """Return each document on the line that asks least for it, those due near each other together.

    Beside each group stands what cover carries above it: the same drawdown, with limits of its own.
    """
    chosen = []
    for document in documents:
        candidates = [_candidate(line, document, today=today) for _, line in sorted(lines.items())]
        possible = [each for each in candidates if each is not None]
        if possible:
            chosen.append(min(possible, key=lambda each: (each.rate, each.terms.line_id)))
    weeks = 1
    while len(groups := _grouped(chosen, today=today, weeks=weeks)) > _MOST_GROUPS and weeks < WEEK_DAYS * WEEK_DAYS:
        weeks *= 2
    cheapest = sorted(groups, key=lambda group: (group[0].rate, group[0].terms.line_id))[:_MOST_GROUPS]
    found = [_together(group, nth) for nth, group in enumerate(cheapest)]
    for (instrument, drawable), group in zip(tuple(found), cheapest, strict=True):
        terms = group[0].terms
        room = rooms.get(terms.line_id, 0)
        if room and terms.form == "loan" and terms.product.cover != "pledge":
            found.append((_above(instrument, terms, room), drawable))
    return found


def _above(instrument: Instrument, terms: Terms, room: int) -> Instrument:
    """Return what the firm's cover carries of a drawdown above its documents: any part of these will do for it."""
    return replace(
        instrument,
        name=f"{instrument.name}/cover",
        most_minor=room,
        exposure_minor=room,
        limits={**instrument.limits, **_cover_limits(terms)},
    )


def _candidate(line: LineTerms, document: Financeable, *, today: date) -> _Candidate | None:
    """Return how a document could be drawn on now; what is paid to somebody else fills no gap of the firm."""
    try:
        terms = line.choose(named=None, kinds=[document.kind])
        policy = price_policy(name=terms.pricing_policy, on=today)
        one = Money(1, terms.drawer.currency)
        offered = offer(terms, [document], principal=one, policy=policy, on=today)
    except _NOT_NOW:
        return None
    if terms.payee_id != terms.drawer.enterprise_id:
        return None
    most = share_of(amount=document.eligible_minor, millionths=terms.advance_rate)
    if terms.form == "loan" and terms.product.documents_bear_interest:
        bears = largest_principal(
            payable_minor=document.eligible_minor,
            rate=offered.price.rate,
            start=today,
            end=offered.maturity_date,
            day_count=policy.day_count,
        )
        most = min(most, bears)
    return _Candidate(terms, policy, document, offered, most)


def _grouped(chosen: Sequence[_Candidate], *, today: date, weeks: int) -> list[list[_Candidate]]:
    found: dict[tuple[str, str, int, int], list[_Candidate]] = defaultdict(list)
    for each in chosen:
        due = (each.document.due_date - today).days // (WEEK_DAYS * weeks)
        found[each.terms.line_id, each.terms.product.name, each.rate, due].append(each)
    return [found[key] for key in sorted(found)]


def _together(group: Sequence[_Candidate], nth: int) -> tuple[Instrument, Drawable]:
    """Return a group as one instrument: repaid when its first is due, its interest counted to the last maturity."""
    first = group[0]
    most = sum(each.most_minor for each in group)
    faces = sum(each.document.eligible_minor for each in group)
    instrument = Instrument(
        name=f"{first.terms.line_id}/{first.terms.product.name}/{nth}",
        most_minor=most,
        exposure_minor=faces if first.terms.form == "purchase" else most,
        rate=first.rate,
        fee_rate=first.policy.fee_rate,
        form=first.terms.form,
        day_count=first.policy.day_count,
        shortest_days=first.terms.product.shortest_days,
        longest_days=first.terms.drawer.max_tenor_days,
        limits=_limits(first.terms),
        repaid_on=min(each.document.due_date for each in group),
        matures_on=max(each.offered.maturity_date for each in group),
    )
    documents = tuple(each.document.document_id for each in group)
    carried = 0 if first.terms.product.cover == "pledge" else most
    return instrument, Drawable(first.terms.line_id, first.terms.product.name, documents, carried)


def _limits(terms: Terms) -> dict[str, int]:
    """Return what a drawdown takes of each limit; one that stands on a pledge takes cover too, with all of it."""
    path = {step.node_id: step.share for step in terms.path}
    return path | _cover_limits(terms) if terms.product.cover == "pledge" else path


def _on_nothing(
    line: LineTerms, nodes: Mapping[str, Node], rooms: Mapping[str, int], *, today: date
) -> list[tuple[Instrument, Drawable]]:
    """Return what the line lends on nothing but itself."""
    found = []
    for terms in line.terms:
        product = terms.product
        if product.documents or terms.payee_id != terms.drawer.enterprise_id:
            continue
        if any(step.node_id not in nodes for step in terms.path):
            # Propagation has not come to it yet.
            continue
        policy = price_policy(name=terms.pricing_policy, on=today)
        one, shortest = Money(1, terms.drawer.currency), product.shortest_days
        try:
            offered = offer(terms, [], principal=one, policy=policy, on=today, tenor_days=shortest)
        except _NOT_NOW:
            continue
        most = available_on(nodes, terms.path)
        if product.cover == "pledge":
            most = min(most, rooms.get(terms.line_id, 0))
        instrument = Instrument(
            name=f"{terms.line_id}/{product.name}",
            most_minor=most,
            exposure_minor=most,
            rate=offered.price.rate if terms.interest_payer == "seller" else 0,
            fee_rate=policy.fee_rate,
            form=terms.form,
            day_count=policy.day_count,
            shortest_days=shortest,
            longest_days=min(product.longest_days, terms.drawer.max_tenor_days),
            limits=_limits(terms),
            revolving=product.revolving,
        )
        found.append((instrument, Drawable(terms.line_id, product.name, (), 0 if product.cover == "pledge" else None)))
    return found
