"""I2: node by node, held = Σ live holds and utilised = Σ what is open; drawdown by drawdown, as settlement says."""

from __future__ import annotations

from tributary.verify.loan_fold import Pair, drawdowns_and_loans
from tributary.verify.result import Result
from tributary.verify.snapshots import World

NAME = "held and utilised"

# Each drawdown's part is rounded down on its own, with the share of its stored path, or what is above a stored amount.
_NODES = """
WITH carried AS (
    SELECT step->>1 AS node_id,
        sum(CASE WHEN d.state IN ('held', 'referred', 'approved', 'cancelling')
            THEN div(greatest(0, d.exposure_minor - above)::numeric * (step->>2)::bigint, 1000000) ELSE 0 END) AS held,
        sum(div(greatest(0, d.used_minor - above)::numeric * (step->>2)::bigint, 1000000)) AS utilised
    FROM drawdown d CROSS JOIN LATERAL jsonb_array_elements(d.path) AS step
    CROSS JOIN LATERAL (SELECT coalesce((step->>3)::bigint, 0) AS above) AS s GROUP BY 1)
SELECT coalesce(n.node_id, c.node_id) AS node_id, coalesce(n.held_minor, 0) AS held,
    coalesce(n.utilised_minor, 0) AS utilised, coalesce(c.held, 0)::bigint AS held_by_drawdowns,
    coalesce(c.utilised, 0)::bigint AS used_by_drawdowns
FROM limit_node n FULL JOIN carried c ON c.node_id = n.node_id
"""
_NO_MONEY_YET = frozenset({"held", "referred", "approved", "cancelling", "released"})


async def check(world: World) -> Result:
    """Compare credit with itself, then with settlement's outbox up to credit's heads."""
    result = Result()
    async for row in world.state["credit"].pg.cursor(_NODES):
        result.checked += 1
        if row["held"] != row["held_by_drawdowns"]:
            result.violate(f"{row['node_id']} holds {row['held']}, its drawdowns {row['held_by_drawdowns']}")
        if row["utilised"] != row["used_by_drawdowns"]:
            result.violate(f"{row['node_id']} is used {row['utilised']}, by its drawdowns {row['used_by_drawdowns']}")
    async for pair in drawdowns_and_loans(world):
        result.checked += 1
        pair.fly(world, result)
        wrong = _what_is_wrong(pair)
        if wrong:
            result.violate(f"drawdown {pair.name}: {wrong}")
    return result


def _what_is_wrong(pair: Pair) -> str | None:
    drawdown, heard = pair.drawdown, pair.heard
    state, used = drawdown["state"], drawdown["used_minor"]
    if heard.disbursed is None:
        return f"{state} and used {used}, though no money went out" if state not in _NO_MONEY_YET or used else None
    if state in _NO_MONEY_YET:
        return f"still {state}, though the money went out"
    if (drawdown["disbursed_minor"], drawdown["outstanding_minor"]) != (heard.disbursed, heard.left):
        return f"{drawdown['outstanding_minor']} open, settlement's events leave {heard.left} of {heard.disbursed}"
    # A purchase's face shrinks in proportion to what is repaid.
    expected = drawdown["exposure_minor"] * heard.left // heard.disbursed if heard.disbursed else 0
    if used != expected:
        return f"uses {used}, with {heard.left} open it should use {expected}"
    if (state == "repaid") != (heard.closed and heard.left == 0):
        return f"is {state} with {heard.left} open"
    return None
