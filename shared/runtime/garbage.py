"""When Python collects cycles: seldom, for what a process keeps it keeps for good, and what it drops has few."""

from __future__ import annotations

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 50, 50


def tune_gc() -> None:
    """Freeze what start-up made and collect seldom: the default costs a quarter of the throughput."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
