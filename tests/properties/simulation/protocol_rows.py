"""The protocol's statements on the model: each means what its SQL in shared/ means, lock by lock.

`differential.py` runs both on the same sequences of calls and compares what they return and leave behind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiokafka import TopicPartition

from shared.events.envelope import Event
from shared.events.topics import shard_of
from shared.messaging import inbox_rows, outbox, relay_rows
from shared.messaging.inbox_rows import Aggregate, Arrival, Head, Parked
from shared.storage.idempotency import Answer, Claims, IdempotencyConflict, Key

TABLES = (
    "outbox_head", "outbox", "outbox_pending", "lease", "relay_ack", "inbox_head", "inbox_offset", "inbox_parked",
    "inbox_stats", "advisory", "effect", "idempotency",
)  # fmt: skip
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def append(tx: Any, events: Sequence[Event], *, source: str) -> list[str]:
    if not events:
        return []
    pg = tx.pg
    await pg.statement()
    many = Counter((event.topic, event.subject) for event in events)
    following = {}
    for name in sorted(many):
        sequence = await pg.lock("outbox_head", name) or 0
        pg.write("outbox_head", name, sequence + many[name])
        following[name] = sequence
    ids = []
    for event in events:
        name = (event.topic, event.subject)
        following[name] += 1
        ids.append(insert_event(tx, event, sequence=following[name], source=source))
    outbox.wake_after_commit(tx)
    return ids


def insert_event(tx: Any, event: Event, *, sequence: int, source: str, position: int | None = None) -> str:
    pg, name = tx.pg, (event.topic, event.subject)
    position = pg.server.draw("position") if position is None else position
    shard = shard_of(topic=event.topic, subject=event.subject)
    row = {
        "shard": shard, "position": position, "id": f"{name[1]}/{sequence}#{pg.server.new_id()}", "type": event.type,
        "source": source, "topic": name[0], "subject": name[1], "sequence": sequence, "time": LONG_AGO,
        "traceparent": None, "body": event.model_dump_json(),
    }  # fmt: skip
    pg.put_new("outbox", position, row)
    pg.put_new("outbox_pending", (shard, position), True)  # noqa: FBT003 - the pending row has no columns but its key
    return str(row["id"])


# The relay's rows.


async def keep_leases(tx: Any, *, group: str, owner: str, names: Sequence[str], seconds: float) -> dict[str, int]:
    pg, clock = tx.pg, tx.pg.server.loop.time
    await pg.statement()
    await pg.lock("advisory", group)
    await pg.statement()
    seen, now = dict(pg.see("lease")), clock()
    member = f"{group}/member/"
    others = [name for name, row in seen.items() if name.startswith(member) and row[0] != owner and row[2] > now]
    share = -(-len(names) // (1 + len(others)))
    free = [name for name in names if name not in seen or seen[name][0] == owner or seen[name][2] < now]
    free.sort(key=lambda name: (not _is_kept(seen.get(name), owner, now), name))
    await pg.lock("lease", member + owner)
    pg.write("lease", member + owner, (owner, 1, clock() + seconds))
    held = {}
    for name in sorted(free[:share]):
        until = clock() + seconds
        there = await pg.lock("lease", name)
        if there is None:
            pg.write("lease", name, (owner, 1, until))
        elif there[0] == owner:
            pg.write("lease", name, (owner, there[1], until))
        elif there[2] < clock():
            pg.server.hits[
                "lease taken over" if there[3:] else "lease taken over from one that did not release it"
            ] += 1
            pg.write("lease", name, (owner, there[1] + 1, until))
        else:
            continue
        held[name] = pg.seen("lease", name)[1]
    await _expire(
        pg, [name for name, row in pg.see("lease") if row[0] == owner and name in names and name not in held], owner
    )
    return held


def _is_kept(lease: tuple[str, int, float] | None, owner: str, now: float) -> bool:
    return lease is not None and lease[0] == owner and lease[2] >= now


async def _expire(pg: Any, names: Sequence[str], owner: str) -> None:
    for name, there in (await pg.lock_seen("lease", names)).items():
        if there[0] == owner:
            pg.write("lease", name, (owner, there[1], pg.server.loop.time(), "released"))


async def release_leases(tx: Any, *, group: str, owner: str) -> None:
    pg = tx.pg
    await pg.statement()
    for name in await pg.lock_seen("lease", [f"{group}/member/{owner}"]):
        pg.write("lease", name, None)
    await pg.statement()
    await _expire(pg, [name for name, row in pg.see("lease") if row[0] == owner], owner)


async def last_acks(tx: Any, *, shards: Sequence[str]) -> list[Any]:
    await tx.pg.statement()
    return [
        {"shard": shard, "cluster_id": cluster, "record_offset": offset, "event_id": event_id}
        for shard, (cluster, offset, event_id) in tx.pg.see("relay_ack")
        if shard in shards
    ]


async def first_unknown(tx: Any, *, records: Sequence[relay_rows.OnTopic]) -> int | None:
    await tx.pg.statement()
    rows = {(row["topic"], row["subject"], row["sequence"]): row["id"] for _, row in tx.pg.see("outbox")}
    for nth, each in enumerate(records):
        known = rows.get((each.topic, each.subject, each.sequence))
        archived = known is None and each.sequence <= (tx.pg.seen("outbox_head", (each.topic, each.subject)) or 0)
        if known != each.id and not archived:
            return nth
    return None


async def pending(tx: Any, *, floors: Mapping[str, int]) -> list[Any]:
    await tx.pg.statement()
    waiting = sorted(key for key, _ in tx.pg.see("outbox_pending"))
    rows = []
    for name, floor in floors.items():
        beyond = [position for shard, position in waiting if shard == name and position > floor]
        rows += [tx.pg.seen("outbox", position) for position in beyond[: relay_rows._BATCH]]
    return sorted(rows, key=lambda row: row["position"])


async def mark(
    tx: Any,
    *,
    owner: str,
    epochs: Mapping[str, int],
    rows: Sequence[Any],
    cluster: str,
    last: Mapping[str, tuple[int, str]],
) -> int:
    pg = tx.pg
    pg.waited_for = False
    await pg.statement()
    mine = {name for name, epoch in epochs.items() if (pg.seen("lease", name) or (None,))[:2] == (owner, epoch)}
    waiting = {key for key, _ in pg.see("outbox_pending")}
    for name in sorted(mine):
        there = await pg.lock("lease", name, exclusive=False)
        if there is None or there[:2] != (owner, epochs[name]):
            mine.discard(name)
    if any(shard not in mine for shard in last):
        pg.server.hits["mark of a zombie refused"] += 1
    return await mark_shards(tx, mine=mine, waiting=waiting, rows=rows, cluster=cluster, last=last)


async def mark_shards(
    tx: Any, *, mine: Collection[str], waiting: Collection[Any], rows: Sequence[Any], cluster: str,
    last: Mapping[str, tuple[int, str]],
) -> int:  # fmt: skip
    pg, marked = tx.pg, 0
    for key in [(row["shard"], row["position"]) for row in rows if row["shard"] in mine]:
        if key in waiting and await pg.lock("outbox_pending", key) is not None:
            pg.write("outbox_pending", key, None)
            marked += 1
    for shard, (offset, event_id) in last.items():
        if shard in mine:
            await pg.lock("relay_ack", shard)
            pg.write("relay_ack", shard, (cluster, offset, event_id))
    return marked


# The inbox' rows.


async def offsets(tx: Any) -> dict[TopicPartition, int]:
    await tx.pg.statement()
    return {TopicPartition(*name): at for name, at in tx.pg.see("inbox_offset")}


async def lock_offsets(tx: Any, *, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    names = sorted(tuple(each) for each in partitions)
    tx.pg.fetched_of = len(names)
    found = await _made_and_locked(tx, "inbox_offset", names, 0)
    return {TopicPartition(*name): at for name, at in found.items()}


async def save_offsets(tx: Any, *, following: Mapping[TopicPartition, int], applied: int, duplicates: int) -> bool:
    await tx.pg.statement()
    is_any_parked = any(True for _ in tx.pg.see("inbox_parked"))
    new = {tuple(partition): offset for partition, offset in sorted(following.items())}
    if len(new) < tx.pg.fetched_of:
        tx.pg.server.hits["fetched what another member has applied"] += 1
    for name in await tx.pg.lock_seen("inbox_offset", new):
        tx.pg.write("inbox_offset", name, new[name])
    for name in list(new)[:1]:
        before = await tx.pg.lock("inbox_stats", name) or (0, 0)
        tx.pg.write("inbox_stats", name, (before[0] + applied, before[1] + duplicates))
    return is_any_parked


async def lock_heads(tx: Any, *, aggregates: Iterable[Aggregate]) -> dict[Aggregate, Head]:
    found = await _made_and_locked(tx, "inbox_head", sorted(set(aggregates)), (0, None))
    return {name: Head(*head) for name, head in found.items()}


async def _made_and_locked(tx: Any, table: str, names: Sequence[Any], new: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    while len(found) < len(names):
        await tx.pg.statement()
        seen = [name for name in names if tx.pg.seen(table, name) is not None]
        found = {name: new for name in names if await tx.pg.insert(table, name, new) is None}
        found |= await tx.pg.lock_seen(table, seen)
    return found


async def save_heads(tx: Any, *, heads: Mapping[Aggregate, Head]) -> None:
    await tx.pg.statement()
    for name in await tx.pg.lock_seen("inbox_head", [name for name, head in heads.items() if head.moved]):
        tx.pg.write("inbox_head", name, (heads[name].sequence, heads[name].event_id))


async def park(tx: Any, *, parked: Sequence[Parked]) -> None:
    if not parked:
        return
    names = (
        "topic", "subject", "sequence", "event_id", "type", "headers", "body", "reason",
        "waits_topic", "waits_subject", "waits_sequence", "error",
    )  # fmt: skip
    for each in parked:
        await tx.pg.statement()
        tx.pg.server.hits[f"parked: {each.reason}"] += 1
        row = dict(zip(names, inbox_rows._row(each), strict=True))
        row["headers"] = json.loads(row["headers"])
        key = (row["topic"], row["subject"], row["sequence"], row["event_id"])
        drawn = tx.pg.server.draw("parked_id")
        there = await tx.pg.lock("inbox_parked", key)
        if there is None:
            row |= {"parked_id": drawn, "attempts": 1, "replay": False}
        else:
            changed = ("reason", "waits_topic", "waits_subject", "waits_sequence", "error")
            row = there | {name: row[name] for name in changed}
            row |= {"attempts": there["attempts"] + 1, "replay": False}
        tx.pg.write("inbox_parked", key, row)


async def due(tx: Any, *, known_types: Collection[str], after: tuple[str, str, int]) -> list[Arrival]:
    await tx.pg.statement()
    heads = dict(tx.pg.see("inbox_head"))
    rows = sorted(
        (key, row)
        for key, row in tx.pg.see("inbox_parked")
        if key[:3] > after and key[:2] in heads and _is_due(row, heads, known_types)
    )
    return [inbox_rows._unpark(row) for _, row in rows[: inbox_rows._WAITING]]


def _is_due(row: dict[str, Any], heads: Mapping[Aggregate, tuple[int, str]], known_types: Collection[str]) -> bool:
    head = heads[row["topic"], row["subject"]][0]
    if row["reason"] in {"fork", "malformed"} and not row["replay"]:
        return False
    if row["sequence"] != head + 1 or row["replay"]:
        return bool(row["sequence"] <= head + row["replay"])
    if row["reason"] == "waits":
        return bool(heads.get((row["waits_topic"], row["waits_subject"]), (0,))[0] > row["waits_sequence"])
    return row["reason"] == "gap" or (row["reason"] == "unknown_type" and row["type"] in known_types)


async def forget(tx: Any, *, parked_ids: Sequence[int]) -> None:
    await tx.pg.statement()
    found = {row["parked_id"]: key for key, row in tx.pg.see("inbox_parked")}
    gone = await tx.pg.lock_seen("inbox_parked", [found[each] for each in sorted(parked_ids) if each in found])
    for key in gone:
        tx.pg.write("inbox_parked", key, None)
    if len(gone) < len(parked_ids):
        tx.pg.server.hits["drained by another"] += 1


# Idempotency keys.


async def claim(tx: Any, *, keys: Sequence[Key]) -> Claims:
    await tx.pg.statement()
    mine = set()
    for key in sorted(keys, key=lambda each: each.name):
        if await tx.pg.insert("idempotency", key.name, (key.body_hash, None, None)) is None:
            mine.add(key.name)
    if len(mine) == len(keys):
        return Claims(frozenset(mine), {})
    await tx.pg.statement()
    known: dict[tuple[str, str, str], Answer | IdempotencyConflict] = {}
    for key in keys:
        row = tx.pg.seen("idempotency", key.name)
        if key.name not in mine and row is not None:
            same = row[0] == key.body_hash
            known[key.name] = Answer(row[1], row[2]) if same else IdempotencyConflict(key=key.key)
    return Claims(frozenset(mine), known)


async def complete(tx: Any, *, answers: Sequence[tuple[Key, Answer]]) -> None:
    await tx.pg.statement()
    new = {key.name: answer for key, answer in answers}
    for name, there in (await tx.pg.lock_seen("idempotency", new)).items():
        tx.pg.write("idempotency", name, (there[0], new[name].status, new[name].body))


async def give_back(tx: Any, *, keys: Sequence[Key]) -> None:
    if keys:
        await tx.pg.statement()
        for name in await tx.pg.lock_seen("idempotency", [key.name for key in keys]):
            tx.pg.write("idempotency", name, None)
