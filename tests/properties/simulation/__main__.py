"""`python -m tests.properties.simulation`: replay a seed, or run many and say what they met."""

from __future__ import annotations

import argparse
import sys

from tests.properties.simulation.running import SITUATIONS, run_many, tell_one

_LONG = 5_000


def main() -> int:
    """Run what the command line says; 1 when a promise is broken or a long run missed a situation."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties.simulation")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="one seed")
    which.add_argument("--seeds", help="many: A:B")
    parser.add_argument("--trace", action="store_true", help="print what each process does")
    given = parser.parse_args()
    if given.seed is not None:
        return _one(given.seed, trace=given.trace)
    first, _, end = given.seeds.partition(":")
    return _many(range(int(first), int(end)))


def _one(seed: int, *, trace: bool) -> int:
    try:
        tell_one(seed, _say if trace else lambda _: None)
    except AssertionError as violation:
        _say(f"seed {seed}: {violation}")
        return 1
    _say(f"seed {seed}: every promise kept")
    return 0


def _many(seeds: range) -> int:
    tally = run_many(seeds, stop_at=10)
    for seed, violation in tally.broken.items():
        _say(f"seed {seed}: {violation}")
    for situation in sorted({*SITUATIONS, *tally.hits}):
        _say(f"{tally.hits[situation]:8} {situation}")
    _say(f"{tally.runs} interleavings of {tally.steps / max(1, tally.runs):.0f} steps, {len(tally.broken)} broken")
    _say(
        f"a second of one core: {tally.runs / tally.seconds:.0f} interleavings, {tally.steps / tally.seconds:.0f} steps"
    )
    missed = [situation for situation in SITUATIONS if not tally.hits[situation]]
    if missed and len(seeds) >= _LONG:
        _say(f"never met: {', '.join(missed)}")
        return 1
    return 1 if tally.broken else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
