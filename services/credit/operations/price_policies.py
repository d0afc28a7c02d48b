"""The price list in force on a date, read from dated policy files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from services.credit.domain.pricing import PricePolicy, Steps
from shared.values.periods import DayCount
from shared.values.policies import policy_on
from shared.values.rates import parse_rate


@lru_cache(maxsize=256)
def price_policy(*, name: str, on: date) -> PricePolicy:
    """Return a price list and the LPR fixing in force on a date; NoPolicy when there is none."""
    policy, lpr = policy_on(name, on=on), policy_on("lpr", on=on)
    values = policy.values
    return PricePolicy(
        version=policy.version,
        lpr_version=lpr.version,
        lpr_1y=parse_rate(lpr.values["1Y"]),
        lpr_5y=parse_rate(lpr.values["5Y"]),
        product=MappingProxyType({name: parse_rate(text) for name, text in values["product"].items()}),
        tier=tuple(parse_rate(text) for text in values["tier"]),
        life_cycle=_steps(values["life_cycle"], since="from_months"),
        repeat_concession=_steps(values["repeat_concession"], since="from_repaid"),
        inclusive_concession=MappingProxyType(
            {size: parse_rate(text) for size, text in values["inclusive_concession"].items()}
        ),
        floor=parse_rate(values["floor"]),
        fee_rate=parse_rate(values["fee_rate"]),
        penalty_multiplier=parse_rate(values["penalty_multiplier"]),
        day_count=DayCount(values["day_count"]),
        quote_minutes=values["quote_minutes"],
    )


def _steps(table: Sequence[dict[str, Any]], *, since: str) -> Steps:
    return tuple(sorted((step[since], parse_rate(step["rate"])) for step in table))
