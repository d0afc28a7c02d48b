"""Puts the model in the place of the servers: module attributes of the real code, for as long as a block runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from shared.events.envelope import EVENT_TYPES
from shared.events.topics import TOPICS
from shared.messaging import applying, inbox, inbox_rows, outbox, read_back, relay, relay_rows
from shared.runtime import failpoints, jobs
from shared.storage import group_commit, idempotency
from tests.properties.simulation import groups, kafka, protocol_rows
from tests.properties.simulation.events import KINDS, PARTITIONS, Upgraded
from tests.properties.simulation.loop import current

Patch = tuple[object, str, Any]
_RELAY_ROWS = ("keep_leases", "last_acks", "first_unknown", "pending", "mark")
_INBOX_ROWS = (
    "offsets", "lock_offsets", "save_offsets", "lock_heads", "save_heads", "park", "due", "forget",
)  # fmt: skip
# Small pages, so that few events need several; longer idle waits, because nobody is impatient here.
_SMALL: tuple[Patch, ...] = (
    (relay_rows, "_BATCH", 3),
    (inbox, "_BATCH", 4),
    (inbox_rows, "_WAITING", 2),
    (relay, "_SHORTEST_POLL_S", 0.015),
    (relay, "_LONGEST_POLL_S", 1.5),
    (inbox, "_POLL_MS", 1000),
)


_METRICS = (
    (relay, "RelayMetrics"),
    (inbox, "InboxMetrics"),
    (group_commit, "CommandMetrics"),
    (jobs, "show_job"),
    (jobs, "forget_job"),
)


class _Silent:
    """A logger, or metrics: whatever is said to it, nothing follows."""

    def __getattr__(self, _: str) -> _Silent:
        return self

    def __call__(self, *_: Any, **__: Any) -> _Silent:
        return self


class _JobsLog(_Silent):
    """Hears what the supervisor says a job failed of: of a mistake in the code or in the model, the run fails too."""

    def error(self, *_: Any, exc_info: Exception | None = None, **__: Any) -> None:
        if isinstance(exc_info, _MISTAKES):
            current().broken = exc_info


_MISTAKES = (TypeError, ValueError, LookupError, AttributeError, NameError, AssertionError, NotImplementedError)


class _OrderedSets(dict[str, Any]):
    """The wakers of each database in the order of their coming: a set's order is that of addresses."""

    def setdefault(self, key: str, _default: Any = None) -> Any:
        return super().setdefault(key, _OrderedSet())


class _OrderedSet(dict[Any, None]):
    def add(self, each: Any) -> None:
        self[each] = None

    def discard(self, each: Any) -> None:
        self.pop(each, None)


@contextmanager
def model_in_place(mutation: Sequence[Patch] = ()) -> Iterator[None]:
    """Let the real relay, inbox and group commit stand on the model while the block runs."""
    patches: list[Patch] = [
        *((relay_rows, name, getattr(protocol_rows, name)) for name in _RELAY_ROWS),
        *((inbox_rows, name, getattr(protocol_rows, name)) for name in _INBOX_ROWS),
        *((idempotency, name, getattr(protocol_rows, name)) for name in ("claim", "complete", "give_back")),
        (relay, "release_leases", protocol_rows.release_leases),
        (relay, "cluster_id", kafka.cluster_id),
        (relay, "_end", kafka.end),
        (relay, "AIOKafkaProducer", kafka.ModelProducer),
        (read_back, "AIOKafkaConsumer", groups.ModelConsumer),
        (inbox, "AIOKafkaConsumer", groups.ModelConsumer),
        (outbox, "_wakers", _OrderedSets()),
        (relay, "new_id", lambda: str(current())),
        *((module, "_log", _Silent()) for module in (applying, inbox, read_back, relay)),
        (jobs, "_log", _JobsLog()),
        *((module, name, _Silent()) for module, name in _METRICS),
        *_SMALL,
        *mutation,
    ]
    with ExitStack() as stack:
        for target, name, value in patches:
            stack.enter_context(patch.object(target, name, value))
        stack.enter_context(events_known())
        yield


@contextmanager
def events_known() -> Iterator[None]:
    """Let the simulation's topics and event types exist while the block runs."""
    with patch.dict(TOPICS, PARTITIONS), patch.dict(EVENT_TYPES, {kind.type: kind for kind in KINDS}):
        yield


def release_upgraded(known: bool) -> None:  # noqa: FBT001 - it is or it is not
    """Let the running release know the newest type, or not."""
    if known:
        EVENT_TYPES[Upgraded.type] = Upgraded
    else:
        EVENT_TYPES.pop(Upgraded.type, None)


class Hits(Counter[str]):
    """How often each situation came up; told aloud when somebody listens."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell
        super().__init__()

    def __setitem__(self, key: str, value: int) -> None:
        if self._tell is not None and value:
            self._tell(f"* {key}")
        super().__setitem__(key, value)


@contextmanager
def traced(tell: Callable[[str], None]) -> Iterator[None]:
    """Tell each of the protocol's statements, and each failpoint, as the processes come to them."""
    with ExitStack() as stack:
        for module, names in ((relay_rows, _RELAY_ROWS), (inbox_rows, _INBOX_ROWS), (relay, ("release_leases",))):
            for name in names:
                stack.enter_context(patch.object(module, name, _told(getattr(module, name), name, tell)))
        failpoints.hook(lambda name: tell(f"at {name}"))
        stack.callback(failpoints.hook, None)
        yield


def _told(function: Callable[..., Any], name: str, tell: Callable[[str], None]) -> Callable[..., Any]:
    async def call(tx: Any, **given: Any) -> Any:
        tell(f"{name} …")
        try:
            found = await function(tx, **given)
        except Exception as error:
            tell(f"{name} ! {type(error).__name__}")
            raise
        tell(f"{name} → {found}"[:300])
        return found

    return call
