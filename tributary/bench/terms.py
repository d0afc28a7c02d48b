"""The programme that the benches draw on: one limit for everything, nothing referred."""

from __future__ import annotations

from datetime import time

from shared.events.onboarding import ProgrammeTerms
from shared.values.money import Amount


def programme_terms(limit: Amount) -> ProgrammeTerms:
    """Return terms of one tier, with recourse, in which the limit is every sub-limit and approves automatically."""
    return ProgrammeTerms(
        currency=limit.currency,
        limit=limit,
        upstream_limit=limit,
        downstream_limit=limit,
        issuance_limit=limit,
        max_tier=1,
        advance_rate="0.800000",
        concentration_share="1.000000",
        max_tenor_days=180,
        buffer_days=5,
        grace_days=3,
        recourse=True,
        interest_payer="seller",
        pricing_policy="pricing",
        propagation_policy="propagation",
        auto_approve_up_to=limit,
        cut_off=time(17),
        zone="Asia/Shanghai",
        collection_account="COLLECT",
    )
