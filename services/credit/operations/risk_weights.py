"""The risk weights in force on a date, read from dated policy files."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from services.credit.domain.risk_weights import Grade, RiskWeights
from shared.values.policies import policy_on
from shared.values.rates import parse_rate


@lru_cache(maxsize=16)
def risk_weights(*, on: date) -> RiskWeights:
    """Return the grades and what is lost in default; NoPolicy when there is none."""
    policy = policy_on("risk_weights", on=on)
    values = policy.values
    return RiskWeights(
        grades=tuple(
            Grade(each["grade"], *(parse_rate(each[name]) for name in ("cap", "multiplier", "default")))
            for each in values["grades"]
        ),
        unrated_default=parse_rate(values["unrated_default"]),
        loss_with_recourse=parse_rate(values["loss"]["with_recourse"]),
        loss_without_recourse=parse_rate(values["loss"]["without_recourse"]),
        loss_secured={kind: parse_rate(share) for kind, share in values["loss"]["secured"].items()},
        version=policy.version,
    )
