"""Suppose changes of what propagation stands on: facts in, hypothetical facts out; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from services.credit.domain.paths import pair_node
from services.credit.domain.risk_weights import IN_DEFAULT, Grade, RiskWeights, rescaled
from services.credit.domain.what_if import (
    Change,
    Covered,
    Deepened,
    Failed,
    Joined,
    Limited,
    NotSupposable,
    PairLimited,
    Rated,
    Traded,
)
from services.credit.operations.programme_facts import Facts
from services.credit.queries.backing import NO_COVER, Backing
from shared.values.money import Amount, CurrencyMismatch, Money
from shared.values.rates import MILLION, share_of


@dataclass(frozen=True, slots=True)
class Supposed:
    """Hypothetical facts, with what propagation does not look at: grades, and who failed.

    `done` are the changes, by their number from 1, that are supposed; `refused` says why others cannot be here.
    `pairs` are the limits of pairs, by node.
    """

    facts: Facts
    grades: Mapping[str, str]
    failed: frozenset[str]
    done: frozenset[int]
    refused: Mapping[int, Exception]
    pairs: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Draft:
    """Facts on their way to others; what is not changed is not copied."""

    facts: Facts
    programme: dict[str, Any]
    terms: Any
    rows: dict[str, Mapping[str, Any]]
    caps: dict[str, int]
    firms: Mapping[str, Mapping[str, Any]]
    grades: dict[str, str]
    weights: RiskWeights
    backing: Backing
    nth: int = 0
    failed: set[str] = field(default_factory=set)
    pairs: dict[str, int] = field(default_factory=dict)
    _links: dict[tuple[str, str], Mapping[str, Any]] | None = None
    _line_ids: dict[str, list[str]] | None = None

    @property
    def links(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Return who trades with whom, to be changed."""
        if self._links is None:
            self._links = {(link["supplier_id"], link["buyer_id"]): link for link in self.facts.links}
        return self._links

    @property
    def is_of_the_anchor(self) -> frozenset[str]:
        """Return who the anchor is, and who heads its group."""
        return frozenset({self.programme["anchor_id"], self.programme["group_head_id"]})

    def refuse(self, reason: str) -> NotSupposable:
        return NotSupposable(nth=self.nth, reason=reason)

    def minor(self, money: Money) -> int:
        """Return minor units of the programme's currency."""
        if money.currency != self.terms.currency:
            raise CurrencyMismatch(expected=self.terms.currency, found=money.currency)
        if money.amount_minor < 0:
            raise self.refuse("an amount is below zero")
        return money.amount_minor

    def lines_of(self, firm_id: str) -> list[dict[str, Any]]:
        """Return the firm's lines, to be changed."""
        if self._line_ids is None:
            self._line_ids = {}
            for row in self.rows.values():
                self._line_ids.setdefault(row["enterprise_id"], []).append(row["line_id"])
        found = {line_id: dict(self.rows[line_id]) for line_id in self._line_ids.get(firm_id, ())}
        self.rows |= found
        return list(found.values())

    def has_lines(self, firm_ids: Iterable[str]) -> bool:
        """Return whether any of some firms has a line here."""
        return any(self.lines_of(firm_id) for firm_id in firm_ids)

    def add(self, row: dict[str, Any]) -> None:
        """Add a line."""
        self.rows[row["line_id"]] = row
        self._line_ids = None

    def done(self) -> Facts:
        """Return the facts as they have become."""
        links = self.facts.links if self._links is None else list(self._links.values())
        return Facts(self.programme, self.terms, list(self.rows.values()), links, self.caps)


