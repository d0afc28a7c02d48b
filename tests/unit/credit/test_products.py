"""Every product's policy file says what it must, and what follows from it (DOMAIN §2, §4, §8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from services.credit.domain.paths import Level, Place, path_of
from services.credit.domain.products import (
    ProductNotOffered,
    TenorNotOffered,
    check_tenor,
    choose,
    derived,
    in_direction,
    line_quota,
)
from services.credit.operations.price_policies import price_policy
from services.credit.operations.product_policies import product, programme_products
from shared.values.policies import POLICIES

DAY = date(2026, 3, 2)
NAMES = sorted(path.name for path in (POLICIES / "products").iterdir())
PRODUCTS = {name: product(name=name, on=DAY) for name in NAMES}
_MOST = 500_000_000


@pytest.mark.parametrize("name", NAMES)
def test_every_product_is_one_that_can_be_drawn(name: str) -> None:
    found = PRODUCTS[name]
    assert found.version == f"{name}/2000-01-01"
    assert found.with_recourse or found.without_recourse
    for agreed in (True, False):
        use = found.use(recourse=found.recourse(agreed=agreed))
        # What is lent has recourse to whoever borrows, or the anchor's support; what is bought looks to the obligor.
        assert (use.form == "purchase") <= (use.risk == "obligor")
    assert 0 < found.advance_rate <= 1_000_000
    assert 1 <= found.shortest_days <= found.longest_days <= 365
    assert found.directions <= {"upstream", "downstream"}
    assert found.directions
    assert found.price in price_policy(name="pricing", on=DAY).product
    assert found.cover != "payable" or found.documents


@pytest.mark.parametrize("name", NAMES)
def test_only_what_stands_on_no_document_is_repaid_by_a_plan(name: str) -> None:
    found = PRODUCTS[name]
    assert (found.plans is None) == bool(found.documents)
    with pytest.raises(ValueError, match="it has no plans"):
        replace(found, plans=PRODUCTS["pure_credit"].plans, documents=frozenset({"receivable"}))
    if found.plans is not None:
        assert found.plans.kinds <= {"equal_instalments", "equal_principal", "interest_only"}
        assert found.plans.longest_days <= found.longest_days
        assert found.plans.early_repayment in {"shorten", "lower", "refused"}


@pytest.mark.parametrize("name", [name for name in NAMES if PRODUCTS[name].quotas])
def test_quotas_lie_between_three_and_five_million_yuan_and_pure_credit_below_five(name: str) -> None:
    found = PRODUCTS[name]
    for industry in ("*", "services", "construction", "farming"):
        for size in ("micro", "small", "medium", "large"):
            quota = found.quota(currency="CNY", industry=industry, size_class=size)
            assert quota is not None
            assert 300_000_000 <= quota <= _MOST
            assert found.documents or quota < _MOST
    assert found.quota(currency="EUR", industry="farming", size_class="small") == 0
    assert found.quota(currency="CNY", industry="farming", size_class="") == 0


def test_pure_credit_takes_no_document_and_everything_else_does() -> None:
    assert {name for name in NAMES if not PRODUCTS[name].documents} == {"pure_credit", "revolving_micro"}
    assert [PRODUCTS[name].revolving for name in ("pure_credit", "revolving_micro")] == [False, True]


@pytest.mark.parametrize(
    ("recourse", "direction", "kind", "name", "form"),
    [
        (True, "upstream", "receivable", "receivables_discounting", "loan"),
        (False, "upstream", "receivable", "payables_finance", "purchase"),
        (True, "upstream", "slice", "deep_tier", "loan"),
        (False, "upstream", "slice", "deep_tier", "purchase"),
        (True, "downstream", "receivable", "distributor_finance", "loan"),
        (False, "downstream", "receivable", "distributor_finance", "loan"),
    ],
)
def test_the_product_follows_from_direction_recourse_and_document(
    *, recourse: bool, direction: str, kind: str, name: str, form: str
) -> None:
    offered = in_direction(programme_products(names=(), recourse=recourse, on=DAY), direction)
    found = choose(offered, named=None, kinds=[kind])
    assert (found.name, found.use(recourse=found.recourse(agreed=recourse)).form) == (name, form)


def test_a_product_keeps_to_its_recourse_whatever_the_programme_agreed() -> None:
    assert not PRODUCTS["payables_finance"].recourse(agreed=True)
    assert PRODUCTS["order_finance"].recourse(agreed=False)
    with pytest.raises(ProductNotOffered):
        PRODUCTS["payables_finance"].use(recourse=True)


@pytest.mark.parametrize(
    ("named", "kinds", "reason"),
    [
        ("order_finance", ["order"], "not_in_the_programme"),
        ("deep_tier", ["receivable"], "takes_no_receivable"),
        ("deep_tier", [], "needs_a_document"),
        (None, ["goods"], "no_product_takes_goods"),
        (None, [], "no_product_takes_no_document"),
    ],
)
def test_what_is_not_offered_is_refused_with_the_reason(named: str | None, kinds: list[str], reason: str) -> None:
    offered = [PRODUCTS[name] for name in derived(recourse=True)]
    with pytest.raises(ProductNotOffered) as refused:
        choose(offered, named=named, kinds=kinds)
    assert (refused.value.product, refused.value.reason) == (named, reason)


def test_a_programme_may_offer_orders_and_goods_and_pure_credit_in_its_own_order() -> None:
    offered = programme_products(
        names=("order_finance", "inventory_finance", "pure_credit", "revolving_micro"), recourse=False, on=DAY
    )
    assert choose(offered, named=None, kinds=["order"]).name == "order_finance"
    assert choose(offered, named=None, kinds=["goods"]).name == "inventory_finance"
    assert choose(offered, named=None, kinds=[]).name == "pure_credit"
    assert choose(offered, named="revolving_micro", kinds=[]).name == "revolving_micro"


def test_a_line_may_be_what_its_products_together_may_be() -> None:
    def of(*names: str) -> int | None:
        found = [PRODUCTS[name] for name in names]
        return line_quota(found, currency="CNY", industry="services", size_class="micro")

    assert of("revolving_micro") == 300_000_000
    assert of("revolving_micro", "order_finance") == 600_000_000
    assert of("revolving_micro", "deep_tier") is None
    assert of() is None


def test_a_tenor_lies_in_the_products_and_the_programmes_bounds() -> None:
    micro = PRODUCTS["revolving_micro"]
    assert check_tenor(micro, tenor_days=90, longest_days=90) == 90
    for days, longest in ((None, 90), (0, 90), (91, 90), (366, 400)):
        with pytest.raises(TenorNotOffered):
            check_tenor(micro, tenor_days=days, longest_days=longest)


def test_without_a_document_the_path_has_no_anchor_upstream_and_its_support_downstream() -> None:
    place = Place("l", "p", "sme", "head", "upstream", 2, "CNY", recourse=True, anchor_support=0)
    alone = replace(place, alone=True, product="revolving_micro")
    above = {Level.PROGRAMME, Level.DIRECTION, Level.TIER, Level.LINE}
    levels = {step.level: step for step in path_of(alone, obligor_id="sme")}
    assert levels.keys() == above | {Level.SME, Level.PRODUCT}
    assert path_of(place, obligor_id="anchor")[0].level is Level.GROUP
    down = replace(alone, direction="downstream", anchor_support=400_000)
    levels = {step.level: step for step in path_of(down, obligor_id="sme")}
    assert levels.keys() == above | {Level.GROUP, Level.OBLIGOR, Level.PRODUCT}
    assert levels[Level.GROUP].carries(100) == 40
