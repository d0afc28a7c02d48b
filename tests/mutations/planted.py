"""Bugs that somebody might write into the protocol: each as a change of the code, and the test that must notice."""

from __future__ import annotations

from dataclasses import dataclass

_SIMULATION = "tests/properties/test_simulation.py::test_every_interleaving_keeps_every_promise"
_PIPE = "tests/integration/messaging/test_outbox_to_inbox.py"
_TRAPS = "tests/integration/messaging/test_traps.py"
_PARKED = "tests/integration/messaging/test_parked.py"
_GROUPS = "tests/integration/messaging/test_group_commit.py"
_TOPICS = "tests/faults/test_topics_lost.py"
_RESTORED = "tests/faults/test_database_restored.py"
_INBOX, _ROWS, _APPLYING = (f"shared/messaging/{name}.py" for name in ("inbox", "inbox_rows", "applying"))
_GATHER = "        acks = await asyncio.gather(*(sending.ack for sending in sendings))\n"
_LEASES = "shared/runtime/leases.py"
_RELAY, _RELAY_ROWS, _OUTBOX = (f"shared/messaging/{name}.py" for name in ("relay", "relay_rows", "outbox"))


@dataclass(frozen=True, slots=True)
class Change:
    """A text that stands in a file exactly once, and what stands there instead."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug and the tests of which one must fail."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


def _bug(name: str, file: str, before: str, after: str, test: str) -> Planted:
    return Planted(name, (Change(file, before, after),), (test,))


PLANTED: tuple[Planted, ...] = (
    _bug(
        "offsets are committed before the effects",
        _INBOX,
        '        reached("inbox.fetched")\n',
        '        reached("inbox.fetched")\n'
        "        async with self._database.transaction() as early:\n"
        "            where = await inbox_rows.lock_offsets(early, partitions=records)\n"
        "            ours = {p: b for p, b in records.items() if b[0].offset == where[p]}\n"
        "            after = {p: b[-1].offset + 1 for p, b in ours.items()}\n"
        "            await inbox_rows.save_offsets(early, following=after, applied=0, duplicates=0)\n"
        "            records = {p: [r for r in b] for p, b in ours.items()}\n"
        "            before = {p: b[0].offset for p, b in records.items()}\n",
        f"{_TRAPS}::test_a_batch_that_fails_leaves_neither_effects_nor_offsets",
    ),
    _bug(
        "the inbox is skipped: every record is applied",
        _APPLYING,
        "        if received.sequence == head.sequence + 1:\n",
        "        if received.sequence <= head.sequence + 1:\n",
        f"{_PIPE}::test_a_copy_is_skipped_a_gap_waits_and_a_fork_is_parked",
    ),
    _bug(
        "a gap is applied as if nothing were missing",
        _APPLYING,
        "        if received.sequence == head.sequence + 1:\n",
        "        if received.sequence > head.sequence:\n",
        f"{_PIPE}::test_a_copy_is_skipped_a_gap_waits_and_a_fork_is_parked",
    ),
    _bug(
        "a fork is taken for a copy",
        _APPLYING,
        "received.sequence == head.sequence and received.id != head.event_id",
        "False",
        f"{_PIPE}::test_a_copy_is_skipped_a_gap_waits_and_a_fork_is_parked",
    ),
    _bug(
        "a cursor on position: the relay never looks behind what it has reached",
        _RELAY,
        "            if from_zero:\n                shard.floor = 0\n",
        "",
        f"{_TRAPS}::test_an_event_that_commits_long_after_a_later_one_is_not_lost_and_holds_nobody_up",
    ),
    _bug(
        "snapshot xmin: what any open transaction might precede is not read",
        _RELAY_ROWS,
        "JOIN outbox o USING (position) ORDER BY o.position\n",
        "JOIN outbox o USING (position)\n"
        "WHERE o.xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY o.position\n",
        f"{_TRAPS}::test_an_event_that_commits_long_after_a_later_one_is_not_lost_and_holds_nobody_up",
    ),
    Planted(
        "positions are drawn before the aggregate is locked",
        (
            Change(
                _OUTBOX,
                "    SELECT * FROM unnest(",
                "    SELECT *, nextval(pg_get_serial_sequence('outbox', 'position')) AS drawn FROM unnest(",
            ),
            Change(_OUTBOX, "WITH given AS (\n", "WITH given AS MATERIALIZED (\n"),
            Change(
                _OUTBOX,
                "    INSERT INTO outbox (id, topic, subject, sequence, type, source, traceparent, body)\n"
                "    SELECT id,",
                "    INSERT INTO outbox (position, id, topic, subject, sequence, type, source, traceparent, body)\n"
                "    OVERRIDING SYSTEM VALUE SELECT drawn, id,",
            ),
        ),
        (f"{_TRAPS}::test_an_aggregates_positions_follow_its_sequences_though_its_writers_wait_for_each_other",),
    ),
    _bug(
        "rows are marked before their acks have come",
        _RELAY,
        _GATHER,
        "        await self._mark({n: s.epoch for n, s in self._shards.items()}, rows=rows, last={})\n" + _GATHER,
        _SIMULATION,
    ),
    _bug(
        "a failed send is tried again instead of stopping",
        _RELAY,
        "        future: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)\n",
        "        first = await producer.send_batch(batch, topic, partition=partition)\n\n"
        "        async def until_acked() -> Any:\n"
        "            try:\n"
        "                return await first\n"
        "            except Exception:\n"
        "                another = self._producer()\n"
        "                await another.start()\n"
        "                return await (await another.send_batch(batch, topic, partition=partition))\n\n"
        "        future = asyncio.ensure_future(until_acked())\n",
        _SIMULATION,
    ),
    _bug(
        "records of a partition are sent by tasks side by side",
        _RELAY,
        "        future: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)\n",
        "        async def sent() -> Any:\n"
        "            return await (await producer.send_batch(batch, topic, partition=partition))\n\n"
        "        future = asyncio.ensure_future(sent())\n",
        _SIMULATION,
    ),
    _bug(
        "the epoch does not fence marks",
        _RELAY_ROWS,
        "l(name, epoch) USING (name, epoch)\n    WHERE owner = $3 FOR SHARE OF lease),\n",
        "l(name, epoch) USING (name)\n    WHERE $3::text IS NOT NULL FOR SHARE OF lease),\n",
        f"{_TRAPS}::test_a_relay_whose_lease_went_to_another_marks_nothing_and_what_it_sent_is_skipped_as_a_copy",
    ),
    Planted(
        "a lease is taken before it has expired",
        (
            Change(_LEASES, "WHERE l.owner = $2 OR l.expires_at < clock_timestamp()\n", "WHERE true\n"),
            Change(
                _LEASES,
                "    WHERE l.name IS NULL OR l.owner = $2 OR l.expires_at < clock_timestamp()\n",
                "    WHERE true\n",
            ),
        ),
        (f"{_TRAPS}::test_a_lease_is_nobody_elses_before_it_runs_out",),
    ),
    _bug(
        "the last ack is not read back",
        _RELAY,
        "        back = await read_back(self._database, kafka=self._kafka, cluster=self._cluster, shards=new)\n",
        "        back = await read_back(self._database, kafka=self._kafka, cluster=self._cluster, shards=[])\n"
        "        back.whole.update(dict.fromkeys(new, -1))\n",
        f"{_PIPE}::test_a_lost_topic_stops_the_relay_loudly",
    ),
    _bug(
        "acks may step back: a tail lost under a running relay is not noticed",
        _RELAY,
        "            if first <= shard.acked:\n",
        "            if False:\n",
        f"{_TOPICS}::test_r19_a_tail_lost_under_a_relay_that_runs_is_noticed_at_its_next_send",
    ),
    _bug(
        "where a consumer stands is what Kafka remembers",
        _INBOX,
        "                self._positions[partition] = known.get(partition, 0)\n",
        "                kept = await self._consumer.committed(partition)\n"
        "                self._positions[partition] = known.get(partition, 0) if kept is None else kept\n",
        f"{_TRAPS}::test_where_a_consumer_stands_is_what_its_database_says_and_not_what_kafka_remembers",
    ),
    _bug(
        "earliest on an offset that is gone",
        _INBOX,
        '            auto_offset_reset="none",\n',
        '            auto_offset_reset="earliest",\n',
        f"{_TRAPS}::test_an_offset_that_the_topic_no_longer_has_stops_the_inbox_loudly",
    ),
    _bug(
        "a fetch from before a rebalance is applied",
        _INBOX,
        "for partition, batch in records.items() if batch[0].offset == current[partition]}\n",
        "for partition, batch in records.items()}\n",
        _SIMULATION,
    ),
    _bug(
        "an event is parked without the awaited head's lock",
        _APPLYING,
        "            waits = Awaited(awaited, found[awaited].sequence)\n",
        "            waits = Awaited(awaited, found[awaited].sequence + 1)\n",
        f"{_PIPE}::test_an_event_that_needs_another_waits_until_that_one_moves",
    ),
    _bug(
        "whoever moves a head does not drain what waits for it",
        _ROWS,
        "        WHEN 'waits' THEN coalesce(w.sequence, 0) > p.waits_sequence\n",
        "        WHEN 'waits' THEN false\n",
        f"{_PIPE}::test_an_event_that_needs_another_waits_until_that_one_moves",
    ),
    _bug(
        "a handler that fails leaves half of its work",
        _APPLYING,
        "        async with tx.savepoint():\n            await handler(tx, received)\n",
        "        await handler(tx, received)\n",
        f"{_PIPE}::test_poison_parks_its_own_aggregate_and_no_other",
    ),
    _bug(
        "an event of an unknown type is passed over",
        _APPLYING,
        '                outcome.parked += [Parked(arrival, "unknown_type") for arrival in group]\n',
        "                _advance(group, heads, outcome)\n",
        f"{_TRAPS}::test_r25_an_event_of_an_unknown_type_waits_for_the_release_that_knows_it",
    ),
    _bug(
        "a bad release parks everything",
        _APPLYING,
        "    if outcome.failures > outcome.may_fail:\n",
        "    if False:\n",
        f"{_PIPE}::test_a_bad_release_stops_instead_of_parking_everything",
    ),
    _bug(
        "a record that cannot be read is lost without a word",
        _INBOX,
        '            strays.append(Parked(Arrival(_stray(record), headers, body), "malformed", str(error)))\n',
        "            _log.warning(str(error))\n",
        f"{_PARKED}::test_r25_no_record_however_broken_stops_the_inbox",
    ),
    _bug(
        "heads are not kept",
        _APPLYING,
        "    await inbox_rows.save_heads(tx, heads=heads)\n",
        "",
        _SIMULATION,
    ),
    _bug(
        "events of one call are numbered in whatever order",
        _OUTBOX,
        "PARTITION BY given.topic, given.subject ORDER BY given.nth",
        "PARTITION BY given.topic, given.subject ORDER BY given.id DESC",
        f"{_PIPE}::test_events_of_one_call_keep_their_order_and_roll_back_with_the_transaction",
    ),
    _bug(
        "a batch whose commit was lost is not run again",
        "shared/storage/group_commit.py",
        "            if again:\n",
        "            if not again:\n",
        f"{_GROUPS}::test_a_connection_lost_in_the_middle_is_met_by_one_rerun",
    ),
    _bug(
        "one poisonous command takes its neighbours along",
        "shared/storage/group_commit.py",
        "            await self._by_halves(batch, error)\n",
        "            _answer_all(batch, error)\n",
        f"{_GROUPS}::test_one_refused_and_one_poisonous_command_leave_their_neighbours_their_success",
    ),
    _bug(
        "the proposer of a discard may approve it",
        "shared/storage/approvals.py",
        '    if row["proposer"] == person:\n',
        "    if False:\n",
        f"{_PARKED}::test_r22_who_proposes_cannot_approve_and_nobody_approves_twice",
    ),
)