def suppose(
    facts: Facts,
    changes: Sequence[tuple[int, Change]],
    *,
    firms: Mapping[str, Mapping[str, Any]],
    weights: RiskWeights,
    backing: Backing,
) -> Supposed:
    """Return the facts after numbered changes, one after the other, and which cannot be supposed of this programme."""
    draft = _Draft(
        facts=facts,
        programme=dict(facts.programme),
        terms=facts.terms,
        rows={row["line_id"]: row for row in facts.rows},
        caps=dict(facts.caps),
        firms=firms,
        grades={firm_id: firm["grade"] for firm_id, firm in firms.items() if firm["grade"]},
        weights=weights,
        backing=backing,
    )
    done: set[int] = set()
    refused: dict[int, Exception] = {}
    for draft.nth, change in changes:
        try:
            _APPLY[type(change)](draft, change)
            done.add(draft.nth)
        except (NotSupposable, CurrencyMismatch) as error:
            refused[draft.nth] = error
    return Supposed(draft.done(), draft.grades, frozenset(draft.failed), frozenset(done), refused, draft.pairs)


_NO_PART = "the firm has no part in the programme"


def _rate(draft: _Draft, change: Rated) -> None:
    rows, firm = draft.lines_of(change.firm_id), change.firm_id
    if not rows and firm not in draft.is_of_the_anchor:
        raise draft.refuse(_NO_PART)
    grade = _grade_after(draft, change)
    known = draft.caps.get(firm, next((row["rating_cap"] for row in rows), None))
    cap = _cap_after(draft, change, grade, known)
    for row in rows:
        multiplier = change.multiplier
        if multiplier is None:
            multiplier = _factor(draft, firm, grade, row["multiplier"] or MILLION, name="multiplier")
        row |= {"rating_cap": cap, "multiplier": multiplier, "valid_until": date.max}
    if firm in draft.is_of_the_anchor:
        draft.caps[firm] = cap
    if grade is not None:
        draft.grades[firm] = grade.grade


def _grade_after(draft: _Draft, change: Rated) -> Grade | None:
    if change.grade is not None:
        found = draft.weights.find(change.grade)
        if found is None:
            raise draft.refuse("the policy does not know the grade")
        return found
    if change.notches is None:
        return None
    now = draft.weights.find(draft.grades.get(change.firm_id))
    if now is None:
        raise draft.refuse("the firm has no grade to move from")
    return draft.weights.moved(now, notches=change.notches)


def _cap_after(draft: _Draft, change: Rated, grade: Grade | None, known: int | None) -> int:
    if change.cap is not None:
        return draft.minor(change.cap)
    if known is None:
        raise draft.refuse("the firm is unrated: say its cap")
    return _factor(draft, change.firm_id, grade, known, name="cap")


def _factor(draft: _Draft, firm_id: str, grade: Grade | None, amount: int, *, name: str) -> int:
    now = draft.weights.find(draft.grades.get(firm_id))
    if grade is None or now is None:
        return amount
    return rescaled(amount, before=getattr(now, name), after=getattr(grade, name))


def _fail(draft: _Draft, change: Failed) -> None:
    firm = change.firm_id
    rows, trades = draft.lines_of(firm), [each for each in draft.links if firm in each]
    guaranteed = draft.backing.guaranteed.get((firm, draft.terms.currency), ())
    if not rows and not trades and firm not in draft.is_of_the_anchor and not draft.has_lines(guaranteed):
        raise draft.refuse(_NO_PART)
    for row in rows:
        row |= {"sme_active": False, "rating_cap": 0, "multiplier": 0}
    for names in trades:
        del draft.links[names]
    if firm in draft.caps:
        draft.caps[firm] = 0
    if firm == draft.programme["anchor_id"]:
        draft.programme["active"] = False
    draft.grades[firm] = IN_DEFAULT
    draft.failed.add(firm)


def _limit(draft: _Draft, change: Limited) -> None:
    limits = {}
    for name in ("limit", "upstream_limit", "downstream_limit"):
        given: Money | None = getattr(change, name)
        if given is not None:
            limits[name] = draft.minor(given)
        elif change.by is not None:
            limits[name] = share_of(amount=getattr(draft.terms, name).minor, millionths=MILLION + change.by)
    draft.terms = draft.terms.model_copy(
        update={name: Amount.of(amount_minor=minor, currency=draft.terms.currency) for name, minor in limits.items()}
    )


