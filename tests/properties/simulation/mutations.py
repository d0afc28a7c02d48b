"""Planted mistakes: what the protocol would be without one of its rules. The simulation must find each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from shared.messaging import applying, inbox_rows, relay, relay_rows
from shared.messaging.applying import NotYet
from shared.messaging.inbox import Inbox
from shared.messaging.inbox_rows import Awaited, Head, Parked
from shared.messaging.read_back import ReadBack, partition_of_shard
from shared.messaging.relay import Relay
from shared.storage import idempotency
from shared.storage.idempotency import Claims, Key
from tests.properties.simulation import protocol_rows
from tests.properties.simulation.patches import Patch


async def _offsets_first(self: Any, records: Mapping[TopicPartition, Sequence[Any]]) -> bool:
    following = {partition: batch[-1].offset + 1 for partition, batch in records.items()}
    async with self._database.transaction() as tx:
        current_offsets = await inbox_rows.lock_offsets(tx, partitions=records)
        mine = {name: batch for name, batch in records.items() if batch[0].offset == current_offsets[name]}
        await inbox_rows.save_offsets(tx, following={n: following[n] for n in mine}, applied=0, duplicates=0)
    async with self._database.transaction() as tx:
        outcome = await self._apply(tx, [record for batch in mine.values() for record in batch])
    await self.seek([name for name in records if name not in mine and name in self._consumer.assignment()])
    return bool(outcome.advanced)


async def _whatever_was_fetched(self: Any, records: Mapping[TopicPartition, Sequence[Any]]) -> bool:
    async with self._database.transaction() as tx:
        await inbox_rows.lock_offsets(tx, partitions=records)
        outcome = await self._apply(tx, [record for batch in records.values() for record in batch])
        following = {partition: batch[-1].offset + 1 for partition, batch in records.items()}
        await inbox_rows.save_offsets(tx, following=following, applied=outcome.applied, duplicates=0)
    return bool(outcome.advanced)


def _without_heads(wave: Sequence[Any], _heads: Any, _outcome: Any) -> list[Any]:
    return list(wave)


async def _handler_without_savepoint(tx: Any, handler: Any, group: Sequence[Any]) -> None:
    await handler(tx, [arrival.received for arrival in group])


async def _beyond_the_cursor(tx: Any, *, floors: Mapping[str, int]) -> list[Any]:
    await tx.pg.statement()
    rows = [row for _, row in sorted(tx.pg.see("outbox"))]
    return [
        row
        for name in floors
        for row in [each for each in rows if each["shard"] == name and each["position"] > _cursor(tx, name)][
            : relay_rows._BATCH
        ]
    ]


def _cursor(tx: Any, shard: str) -> int:
    return tx.pg.seen("advisory", f"cursor/{shard}") or 0


async def _mark_by_cursor(tx: Any, *, rows: Sequence[Any], **given: Any) -> int:
    marked = await protocol_rows.mark(tx, rows=rows, **given)
    for row in rows:
        await tx.pg.lock("advisory", f"cursor/{row['shard']}")
        tx.pg.write("advisory", f"cursor/{row['shard']}", max(row["position"], _cursor(tx, row["shard"])))
    return marked


async def _position_before_the_lock(tx: Any, events: Sequence[Any], *, source: str) -> list[str]:
    await tx.pg.statement()
    drawn = [tx.pg.server.draw("position") for _ in events]
    await tx.pg.statement()
    ids = []
    for position, event in sorted(zip(drawn, events, strict=True), key=lambda each: each[1].subject):
        name = (event.topic, event.subject)
        sequence = (await tx.pg.lock("outbox_head", name) or 0) + 1
        tx.pg.write("outbox_head", name, sequence)
        ids.append(protocol_rows.insert_event(tx, event, sequence=sequence, source=source, position=position))
    return ids


_send = Relay._send


async def _send_until_acked(self: Any, producer: Any, shard: str, batch: Any) -> Any:
    first = await _send(self, producer, shard, batch)

    async def acked() -> Any:
        try:
            return await first
        except KafkaError:
            another = self._producer()
            await another.start()
            return await (await _send(self, another, shard, batch))

    return asyncio.ensure_future(acked())


async def _send_side_by_side(self: Any, producer: Any, shard: str, batch: Any) -> Any:
    async def acked() -> Any:
        return await (await _send(self, producer, shard, batch))

    return asyncio.ensure_future(acked())


async def _mark_whoever_owns(
    tx: Any, *, owner: str, epochs: Any, rows: Sequence[Any], cluster: str, last: Mapping[str, Any]
) -> int:
    tx.pg.waited_for = False
    await tx.pg.statement()
    waiting = {key for key, _ in tx.pg.see("outbox_pending")}
    del owner, epochs
    return await protocol_rows.mark_shards(tx, mine=set(last), waiting=waiting, rows=rows, cluster=cluster, last=last)


async def _mark_before_the_acks(self: Any, producer: Any, shard: str, batch: Any) -> Any:
    """Take the send for the ack."""
    future = await _send(self, producer, shard, batch)
    future.add_done_callback(lambda done: done.exception())
    taken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    offset = len(self._kafka.logs[partition_of_shard(shard)])
    taken.set_result(type("Acked", (), {"offset": max(offset, self._shards[shard].acked + 1)}))
    return taken


async def _park_without_the_lock(
    tx: Any, handler: Any, arrival: Any, error: Exception, *, heads: Any, outcome: Any
) -> None:
    if not isinstance(error, NotYet):
        await _handle_failing(tx, handler, arrival, error, heads=heads, outcome=outcome)
        return
    awaited = (error.topic, error.subject)
    await tx.pg.statement()
    stands = (tx.pg.seen("inbox_head", awaited) or (0,))[0]
    outcome.parked.append(Parked(arrival, "waits", str(error), Awaited(awaited, stands)))


_handle_failing = applying._handle_failing
_moved: defaultdict[Any, set[Any]] = defaultdict(set)
_drained: defaultdict[Any, set[Any]] = defaultdict(set)


async def _remember_what_moved(tx: Any, *, heads: Mapping[Any, Any]) -> None:
    await protocol_rows.save_heads(tx, heads=heads)
    _moved[tx.url, tx.pg.server] |= {name for name, head in heads.items() if head.moved}


async def _due_where_we_moved(tx: Any, *, known_types: Collection[str], after: tuple[str, str, int]) -> list[Any]:
    """Try what waits for a head when this process has just moved that, and never again."""
    found = await protocol_rows.due(tx, known_types=known_types, after=after)
    if not after[0]:
        _drained[tx.url, tx.pg.server] = _moved.pop((tx.url, tx.pg.server), set())
    waits = {
        (row["topic"], row["subject"], row["sequence"])
        for _, row in tx.pg.see("inbox_parked")
        if row["reason"] == "waits" and (row["waits_topic"], row["waits_subject"]) not in _drained[tx.url, tx.pg.server]
    }
    return [each for each in found if (*each.aggregate, each.received.sequence) not in waits]


async def _every_key_is_new(tx: Any, *, keys: Sequence[Key]) -> Claims:
    claims = await protocol_rows.claim(tx, keys=keys)
    return Claims(frozenset(key.name for key in keys), claims.known)


async def _keep_the_key(tx: Any, *, keys: Sequence[Key]) -> None:
    """Let a refusal keep its key."""
    del tx, keys


async def _read_heads(tx: Any, *, aggregates: Any) -> dict[Any, Head]:
    names = sorted(set(aggregates))
    await tx.pg.statement()
    for name in names:
        await tx.pg.insert("inbox_head", name, (0, None))
    await tx.pg.statement()
    return {name: Head(*tx.pg.seen("inbox_head", name)) for name in names}


async def _nothing_read_back(database: Any, *, kafka: Any, cluster: str, shards: Sequence[str]) -> ReadBack:
    del database, kafka, cluster
    return ReadBack(whole=dict.fromkeys(shards, -1))


async def _every_record_known(tx: Any, *, records: Any) -> None:
    del records
    await tx.pg.statement()


MUTATIONS: dict[str, tuple[Patch, ...]] = {
    "offsets saved outside the transaction": ((Inbox, "_take", _offsets_first),),
    "a stale fetch is applied": ((Inbox, "_take", _whatever_was_fetched),),
    "inbox without the heads' check": ((applying, "_next_of", _without_heads),),
    "handler without a savepoint": ((applying, "_call", _handler_without_savepoint),),
    "cursor on position instead of pending rows": (
        (relay_rows, "pending", _beyond_the_cursor),
        (relay_rows, "mark", _mark_by_cursor),
    ),
    "position drawn before the aggregate's lock": ((protocol_rows, "append", _position_before_the_lock),),
    "retry around a failed send": ((Relay, "_send", _send_until_acked),),
    "concurrent senders": ((Relay, "_send", _send_side_by_side),),
    "mark without waiting for the ack": ((Relay, "_send", _mark_before_the_acks),),
    "mark without the epoch": ((relay_rows, "mark", _mark_whoever_owns),),
    "parking without the awaited head's lock": ((applying, "_handle_failing", _park_without_the_lock),),
    "heads read without their lock": ((inbox_rows, "lock_heads", _read_heads),),
    "nothing read back at a take-over": ((relay, "read_back", _nothing_read_back),),
    "an ack out of place ignored": ((Relay, "_notice_acks", lambda *_: None), (relay, "read_back", _nothing_read_back)),
    "records that the outbox does not know ignored": ((relay_rows, "first_unknown", _every_record_known),),
    "a command without its key": ((idempotency, "claim", _every_key_is_new),),
    "a refusal keeps its key": ((idempotency, "give_back", _keep_the_key),),
    "waits without sequence": (
        (inbox_rows, "save_heads", _remember_what_moved),
        (inbox_rows, "due", _due_where_we_moved),
    ),
}
