"""The parts of the chain's story that lines tell: they change; draws are stopped, and one of two blocks is lifted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from shared.events.credit import LineBlocked, LineChanged, LineUnblocked
from shared.events.envelope import Event
from shared.values.money import Amount


def changed(
    line_id: str,
    enterprise_id: str,
    programme_id: str,
    cap: str,
    *,
    tier: int,
    direction: Literal["upstream", "downstream"] = "upstream",
    reasons: Sequence[str] = (),
) -> Event:
    """Return a line's first change, from nothing to a cap."""
    return LineChanged(
        line_id=line_id,
        programme_id=programme_id,
        enterprise_id=enterprise_id,
        tier=tier,
        direction=direction,
        cap=Amount(amount=cap, currency="CNY"),
        cap_before=Amount(amount="0.00", currency="CNY"),
        drawable=not reasons,
        reasons=list(reasons),
    )


def blocks(line_id: str, enterprise_id: str, programme_id: str) -> list[Event]:
    """Return a line's block, which another one stood beside, and its end."""
    said: dict[str, Any] = {
        "line_id": line_id,
        "programme_id": programme_id,
        "enterprise_id": enterprise_id,
        "currency": "CNY",
        "block_id": "019a0000-0000-7000-8000-000000000051",
        "scope": "firm",
        "reason": "court_order",
    }
    return [LineBlocked(**said, blocks=["compliance", "court_order"]), LineUnblocked(**said, blocks=["compliance"])]
