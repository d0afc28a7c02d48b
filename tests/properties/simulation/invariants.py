"""What must hold: at each commit while it runs, and of everything once it has healed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from shared.messaging.inbox_rows import Aggregate
from tests.properties.simulation.events import Unhandled
from tests.properties.simulation.kafka import Broker
from tests.properties.simulation.postgres import Server

Changes = list[tuple[str, Any, Any, Any]]


class Violation(AssertionError):
    """The protocol broke a promise."""


def must(holds: object, what: str, *facts: object) -> None:
    """Raise a Violation with the facts unless it holds."""
    if not holds:
        raise Violation(f"{what}: {', '.join(map(repr, facts))}")


class Watch:
    """Looks at each commit of the publisher's and the consumer's database as it becomes visible."""

    def __init__(self, publisher: Server, consumer: Server, broker: Broker) -> None:
        self.broken: Violation | None = None
        self._publisher = publisher
        self._consumer = consumer
        self._broker = broker
        publisher.on_commit.append(self._look_at(self._published))
        consumer.on_commit.append(self._look_at(self._consumed))

    def _look_at(self, look: Any) -> Any:
        def looked(changes: Changes) -> None:
            # Raised here it would look like the database's error to whoever commits.
            try:
                look(changes)
            except Violation as violation:
                self.broken = self.broken or violation

        return looked

    def _published(self, changes: Changes) -> None:
        for table, key, old, new in changes:
            if table == "outbox_pending" and new is None:
                row = self._publisher.tables["outbox"][key[1]].value
                must(row["id"] in self._broker.ever, "marked what is not on the topic", row["id"])
            if table == "relay_ack" and old is not None:
                must(new[1] > old[1], "the last ack of a shard went back", key, old, new)

    def _consumed(self, changes: Changes) -> None:
        tables = self._consumer.tables
        for table, key, old, new in changes:
            if table == "inbox_head":
                before = old[0] if old else 0
                must(new[0] >= before, "a head went back", key, old, new)
            if table == "inbox_offset":
                must(new >= (old or 0), "an offset went back", key, old, new)
        effects: dict[Aggregate, list[int]] = defaultdict(list)
        for row in tables["effect"].values():
            if row.value is not None:
                effects[row.value[:2]].append(row.value[2])
        heads = {key: row.value[0] for key, row in tables["inbox_head"].items() if row.value is not None}
        for name, sequences in effects.items():
            must(sequences == sorted(set(sequences)), "effects twice or out of order", name, sequences)
            must(sequences[-1] <= heads.get(name, 0), "an effect beyond its head", name, sequences, heads.get(name))
        # On a topic that lost its tail, what comes next stands where consumers have been: the relay stops of it.
        if not self._broker.forgetful:
            self._no_offset_ahead(heads)

    def _no_offset_ahead(self, heads: dict[Aggregate, int]) -> None:
        parked = {key[3] for key, row in self._consumer.tables["inbox_parked"].items() if row.value is not None}
        for partition, log in self._broker.logs.items():
            row = self._consumer.tables["inbox_offset"].get(tuple(partition))
            for record in log[: row.value if row is not None and row.value else 0]:
                name = (record.topic, record.key.decode())
                sequence = int(dict(record.headers)["ce_sequence"])
                done = sequence <= heads.get(name, 0) or record.event_id in parked
                must(done, "an offset beyond an event that was neither applied nor parked", record.event_id)


def committed_events(publisher: Server) -> dict[Aggregate, list[dict[str, Any]]]:
    """Return the rows of the outbox by aggregate, in sequence."""
    rows: dict[Aggregate, list[dict[str, Any]]] = defaultdict(list)
    for row in publisher.committed("outbox").values():
        rows[row["topic"], row["subject"]].append(row)
    return {name: sorted(each, key=lambda row: row["sequence"]) for name, each in rows.items()}


def expected(publisher: Server) -> tuple[dict[Aggregate, list[str]], dict[str, str]]:
    """Return the ids that must be applied, by aggregate, and the ids that must be parked with the reason."""
    applied: dict[Aggregate, list[str]] = {}
    parked: dict[str, str] = {}
    for name, rows in committed_events(publisher).items():
        applied[name], reason = [], ""
        for row in rows:
            poison = '"poison":true' in row["body"] and row["type"] != Unhandled.type
            if reason or poison:
                reason = "gap" if reason else "failed"
                parked[row["id"]] = reason
            else:
                applied[name].append(row["id"])
    return applied, parked


def check_healed(publisher: Server, consumer: Server, broker: Broker) -> None:
    """Compare what was committed with the topic, the effects, the heads, the offsets and what is parked."""
    rows = committed_events(publisher)
    must(not publisher.committed("outbox_pending"), "never sent", list(publisher.committed("outbox_pending")))
    for each in rows.values():
        ids = [row["id"] for row in each]
        must([row["sequence"] for row in each] == list(range(1, len(each) + 1)), "a hole in a sequence", ids)
        positions = [row["position"] for row in each]
        must(positions == sorted(positions), "positions against the sequence", ids)
    _check_topic(rows, broker)
    applied, parked = expected(publisher)
    unhandled = {row["id"] for each in rows.values() for row in each if row["type"] == Unhandled.type}
    effects: dict[Aggregate, list[str]] = defaultdict(list)
    for topic, subject, _, event_id in consumer.committed("effect").values():
        effects[topic, subject].append(event_id)
    heads = consumer.committed("inbox_head")
    for name in sorted(set(rows) | set(effects)):
        wanted = [event_id for event_id in applied.get(name, []) if event_id not in unhandled]
        must(effects[name] == wanted, "effects are not what was committed", name, effects[name], wanted)
        must(heads.get(name, (0,))[0] == len(applied.get(name, [])), "head", name, heads.get(name))
    found = {key[3]: row["reason"] for key, row in consumer.committed("inbox_parked").items()}
    must(found == parked, "parked is not what has to be", found, parked)
    offsets = consumer.committed("inbox_offset")
    for partition, log in broker.logs.items():
        # What a zombie sent once all was well, and the inboxes were about to stop, are copies.
        for record in log[offsets.get(tuple(partition), 0) :]:
            sequence = int(dict(record.headers)["ce_sequence"])
            head = heads.get((record.topic, record.key.decode()), (0,))[0]
            known = sequence <= head or record.event_id in parked
            must(known, "not consumed to the end", partition, record.event_id, offsets)


def _check_topic(rows: dict[Aggregate, list[dict[str, Any]]], broker: Broker) -> None:
    first: dict[Aggregate, list[str]] = defaultdict(list)
    for log in broker.logs.values():
        for record in log:
            seen = first[record.topic, record.key.decode()]
            if record.event_id not in seen:
                seen.append(record.event_id)
    for name, each in rows.items():
        ids = [row["id"] for row in each]
        # After a lost tail a session may go on with a hole; the lost ones come once more, and the inbox orders them.
        there = sorted(first[name], key=ids.index) if broker.forgetful and set(first[name]) <= set(ids) else first[name]
        must(there == ids, "the topic is not in order, or not complete", name, first[name], ids)
    must(set(first) <= set(rows), "an event that nobody committed", sorted(set(first) - set(rows)))


def healed(publisher: Server, consumer: Server, broker: Broker) -> bool:
    """Return whether everything that was committed has come to where it must."""
    if publisher.committed("outbox_pending"):
        return False
    offsets = consumer.committed("inbox_offset")
    if any(offsets.get(tuple(partition), 0) != len(log) for partition, log in broker.logs.items()):
        return False
    applied, parked = expected(publisher)
    heads = {key: row.value for key, row in consumer.tables["inbox_head"].items()}
    there = consumer.committed("inbox_parked")
    return len(there) == len(parked) and all((heads.get(name) or (0,))[0] >= len(ids) for name, ids in applied.items())
