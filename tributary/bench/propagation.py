"""How fast a limit becomes lines: a million of them computed, ten thousand from the decision to what people see.

Of a hundred thousand: how long draws wait while their limit changes, by a generation and under the lock.

The computation runs in turn with the least that numpy needs for so many numbers; the figure is the rounds' median.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from typing import Any

from shared.runtime.settings import Settings
from tributary.bench.large_programme import change_limits
from tributary.bench.machine import machine
from tributary.bench.many_lines import LINES, LINKS_A_LINE, TIERS, compute, make_chain, seconds_of_both
from tributary.bench.wide_programme import wide_programme
from tributary.platform import running_platform

_ROUNDS, _WIDE, _CHANGES, _LARGE = 7, 10_000, 6, 100_000


async def measure(home: Path) -> dict[str, Any]:
    """Return seconds of computation beside numpy's least, and seconds from a decided limit to lines, events, pages."""
    computed = await asyncio.to_thread(_compute)
    return {**computed, **await _change_limits(home)}


def _compute() -> dict[str, Any]:
    chain = make_chain()
    shared = compute(chain)
    if int(shared.reserved.sum()) != shared.pool:
        message = "the shares do not add up to the pool"
        raise RuntimeError(message)
    rounds = [seconds_of_both(chain) for _ in range(_ROUNDS)]
    value, baseline = (median(times) for times in zip(*rounds, strict=True))
    return {
        "figure": "propagation",
        "value": round(value, 3),
        "unit": f"s to compute {LINES:,} lines of {LINES * LINKS_A_LINE:,} links in {TIERS} tiers, once loaded",
        "baseline": round(baseline, 3),
        "baseline_name": "numpy's least: look-ups, product, quotient and sum of every link, a sort of every line",
        "ratio": round(value / baseline, 2),
        "machine": machine(),
        "rounds": [round(seconds, 3) for seconds, _ in rounds],
        "baseline_rounds": [round(seconds, 3) for _, seconds in rounds],
    }


async def _change_limits(home: Path) -> dict[str, Any]:
    settings = Settings().model_copy(update={"home": home, "port": 0})
    async with running_platform(settings, processes=True) as platform:
        async with wide_programme(platform, lines=_WIDE) as wide:
            # The first change finds caches cold; each moves every line.
            await wide.change_limit("800000000.00")
            seen = [await wide.change_limit(f"{700_000_000 + 1_000_000 * nth}.00") for nth in range(_CHANGES)]
        large = await change_limits(platform, lines=_LARGE)
    shown = sorted(each.read_model for each in seen)
    return {
        "p50_ms": round(1000 * median(shown)),
        "p99_ms": round(1000 * shown[-1]),
        "latency_of": f"a limit's change, from the second person's decision to {_WIDE:,} lines on the page",
        "decided_ms": round(1000 * median(each.decided for each in seen)),
        "lines_written_ms": round(1000 * median(each.lines for each in seen)),
        "events_out_ms": round(1000 * median(each.events for each in seen)),
        "read_model_ms": round(1000 * median(shown)),
        "change_rounds_ms": [round(1000 * each) for each in shown],
        **large,
    }
