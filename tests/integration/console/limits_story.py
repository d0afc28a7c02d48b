"""What credit says of limits in the story: programme, lines, pairs and cover."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time

from shared.events import credit, onboarding
from shared.events.envelope import Event
from shared.values.money import Amount


def terms() -> onboarding.ProgrammeTerms:
    """Return what bank and anchor agreed."""
    return onboarding.ProgrammeTerms(
        currency="CNY",
        limit=_cny("1000.00"),
        upstream_limit=_cny("1000.00"),
        downstream_limit=_cny("400.00"),
        issuance_limit=_cny("500.00"),
        max_tier=2,
        advance_rate="0.800000",
        concentration_share="0.500000",
        max_tenor_days=180,
        buffer_days=5,
        grace_days=3,
        recourse=True,
        interest_payer="seller",
        pricing_policy="pricing",
        propagation_policy="propagation",
        auto_approve_up_to=_cny("500.00"),
        cut_off=time(17, 0),
        zone="Asia/Shanghai",
        collection_account="COLLECT-1",
    )


def limits(programme_id: str, lines: Sequence[str], firms: Sequence[str], *, anchor_id: str) -> list[Event]:
    """Return a propagation and what it made of three lines: one drawn on, one barred, one of a distributor."""
    first, second, third = zip(lines, firms, strict=True)
    return [
        credit.LimitPropagated(
            programme_id=programme_id,
            limit=_cny("900.00"),
            pool=_cny("900.00"),
            reserved=_cny("863.00"),
            shortfall=_cny("0.00"),
            changed_lines=3,
            cause="rating.recorded",
            policy_version="2000-01",
        ),
        credit.PairLimitChanged(
            node_id=f"pair/{firms[0]}/{anchor_id}/CNY",
            seller_id=firms[0],
            obligor_id=anchor_id,
            limit=_cny("400.00"),
            limit_before=None,
            reason="new trade",
        ),
        *_covers(firms[0], firms[1]),
        _line(programme_id, *first, "450.00", tier=1),
        _line(programme_id, *second, "276.00", tier=2, reasons=["agreement_not_signed"]),
        _line(programme_id, *third, "137.00", tier=1, direction="downstream"),
    ]


def _covers(firm_id: str, provider_id: str) -> list[Event]:
    """Return one cover's life to its release, and of another that it is enforced."""
    first, second = f"{firm_id[:-2]}81", f"{firm_id[:-2]}82"
    return [
        credit.CoverProposed(
            cover_id=first,
            enterprise_id=firm_id,
            provider_id=provider_id,
            kind="building",
            asset="TITLE-7",
            secured=_cny("500.00"),
            rank=1,
            valid_until=date(2030, 1, 1),
            line_ids=None,
        ),
        credit.CoverValued(
            cover_id=first,
            enterprise_id=firm_id,
            value=_cny("900.00"),
            prior_charges=_cny("0.00"),
            valued_date=date(2026, 3, 2),
        ),
        credit.CoverRegistered(cover_id=first, enterprise_id=firm_id, registry_reference="R-7", secured=_cny("500.00")),
        credit.CoverLendingValueChanged(
            cover_id=first,
            enterprise_id=firm_id,
            lending_value=_cny("300.00"),
            lending_value_before=_cny("350.00"),
            business_date=date(2027, 3, 2),
        ),
        credit.CoverReleased(cover_id=first, enterprise_id=firm_id, reason="paid back"),
        credit.CoverEnforced(cover_id=second, enterprise_id=firm_id, reason="default"),
    ]


def _cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")


def _line(
    programme_id: str,
    line_id: str,
    enterprise_id: str,
    cap: str,
    *,
    tier: int,
    direction: str = "upstream",
    reasons: Sequence[str] = (),
) -> Event:
    return credit.LineChanged.model_validate(
        {
            "line_id": line_id,
            "programme_id": programme_id,
            "enterprise_id": enterprise_id,
            "tier": tier,
            "direction": direction,
            "cap": _cny(cap),
            "cap_before": _cny("0.00"),
            "drawable": not reasons,
            "reasons": list(reasons),
        }
    )
