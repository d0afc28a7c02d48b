"""What is assigned, financed, vouchered, disputed, not agreed on or not owed does not fall by a set-off (R14)."""

from __future__ import annotations

from typing import Any

import pytest

from services.receivables.domain.setting_off import Claim, why_not_set_off
from shared.values.money import Money


def _why(claim: dict[str, Any] | None, **asked: Any) -> str | None:
    standing = {
        "receivable_id": "r",
        "seller_id": "seller",
        "obligor_id": "obligor",
        "owed": Money(100, "CNY"),
        "state": "confirmed",
        "acknowledged": False,
        "vouchered": False,
        "disputed": False,
    }
    leg = {"receivable_id": "r", "debtor_id": "obligor", "creditor_id": "seller", "by": Money(100, "CNY")}
    why = why_not_set_off(None if claim is None else Claim(**{**standing, **claim}), **{**leg, **asked})
    return why.code if why else None


@pytest.mark.parametrize("claim", [{}, {"state": "validated", "acknowledged": True}, {"owed": Money(101, "CNY")}])
def test_what_both_agree_on_and_nobody_holds_falls(claim: dict[str, Any]) -> None:
    assert _why(claim) is None


@pytest.mark.parametrize(
    ("claim", "asked", "code"),
    [
        (None, {}, "unknown_receivable"),
        ({"state": "assigned"}, {}, "receivable_assigned"),
        ({"state": "financed"}, {}, "receivable_financed"),
        ({"vouchered": True}, {}, "receivable_vouchered"),
        ({"disputed": True}, {}, "receivable_disputed"),
        ({"state": "validated"}, {}, "receivable_not_agreed"),
        ({"state": "referred", "acknowledged": True}, {}, "receivable_not_agreed"),
        ({"state": "rejected", "acknowledged": True}, {}, "receivable_not_agreed"),
        ({"state": "settled"}, {}, "receivable_not_agreed"),
        ({}, {"debtor_id": "another"}, "foreign_receivable"),
        ({}, {"creditor_id": "another"}, "foreign_receivable"),
        ({"owed": Money(99, "CNY")}, {}, "receivable_changed"),
        ({}, {"by": Money(100, "EUR")}, "receivable_changed"),
        ({}, {"by": Money(0, "CNY")}, "receivable_changed"),
    ],
)
def test_r14_what_is_bound_or_not_owed_does_not_fall(
    claim: dict[str, Any] | None, asked: dict[str, Any], code: str
) -> None:
    assert _why(claim, **asked) == code
