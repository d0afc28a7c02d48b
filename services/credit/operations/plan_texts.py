"""A repayment plan as a quote and a drawdown show, keep and tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.credit.domain.plans import Planned
from shared.events.credit import RepaymentPlan
from shared.values.money import Money


def repayment_of(planned: Planned, *, currency: str) -> dict[str, Any]:
    """Return a plan with what each instalment is, if the loan is paid out on the day it was made for."""

    def wire(minor: int) -> dict[str, str]:
        return Money(minor, currency).wire()

    return {
        "kind": planned.kind,
        "binding": True,
        "early_repayment": planned.early_repayment,
        "interest": wire(planned.interest),
        "instalments": [
            {
                "due_date": each.due_date.isoformat(),
                "principal": wire(each.principal),
                "interest": wire(each.interest),
                "total": wire(each.total),
                "outstanding": wire(each.outstanding),
            }
            for each in planned.instalments
        ],
    }


def plan_name(planned: Planned | None) -> str | None:
    """Return the one word that two plans of a loan share when they are the same; None for one that ends at maturity."""
    if planned is None or planned.kind == "bullet":
        return None
    return f"{planned.kind}/{len(planned.instalments)}"


def plan_text(planned: Planned | None, *, currency: str) -> str | None:
    """Return a plan as a drawdown keeps it; None where it is repaid at its maturity."""
    if planned is None or planned.kind == "bullet":
        return None
    return json.dumps(repayment_of(planned, currency=currency))


def plan_event(kept: Mapping[str, Any] | None) -> RepaymentPlan | None:
    """Return a kept plan as the others hear it: dates and principal; interest is what will have been earned."""
    if kept is None:
        return None
    return RepaymentPlan.model_validate(
        {
            "kind": kept["kind"],
            "early_repayment": kept["early_repayment"],
            "instalments": [
                {"due_date": each["due_date"], "principal": each["principal"]} for each in kept["instalments"]
            ],
        }
    )
