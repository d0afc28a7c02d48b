"""Many seeds, or one with everything it does told aloud."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.properties.simulation.commands import CommandWorld
from tests.properties.simulation.loop import current
from tests.properties.simulation.patches import Patch, model_in_place, traced
from tests.properties.simulation.scenario import World

# What a long run must have met, or it proves less than it says.
SITUATIONS = (
    "ambiguous send: there",
    "ambiguous send: not there",
    "late ack",
    "out of sequence refused",
    "answer to a commit lost",
    "answer to a commit lost, rerun",
    "connection to the database lost",
    "database killed",
    "marks lost in a crash",
    "deadlock",
    "killed within a transaction",
    "lease taken over",
    "lease taken over from one that did not release it",
    "mark of a zombie refused",
    "broker away",
    "tail of a topic lost",
    "database restored from a backup",
    "loud: acked record",
    "loud: offset",
    "loud: outbox",
    "rebalance during a batch",
    "member expelled",
    "assignment callback failed",
    "no offset for a partition just assigned",
    "position from Kafka's own copy",
    "fetched what another member has applied",
    "drained by another",
    "parked: gap",
    "parked: waits",
    "parked: failed",
    "parked: unknown_type",
    "client of a batch cancelled",
)
_COLLECT_EVERY = 200


@dataclass
class Tally:
    """What many runs came to."""

    runs: int = 0
    steps: int = 0
    seconds: float = 0.0
    hits: Counter[str] = field(default_factory=Counter)
    broken: dict[int, AssertionError] = field(default_factory=dict)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Collect garbage now and then instead of all the time: a run is one large cycle."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
        gc.collect()


def world_of(seed: int, *, tell: Callable[[str], None] | None = None) -> World | CommandWorld:
    """Return the run of a seed: each fifth is one of group commit."""
    return CommandWorld(seed, tell=tell) if seed % 5 == 4 else World(seed, tell=tell)


def run_many(seeds: Iterable[int], *, mutation: Sequence[Patch] = (), stop_at: int = 1) -> Tally:
    """Run seeds until so many broke a promise."""
    tally = Tally()
    began = time.process_time()
    with model_in_place(mutation), _without_collector():
        for seed in seeds:
            one = world_of(seed)
            try:
                one.run()
            except AssertionError as violation:
                tally.broken[seed] = violation
            tally.runs += 1
            tally.steps += one.loop.steps
            tally.hits.update(one.hits)
            if len(tally.broken) >= stop_at:
                break
            if tally.runs % _COLLECT_EVERY == 0:
                gc.collect()
    tally.seconds = time.process_time() - began
    return tally


def tell_one(seed: int, tell: Callable[[str], None], *, mutation: Sequence[Patch] = ()) -> None:
    """Run one seed, telling who does what when; raise what it breaks."""

    def told(what: str) -> None:
        tell(f"{one.loop.time():11.6f} {current()!s:12} {what}" if one is not None else what)

    one: World | CommandWorld | None = None
    with model_in_place(mutation), traced(told):
        one = world_of(seed, tell=told)
        one.run()
