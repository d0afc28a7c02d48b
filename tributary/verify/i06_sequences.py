"""I6: on the topics, the first occurrences of each aggregate's sequences are 1…n in order."""

from __future__ import annotations

from collections import defaultdict

from shared.events.topics import TOPICS
from shared.messaging.kafka import Kafka
from tributary.verify.result import Result
from tributary.verify.set_aside import is_aside, set_aside
from tributary.verify.snapshots import World
from tributary.verify.topics import Place, Sequences, records_of

NAME = "sequences 1…n in order"


async def check(world: World) -> Result:
    """Walk every topic once."""
    result, aside = Result(), await set_aside(world)
    for topic in TOPICS:
        seen: dict[str, Sequences] = defaultdict(Sequences)
        async for batch in records_of(Kafka.of(world.settings), world.ends, topics=[topic]):
            for record in batch:
                headers = dict(record.headers)
                try:
                    subject, sequence = headers["ce_subject"].decode(), int(headers["ce_sequence"])
                except (KeyError, ValueError):
                    if is_aside(record, aside):
                        continue
                    result.violate(f"{topic}-{record.partition} offset {record.offset} has no sequence")
                    continue
                result.checked += 1
                expected = seen[subject].upto + 1
                place = seen[subject].see(sequence)
                if place in {Place.AHEAD, Place.LATE} or sequence < 1:
                    result.violate(f"{topic}: {subject} has number {sequence} where {expected} was next")
    return result
