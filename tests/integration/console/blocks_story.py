"""The part of the chain's story in which draws are stopped, and one of two blocks is lifted."""

from __future__ import annotations

from typing import Any

from shared.events.credit import LineBlocked, LineUnblocked
from shared.events.envelope import Event


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
