"""What Prometheus may ask of a process: every metric there is, named and labelled here and nowhere else."""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
REGISTRY = CollectorRegistry()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def _counter(name: str, what: str, *labels: str) -> Counter:
    return Counter(f"tributary_{name}", what, labels, registry=REGISTRY)


def _gauge(name: str, what: str, *labels: str) -> Gauge:
    return Gauge(f"tributary_{name}", what, labels, registry=REGISTRY)


class _Histogram:
    """A histogram that only the loop's thread writes: without locks it costs an eighth of the library's a request."""

    def __init__(self, name: str, what: str, labels: Sequence[str], *, bounds: Sequence[float]) -> None:
        self._name, self._what, self._labels = name, what, labels
        self._bounds = bounds
        # Counts by bucket, and the sum.
        self._series: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        REGISTRY.register(self)

    def observer(self, *labels: str) -> Callable[[float], None]:
        """Return what takes a value of these labels."""
        counts, total = self._series.setdefault(labels, ([0] * (len(self._bounds) + 1), [0.0]))
        bounds = self._bounds

        def observe(value: float) -> None:
            counts[bisect_left(bounds, value)] += 1
            total[0] += value

        return observe

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield what Prometheus asks for: cumulative counts."""
        family = HistogramMetricFamily(self._name, self._what, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, (counts, total) in self._series.items():
            buckets = [(name, sum(counts[: nth + 1])) for nth, name in enumerate(names)]
            family.add_metric(labels, buckets, total[0])
        yield family


def _seconds(name: str, what: str, *labels: str) -> _Histogram:
    return _Histogram(f"tributary_{name}_seconds", what, labels, bounds=_SECONDS)


def _sizes(name: str, what: str, *labels: str) -> _Histogram:
    return _Histogram(f"tributary_{name}", what, labels, bounds=_SIZES)


disable_created_metrics()  # type: ignore[no-untyped-call] # the library left this one without types
_BUILD = _gauge("build_info", "Which release runs on which Python.", "version", "python")
_REQUESTS = _seconds(
    "http_request_duration", "From a request to the first byte of its answer.", "service", "route", "method", "status"
)
_COMMANDS = _seconds("command_duration", "From a command to its durable answer, by group commit.", "service", "command")
_COMMAND_BATCHES = _sizes("command_batch_commands", "Commands a transaction, by group commit.", "service", "command")

_SENT = _counter("relay_sent_records", "Records given to Kafka; more than acked after an outage.", "service")
_ACKED = _counter("relay_acked_records", "Records that Kafka acknowledged.", "service")
_UNMARKED = _counter("relay_unmarked_records", "Acked, not marked: another owns the shard; they come twice.", "service")
_LEASES_LOST = _counter("relay_leases_lost", "Shards that went to another relay.", "service")
_READ_BACKS = _counter("relay_read_backs", "Last acks that were looked up in Kafka at a take-over.", "service")
_RELAY_BATCHES = _sizes("relay_batch_records", "Records that the relay sends at once.", "service")
_HELD_SHARDS = _gauge("relay_held_shards", "Shards that this process' relay owns.", "service")

_APPLIED = _counter("inbox_applied_events", "Events whose effects are durable.", "service")
_DUPLICATES = _counter("inbox_duplicate_events", "Copies that were skipped.", "service")
_PARKED = _counter("inbox_parked_events", "Events that were parked, each time they were.", "service", "reason")
_FAILURES = _counter("inbox_handler_failures", "Events that no attempt could handle.", "service")
_INBOX_BATCHES = _sizes("inbox_batch_records", "Records a transaction of the inbox.", "service")
_INBOX_TOOK = _seconds("inbox_batch_duration", "From fetched records to durable effects.", "service")
_EVENT_AGE = _seconds("inbox_event_age", "From an event to its durable effects, the oldest of a batch.", "service")
_LAG = _gauge("inbox_lag_records", "Records of a partition without effects yet.", "group", "topic", "partition")

_OLDEST_UNSENT = _gauge("outbox_oldest_unsent_seconds", "Age of the oldest event that Kafka has not.", "service")
_PENDING = _gauge("outbox_pending_records", "Events that Kafka has not; counted to 100,000.", "service")
_UNOWNED_SHARDS = _gauge("relay_unowned_shards", "Shards of the outbox that no relay owns.", "service")
_PARKED_KEYS = _gauge("inbox_parked_keys", "Aggregates with parked events; of the first 10,000.", "service", "reason")
_OLDEST_PARKED = _gauge("inbox_oldest_parked_seconds", "Age of the oldest parked event.", "service")
_LOOKED_AT = _gauge("backlog_timestamp_seconds", "When the figures from the database were taken.", "service")

_JOB_DOWN = _gauge("job_down", "1: down for good, an operator must look.", "service", "task")
_JOB_RESTARTING = _gauge("job_restarting", "1: failed, and is being tried again.", "service", "task")
_JOB_RESTARTS = _counter("job_restarts", "How often a job failed and was begun again.", "service", "task")

REASONS = ("gap", "fork", "unknown_type", "failed", "waits", "malformed")


def exposition() -> bytes:
    """Return every metric in Prometheus' text format."""
    return generate_latest(REGISTRY)


