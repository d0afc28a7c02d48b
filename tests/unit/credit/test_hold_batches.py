"""A batch of holds is decided one by one, without a database: twins folded, documents taken once, refusals alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.credit.domain.eligibility import Drawer, Financeable
from services.credit.domain.limits import LimitExceeded, Node
from services.credit.domain.offers import DocumentInUse, Terms
from services.credit.domain.paths import Place, path_of
from services.credit.domain.pricing import TrackRecord
from services.credit.operations.hold_drawdowns import Draw, _decide_all, _Line
from services.credit.operations.hold_rows import ROUTE, Hold, Situation
from services.credit.operations.line_terms import LineTerms
from services.credit.operations.product_policies import product
from shared.storage.idempotency import IdempotencyConflict, Key
from shared.values.money import Money

DAY = date(2026, 3, 2)
PLACE = Place("l", "p", "sme", "anchor", "upstream", 1, "CNY", recourse=True, anchor_support=0)
TERMS = Terms(
    line_id="l",
    programme_id="p",
    obligor_id="anchor",
    drawer=Drawer("sme", "anchor", "upstream", 1, "CNY", 180, 5),
    path=path_of(PLACE, obligor_id="anchor"),
    not_drawable=(),
    product=product(name="receivables_discounting", on=DAY),
    recourse=True,
    form="loan",
    advance_rate=800_000,
    borrower_spread=20_000,
    obligor_spread=5_000,
    anchor_spread=5_000,
    record=TrackRecord(),
    size_class="small",
    interest_payer="seller",
    pricing_policy="pricing",
)


def _situation(*, available: int = 10_000, **changes: Any) -> Situation:
    empty = Situation(
        now=datetime.now(UTC),
        today=DAY,
        nodes={step.node_id: Node(step.node_id, available, 0, 0) for step in TERMS.path},
        versions={},
        known={},
        documents={
            name: Financeable("receivable", name, "sme", "anchor", 10_000, "CNY", DAY + timedelta(days=60), "free")
            for name in "abc"
        },
        in_use=set(),
        quotes={},
    )
    return replace(empty, **changes)


def _draw(document: str, *, key: str, principal: int = 1_000, client: str = "erp") -> Draw:
    body = f"{document} {principal}".encode()
    return Draw(
        key=Key.of(client=client, route=ROUTE, key=key, body=body),
        party="sme",
        line_id="l",
        documents=(("receivable", document),),
        principal=Money(principal, "CNY"),
        purpose="wages",
    )


def _decide(situation: Situation, *draws: Draw) -> list[Hold | str | Exception]:
    return _decide_all(draws, {"l": _Line.of(LineTerms((TERMS.product,), (TERMS,)))}, situation, hold_seconds=600)


def _held(situation: Situation) -> set[int]:
    return {node.held for node in situation.nodes.values()}


def test_r19_twins_are_folded_and_another_body_under_the_same_key_is_a_conflict() -> None:
    situation = _situation()
    first, twin, other, foreign = _decide(
        situation,
        _draw("a", key="k"),
        _draw("a", key="k"),
        _draw("b", key="k"),
        _draw("b", key="k", client="another"),
    )
    assert isinstance(first, Hold)
    assert twin == first.answer
    assert isinstance(other, IdempotencyConflict)
    assert isinstance(foreign, Hold)
    assert _held(situation) == {2_000}


def test_r19_what_was_answered_before_is_answered_again_and_holds_nothing() -> None:
    draw = _draw("a", key="k")
    situation = _situation(known={("erp", "k"): (draw.key.body_hash, "as before")})
    answers = _decide(situation, draw, _draw("b", key="k"))
    assert answers[0] == "as before"
    assert isinstance(answers[1], IdempotencyConflict)
    assert _held(situation) == {0}


def test_a_document_is_taken_once_also_within_a_batch() -> None:
    situation = _situation(in_use={"c"})
    answers = _decide(situation, _draw("a", key="1"), _draw("a", key="2"), _draw("c", key="3"))
    assert [type(each) for each in answers] == [Hold, DocumentInUse, DocumentInUse]
    assert _held(situation) == {1_000}


def test_a_refused_twin_claims_nothing_so_the_next_is_decided_on_its_own() -> None:
    situation = _situation(available=1_500)
    answers = _decide(
        situation,
        _draw("a", key="k", principal=2_000),
        _draw("a", key="k", principal=1_000),
        _draw("b", key="l", principal=501),
        _draw("b", key="m", principal=500),
    )
    assert [type(each) for each in answers] == [LimitExceeded, Hold, LimitExceeded, Hold]
    assert _held(situation) == {1_500}


def test_r10_a_batch_takes_exactly_what_is_there() -> None:
    situation = _situation(available=5_000)
    documents = {f"d{n}": replace(situation.documents["a"], document_id=f"d{n}") for n in range(6)}
    situation = replace(situation, documents=documents)
    answers = _decide(situation, *(_draw(name, key=name) for name in documents))
    assert [type(each) for each in answers] == [Hold] * 5 + [LimitExceeded]
