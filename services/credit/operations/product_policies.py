"""The products of a programme, read from dated policy files: adding one is a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

from services.credit.domain.plans import PlanRules
from services.credit.domain.products import Product, Use, derived
from shared.values.calendars import BusinessCalendar, Roll
from shared.values.money import parse_minor
from shared.values.policies import Policy, policy_on, policy_versions
from shared.values.rates import parse_rate


class VersionGone(LookupError):
    """The file of a product's version that something was drawn under is not there any more."""

    code: ClassVar[str] = "product_version_gone"

    def __init__(self, *, version: str) -> None:
        """Keep the version."""
        self.version = version
        super().__init__(f"There is no file of {version}; what was drawn under it still needs it.")


@lru_cache(maxsize=256)
def product(*, name: str, on: date) -> Product:
    """Return a product as it is offered on a date; NoPolicy when there is none."""
    return _product(name, policy_on(f"products/{name}", on=on))


@lru_cache(maxsize=256)
def drawn_product(*, version: str) -> Product:
    """Return the version of a product that a drawdown keeps: it lives under it to its end; VersionGone without it."""
    name = version.rpartition("/")[0]
    for policy in versions_of(name):
        if policy.version == f"products/{version}":
            return _product(name, policy)
    raise VersionGone(version=version)


def _product(name: str, policy: Policy) -> Product:
    values = policy.values
    shortest, longest = values["tenor_days"]
    return Product(
        name=name,
        version=policy.version.removeprefix("products/"),
        documents=frozenset(values["documents"]),
        directions=frozenset(values["directions"]),
        with_recourse=_use(values["with_recourse"]),
        without_recourse=_use(values["without_recourse"]),
        advance_rate=parse_rate(values["advance_rate"]),
        shortest_days=shortest,
        longest_days=longest,
        payee=values["payee"],
        interest_payer=values["interest_payer"],
        revolving=values["revolving"],
        cover=values["cover"],
        quotas=_quotas(values["quota"]),
        price=values["price"],
        plans=_plans(values.get("plans")),
    )


def product_names(names: Sequence[str], *, recourse: bool) -> Sequence[str]:
    """Return the products that a programme names, else those that follow from its recourse."""
    return names or derived(recourse=recourse)


def programme_products(*, names: Sequence[str], recourse: bool, on: date) -> tuple[Product, ...]:
    """Return what a programme offers on a date, in its order."""
    return tuple(product(name=name, on=on) for name in product_names(names, recourse=recourse))


def versions_of(name: str) -> tuple[Policy, ...]:
    """Return the versions of a product's policy, oldest first."""
    return policy_versions(f"products/{name}")


def _use(values: Mapping[str, Any] | None) -> Use | None:
    return None if values is None else Use(form=values["form"], risk=values["risk"])


def _plans(values: Mapping[str, Any] | None) -> PlanRules | None:
    if values is None:
        return None
    return PlanRules(
        kinds=frozenset(values["kinds"]),
        longest_days=values["longest_days"],
        period_months=values["period_months"],
        roll=Roll(values["roll"]),
        calendar=BusinessCalendar(values["calendar"]),
        early_repayment=values["early_repayment"],
    )


def _quotas(values: Mapping[str, Any]) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    return MappingProxyType(
        {
            currency: MappingProxyType(
                {
                    industry: MappingProxyType(
                        {size: parse_minor(amount=text, currency=currency) for size, text in sizes.items()}
                    )
                    for industry, sizes in industries.items()
                }
            )
            for currency, industries in values.items()
        }
    )