def _trade(draft: _Draft, change: Traded) -> None:
    names = (change.supplier_id, change.buyer_id)
    known = draft.links.get(names)
    if change.traded is not None:
        traded = draft.minor(change.traded)
    elif known is not None:
        traded = share_of(amount=known["traded_minor"], millionths=MILLION + (change.by or 0))
    else:
        raise draft.refuse("the two firms do not trade: say how much they would")
    draft.links[names] = {"supplier_id": names[0], "buyer_id": names[1], "traded_minor": traded}


def _join(draft: _Draft, change: Joined) -> None:
    firm, upstream = change.firm_id, change.direction == "upstream"
    if any(row["enterprise_id"] == firm for row in draft.rows.values()):
        raise draft.refuse("the firm has a line already")
    if change.grade is not None and draft.weights.find(change.grade) is None:
        raise draft.refuse("the policy does not know the grade")
    known: Mapping[str, Any] = draft.firms.get(firm, {})
    cap = known.get("cap_minor") if change.cap is None else draft.minor(change.cap)
    committed = 0 if change.committed is None else draft.minor(change.committed)
    supplier, buyer = (firm, change.trades_with) if upstream else (change.trades_with, firm)
    _trade(draft, Traded(supplier, buyer, traded=change.traded))
    multiplier = change.multiplier if change.multiplier is not None else known.get("multiplier") or MILLION
    programme_id = draft.programme["programme_id"]
    line = {
        "line_id": f"new/{programme_id}/{firm}",
        "programme_id": programme_id,
        "enterprise_id": firm,
        "direction": change.direction,
        "anchor_support": change.anchor_support,
        "sme_active": True,
        "size_class": known.get("size_class"),
        "industry": known.get("industry"),
        "rating_cap": cap,
        "multiplier": multiplier,
        "valid_until": None if cap is None else date.max,
        "expiry_date": date.max,
        "committed": committed,
        "sme_used": known.get("used") or 0,
        "deficient": False,
        "overdue": False,
    }
    draft.add(line)
    if change.grade is not None:
        draft.grades[firm] = change.grade


def _deepen(draft: _Draft, change: Deepened) -> None:
    draft.terms = draft.terms.model_copy(update={"max_tier": change.max_tier})


def _limit_pair(draft: _Draft, change: PairLimited) -> None:
    limit = draft.minor(change.limit)
    # Upstream the firm sells to the anchor, downstream it owes it.
    firm, way = change.seller_id, "upstream"
    if change.seller_id == draft.programme["anchor_id"]:
        firm, way = change.obligor_id, "downstream"
    is_between = draft.programme["anchor_id"] in {change.seller_id, change.obligor_id}
    if not is_between or not any(row["direction"] == way for row in draft.lines_of(firm)):
        raise draft.refuse("no line is between the two")
    node_id = pair_node(seller_id=change.seller_id, obligor_id=change.obligor_id, currency=change.limit.currency)
    draft.pairs[node_id] = limit


def _cover(draft: _Draft, change: Covered) -> None:
    firms = draft.backing.sharing.get((change.cover_id, draft.terms.currency))
    if firms is None:
        raise draft.refuse(NO_COVER)
    if change.value is None and change.by is None and not change.gone:
        raise draft.refuse("say what the cover would be worth")
    if change.value is not None:
        draft.minor(change.value)
    if not draft.has_lines(firms):
        raise draft.refuse(_NO_PART)


_APPLY: Mapping[type, Callable[[_Draft, Any], None]] = {
    Rated: _rate,
    Failed: _fail,
    Limited: _limit,
    Traded: _trade,
    Joined: _join,
    Deepened: _deepen,
    PairLimited: _limit_pair,
    Covered: _cover,
}
