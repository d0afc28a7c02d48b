"""A model of what the protocol uses of Kafka's consumers: groups that rebalance, positions, stale fetches.

A member learns of a rebalance at its next heartbeat, and until then goes on with what it has; a silent one is expelled
after the session timeout. Just after an assignment a partition has no position: the fetcher takes Kafka's own copy of
the offset, or complains that there is none, unless a seek comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from tests.properties.simulation.kafka import Broker, Record
from tests.properties.simulation.loop import Killed, Process, current, one_step

_HEARTBEAT_S = 1.0


class Group:
    """A consumer group at its coordinator."""

    def __init__(self, broker: Broker) -> None:
        self.generation = 0
        self.committed: dict[TopicPartition, int] = {}
        self.members: list[ModelConsumer] = []
        self._broker = broker
        self._joined: list[ModelConsumer] = []

    def add(self, member: ModelConsumer) -> None:
        self.members.append(member)
        self.rebalance()

    def remove(self, member: ModelConsumer) -> None:
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def rebalance(self) -> None:
        """Begin a new generation: each member hears of it at its next heartbeat."""
        self.generation += 1
        for member in self._joined:
            member.assigned_by(None)
        self._joined.clear()
        self._broker.hits["rebalance"] += 1
        if any(member.busy for member in self.members):
            self._broker.hits["rebalance during a batch"] += 1
        self._tell(self.members)
        session_timeout_s = max((member.session_timeout_s for member in self.members), default=0.0)
        self._broker.loop.in_world(session_timeout_s, self._expel, self.generation)

    def _expel(self, generation: int) -> None:
        """Go on without the members that did not come back in time."""
        if generation == self.generation and len(self._joined) < len(self.members):
            silent = [member for member in self.members if member not in self._joined]
            self.members = list(self._joined)
            self._tell(silent)
            self._complete()

    def _tell(self, members: Sequence[ModelConsumer]) -> None:
        loop, random = self._broker.loop, self._broker.random
        for member in members:
            loop.call_later(random.random() * _HEARTBEAT_S, member.heartbeat, context=member.process.context)

    def silent(self, member: ModelConsumer) -> None:
        """Expel a member whose process does not run."""
        if member in self.members and (member.process.stopped or not member.process.alive):
            self._broker.hits["member expelled"] += 1
            self.remove(member)
            self._tell([member])

    def join(self, member: ModelConsumer, generation: int) -> None:
        if generation != self.generation or member not in self.members:
            member.assigned_by(None)
            return
        self._joined.append(member)
        if len(self._joined) == len(self.members):
            self._complete()

    def _complete(self) -> None:
        joined = list(self._joined)
        if not joined:
            return
        self._broker.random.shuffle(joined)
        shares: list[list[TopicPartition]] = [[] for _ in joined]
        for nth, partition in enumerate(self._broker.logs):
            shares[nth % len(joined)].append(partition)
        for member, share in zip(joined, shares, strict=True):
            member.assigned_by(share)


class ModelConsumer:
    """What relay and inbox take for AIOKafkaConsumer."""

    def __init__(
        self,
        *,
        broker: Broker,
        group_id: str | None = None,
        auto_offset_reset: str,
        enable_auto_commit: bool = False,
        session_timeout_ms: int = 10_000,
        **_: Any,
    ) -> None:
        if auto_offset_reset != "none" or enable_auto_commit:
            raise AssertionError("the model knows no other way")
        self.process: Process = current()
        self.session_timeout_s = session_timeout_ms / 1000
        self.busy = False
        self._broker = broker
        self._loop = broker.loop
        self._group_id = group_id
        self._listener: Any = None
        self._positions: dict[TopicPartition, int | None] = {}
        self._joined = -1
        self._reassigning = False
        self._share: asyncio.Future[list[TopicPartition] | None] | None = None
        self._beat: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._coordination: asyncio.Task[None] | None = None

    @property
    def _group(self) -> Group:
        found: Group = self._broker.groups.setdefault(self._group_id or "", Group(self._broker))
        return found

    def subscribe(self, _topics: Sequence[str], *, listener: Any) -> None:
        self._listener = listener

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions)

    def assignment(self) -> list[TopicPartition]:
        return list(self._positions)

    async def start(self) -> None:
        await one_step()
        self._broker.check_up()
        self._broker.on_append.append(self._wake)
        if self._group_id is not None:
            self._reassigning = True
            self._group.add(self)
            self._coordination = self._loop.create_task(self._coordinate())

    async def stop(self) -> None:
        if self._loop.ended or not self.process.alive:
            raise Killed
        with contextlib.suppress(ValueError):
            self._broker.on_append.remove(self._wake)
        if self._coordination is not None:
            self._coordination.cancel()
        await one_step()
        if self._group_id is not None:
            self._group.remove(self)

    # The coordination task: one rebalance after the other, callbacks within it.

    def heartbeat(self) -> None:
        if self._beat is not None and not self._beat.done():
            self._beat.set_result(None)

    def assigned_by(self, share: list[TopicPartition] | None) -> None:
        if self._share is not None and not self._share.done():
            self._share.set_result(share)

    async def _coordinate(self) -> None:
        group = self._group
        while True:
            if self not in group.members:
                group.add(self)
            if self._joined == group.generation:
                self._beat = self._loop.create_future()
                await self._beat
                continue
            self._reassigning = True
            await self._listener.on_partitions_revoked(list(self._positions))
            await one_step()
            self._joined = group.generation
            self._share = self._loop.create_future()
            group.join(self, self._joined)
            share = await self._share
            if share is None:
                self._joined = -1
                continue
            self._positions = dict.fromkeys(share)
            self._reassigning = False
            self._wake()
            await self._tell(share)

    async def _tell(self, share: list[TopicPartition]) -> None:
        try:
            await self._listener.on_partitions_assigned(share)
        except Exception:  # noqa: BLE001 - aiokafka logs what a listener raises, and goes on
            self._broker.hits["assignment callback failed"] += 1

    # Fetching.

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _wait(self, until: float | None) -> None:
        self._news = news = self._loop.create_future()
        timer = None if until is None else self._loop.call_at(until, self._wake)
        try:
            await news
        finally:
            if timer is not None:
                timer.cancel()

    def highwater(self, partition: TopicPartition) -> int | None:
        return len(self._broker.logs[partition]) if partition in self._positions else None

    async def getmany(
        self, *only: TopicPartition, timeout_ms: int, max_records: int
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        self.busy = False
        until = self._loop.time() + timeout_ms / 1000
        await one_step()
        while True:
            if not self._reassigning and (found := self._fetched(only or self.assignment(), max_records)):
                self.busy = True
                return found
            if not self._reassigning and self._loop.time() >= until:
                return {}
            lost = None in self._positions.values()
            await self._wait(None if self._reassigning else self._loop.time() + 0.01 if lost else until)

    def _fetched(self, among: Sequence[TopicPartition], most: int) -> dict[TopicPartition, list[Record]]:
        random, found = self._broker.random, {}
        if not self._broker.up:
            return {}
        partitions = list(among)
        random.shuffle(partitions)
        for partition in partitions:
            at = self._positions[partition]
            if at is None:
                self._take_kafkas_copy(partition)
                continue
            log = self._broker.logs[partition]
            if at > len(log):
                self._positions[partition] = None
                raise OffsetOutOfRangeError({partition: at})
            if at < len(log) and most:
                many = random.randint(1, min(most, len(log) - at))
                found[partition] = log[at : at + many]
                self._positions[partition] = at + many
                most -= many
        return found

    def _take_kafkas_copy(self, partition: TopicPartition) -> None:
        if self._broker.random.random() < 0.7:
            return
        committed = self._group.committed.get(partition)
        if committed is None:
            self._broker.hits["no offset for a partition just assigned"] += 1
            raise NoOffsetForPartitionError(partition)
        self._broker.hits["position from Kafka's own copy"] += 1
        self._positions[partition] = committed

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._positions:
            self._broker.hits["seek of a partition that is not ours any more"] += 1
            raise IllegalStateError(f"No current assignment for partition {partition}")
        self._positions[partition] = offset
        self._wake()

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await one_step()
        if any(partition not in self._positions for partition in offsets):
            raise IllegalStateError("not assigned")
        if self._joined != self._group.generation or not self._broker.up:
            raise CommitFailedError("Commit cannot be completed since the group has already rebalanced")
        self._group.committed.update(offsets)

    # Reading a record back.

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await one_step()
        self._broker.check_up()
        return {partition: len(self._broker.logs[partition]) for partition in partitions}

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await one_step()
        self._broker.check_up()
        return dict.fromkeys(partitions, 0)

    async def topics(self) -> set[str]:
        await one_step()
        self._broker.check_up()
        return {partition.topic for partition in self._broker.logs}
