"""Named places where a process may die: nothing happens there, unless a fault test hooked in.

No setting arms them: only code that runs in the same process can.
"""

from __future__ import annotations

from collections.abc import Callable

# Every place there is, and what is true of a process that dies right there.
FAILPOINTS = {
    "transaction.done": "a transaction has done its work and is not committed",
    "transaction.durable": "a transaction is durable and nobody was told",
    "relay.read": "pending rows are read and nothing is sent",
    "relay.sent": "records are on their way and no ack has come",
    "relay.acked": "the broker has the records and their rows are still pending",
    "relay.marked": "rows are marked and nothing follows",
    "inbox.fetched": "records are here and nothing is locked",
    "inbox.applied": "effects, heads and offsets are written and not committed",
    "inbox.committed": "effects are durable and Kafka's own copy of the offset is old",
    "inbox.shown": "Kafka's own copy of the offset is new",
    "drain.applied": "parked events are applied and not committed",
    "rail.submitted": "the rail has an order and its payment does not say so",
}

_hook: Callable[[str], None] | None = None


def reached(name: str) -> None:
    """Say that a failpoint was reached."""
    if _hook is not None:
        _hook(name)


def hook(function: Callable[[str], None] | None) -> None:
    """Call a function at every failpoint from now on; None takes it away."""
    global _hook  # noqa: PLW0603 - one process has one hook
    _hook = function