def request_observer(*, service: str, route: str, method: str, status: int) -> Callable[[float], None]:
    """Return what takes the seconds of each request to a route that was answered so."""
    return _REQUESTS.observer(service, route, method, str(status))


class CommandMetrics:
    """What group commit tells of one kind of command."""

    def __init__(self, *, service: str, command: str) -> None:
        """Bind the labels once."""
        self.took_s = _COMMANDS.observer(service, command)
        self.batch = _COMMAND_BATCHES.observer(service, command)


class RelayMetrics:
    """What a relay tells of itself."""

    def __init__(self, *, service: str) -> None:
        """Bind the labels once."""
        self.sent = _SENT.labels(service).inc
        self.acked = _ACKED.labels(service).inc
        self.unmarked = _UNMARKED.labels(service).inc
        self.leases_lost = _LEASES_LOST.labels(service).inc
        self.read_backs = _READ_BACKS.labels(service).inc
        self.batch = _RELAY_BATCHES.observer(service)
        self.holds_shards = _HELD_SHARDS.labels(service).set


class InboxMetrics:
    """What an inbox tells of itself."""

    def __init__(self, *, service: str, group: str) -> None:
        """Bind the labels once."""
        self._service = service
        self._group = group
        self._shown: set[tuple[str, int]] = set()
        self._applied = _APPLIED.labels(service).inc
        self._duplicates = _DUPLICATES.labels(service).inc
        self._failures = _FAILURES.labels(service).inc
        self.batch = _INBOX_BATCHES.observer(service)
        self.took_s = _INBOX_TOOK.observer(service)
        self.age_s = _EVENT_AGE.observer(service)
        for reason in REASONS:
            _PARKED.labels(service, reason)

    def count(self, *, applied: int, duplicates: int, failures: int) -> None:
        """Count what became of a batch."""
        self._applied(applied)
        self._duplicates(duplicates)
        self._failures(failures)

    def parked(self, reason: str) -> None:
        """Count an event that was parked."""
        _PARKED.labels(self._service, reason).inc()

    def show_lag(self, lag: Mapping[tuple[str, int], int]) -> None:
        """Show the lag of the partitions that this process has, and of no other."""
        for topic, partition in self._shown - lag.keys():
            _LAG.remove(self._group, topic, str(partition))
        for (topic, partition), records in lag.items():
            _LAG.labels(self._group, topic, str(partition)).set(records)
        self._shown = set(lag)


def show_outbox(service: str, *, pending: int, oldest_s: float, unowned_shards: int) -> None:
    """Show what a service's outbox holds that Kafka has not."""
    _PENDING.labels(service).set(pending)
    _OLDEST_UNSENT.labels(service).set(oldest_s)
    _UNOWNED_SHARDS.labels(service).set(unowned_shards)


def show_parked(service: str, *, keys: Mapping[str, int], oldest_s: float) -> None:
    """Show how many aggregates wait in a service's inbox, by reason."""
    for reason in {*REASONS, *keys}:
        _PARKED_KEYS.labels(service, reason).set(keys.get(reason, 0))
    _OLDEST_PARKED.labels(service).set(oldest_s)


def show_backlog_taken(service: str) -> None:
    """Show that a service's figures from the database are of now."""
    _LOOKED_AT.labels(service).set_to_current_time()


def show_job(service: str, job: str, *, down: bool = False, restarting: bool = False, restarted: bool = False) -> None:
    """Show how a job is."""
    _JOB_DOWN.labels(service, job).set(down)
    _JOB_RESTARTING.labels(service, job).set(restarting)
    _JOB_RESTARTS.labels(service, job).inc(restarted)


def forget_job(service: str, job: str) -> None:
    """Show a job no longer: it was told to stop."""
    for gauge in (_JOB_DOWN, _JOB_RESTARTING):
        gauge.remove(service, job)


def _release() -> str:
    try:
        return version("tributary")
    except PackageNotFoundError:
        return "unpackaged"


_BUILD.labels(_release(), platform.python_version()).set(1)
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
