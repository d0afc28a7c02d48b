"""I5, I6 and I11: each way to spoil the outbox, the topics or the audit log is caught."""

from __future__ import annotations

import pytest

from shared.messaging.pipeline import seal_all
from shared.storage.audit import Entry, broken_links, record, seal
from shared.storage.database import Database
from tests.integration.verify.clean import Copies
from tests.integration.verify.conftest import Copy
from tests.integration.verify.spoiling import found, put
from tributary.services import SERVICES
from tributary.verify import i05_outbox_and_topic, i06_sequences, i11_audit_chain
from tributary.verify.snapshots import world_of

_PENDING = "INSERT INTO outbox_pending SELECT topic || '-0', position FROM outbox ORDER BY position DESC LIMIT 1"
_UNSENT = """INSERT INTO outbox (id, topic, subject, sequence, type, source, body)
    VALUES ('lost', 'scf.onboarding.link.v1', 'l1', 1, 'link.recorded.v1', 'onboarding', '{}')"""


async def test_i5_a_clean_state_is_found_clean(clean: Copies) -> None:
    result = await found(i05_outbox_and_topic, clean)
    assert (result.violations, result.examples) == (0, [])
    assert result.checked >= 12


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM outbox WHERE subject = 'alpha' AND sequence = 2", "no outbox row says"),
        ("UPDATE outbox SET body = '{}' WHERE subject = 'beta' AND sequence = 1", "not as its outbox row was written"),
        ("UPDATE outbox SET type = 'x' WHERE subject = 'beta' AND sequence = 1", "not as its outbox row was written"),
        ("UPDATE outbox SET id = 'fork' WHERE subject = 'alpha' AND sequence = 1", "another id"),
        (_UNSENT, "was acked but is not there"),
    ],
)
async def test_i5_an_outbox_that_differs_from_its_topic_is_caught(clean: Copies, statement: str, says: str) -> None:
    result = await found(i05_outbox_and_topic, clean, onboarding=statement)
    assert result.violations == 1
    assert says in result.examples[0]


async def test_i5_what_waits_for_the_relay_is_in_flight_for_a_minute_and_then_a_violation(clean: Copies) -> None:
    young = await found(i05_outbox_and_topic, clean, onboarding=[_UNSENT, _PENDING])
    assert (young.violations, young.flying) == (0, 1)


async def test_i5_what_waits_for_longer_than_a_minute_is_a_violation(clean: Copies) -> None:
    old = "UPDATE outbox SET time = time - interval '61 s' WHERE id = 'lost'"
    result = await found(i05_outbox_and_topic, clean, onboarding=[_UNSENT, _PENDING, old])
    assert (result.violations, result.flying) == (1, 1)
    assert "was not sent" in result.examples[0]


async def test_what_was_in_flight_when_the_platform_stopped_has_not_aged_since(copy: Copy) -> None:
    yesterday = """DO $$ BEGIN
        ALTER TABLE audit DISABLE TRIGGER audit_append_only;
        UPDATE outbox SET time = time - interval '1 day';
        UPDATE audit SET at = at - interval '1 day';
        UPDATE lease SET expires_at = expires_at - interval '1 day'; END $$"""
    everywhere = {service: [yesterday] for service in SERVICES}
    settings = await copy(**everywhere | {"onboarding": [_UNSENT, _PENDING, yesterday]})
    found = {}
    for stopped in (False, True):
        async with world_of(settings, stopped=stopped) as world:
            found[stopped] = await i05_outbox_and_topic.check(world)
    assert (found[False].violations, found[False].flying) == (1, 1)
    assert (found[True].violations, found[True].flying) == (0, 1)


async def test_i5_copies_are_counted_only_and_a_record_without_a_row_is_caught(
    clean: Copies, spoilt_topic: str
) -> None:
    for _ in range(2):
        await put(clean, topic=spoilt_topic, subject="d1", event_id="d1-1", sequence=1)
    row = """INSERT INTO outbox (id, topic, subject, sequence, type, source, body)
        VALUES ('d1-1', 'scf.risk.decision.v1', 'd1', 1, 'x.y.v1', 'risk', '{}')"""
    with_row = await found(i05_outbox_and_topic, clean, risk=row)
    without_row = await found(i05_outbox_and_topic, clean)
    assert with_row.violations == 0
    assert with_row.notes == ["1 copies (harmless: consumers skip them)"]
    assert without_row.violations == 2


async def test_i6_sequences_from_one_without_a_gap_are_clean_and_copies_do_not_matter(
    clean: Copies, spoilt_topic: str
) -> None:
    for sequence in (1, 2, 1, 2, 3):
        await put(clean, topic=spoilt_topic, subject="d1", event_id=f"d1-{sequence}", sequence=sequence)
    result = await found(i06_sequences, clean)
    assert (result.violations, result.examples) == (0, [])
    assert result.checked >= 6 + 5


@pytest.mark.parametrize("sequences", [(1, 3), (2,), (1, 3, 4, 5)])
async def test_i6_a_gap_is_caught(clean: Copies, spoilt_topic: str, sequences: tuple[int, ...]) -> None:
    for sequence in sequences:
        await put(clean, topic=spoilt_topic, subject="d1", event_id=f"d1-{sequence}", sequence=sequence)
    result = await found(i06_sequences, clean)
    assert result.violations == 1
    assert "was next" in result.examples[0]


async def test_i11_a_clean_audit_log_is_found_clean(clean: Copies) -> None:
    result = await found(i11_audit_chain, clean)
    assert (result.violations, result.flying, result.examples) == (0, 0, [])
    assert result.checked >= 3


_UNGUARD = "ALTER TABLE audit DISABLE TRIGGER audit_append_only"
_GUARD = "ALTER TABLE audit ENABLE TRIGGER audit_append_only"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE audit SET facts = '{}' WHERE subject = 'alpha'", ["breaks at seal 2"]),
        ("UPDATE audit SET actor = 'nobody' WHERE subject = 'alpha'", ["breaks at seal 2"]),
        ("DELETE FROM audit WHERE subject = 'alpha'", ["breaks at seal 2"]),
        ("DELETE FROM audit_seal WHERE number = 3", ["neither sealed nor waiting", "not the one that was published"]),
        ("UPDATE audit_seal SET digest = 'x' WHERE number = 3", ["breaks at seal 3", "not the one that was published"]),
        ("INSERT INTO audit (actor, action, subject, facts) VALUES ('a', 'b', 'c', '{}')", ["neither sealed"]),
    ],
)
async def test_i11_a_changed_audit_log_is_caught(clean: Copies, statement: str, says: list[str]) -> None:
    result = await found(i11_audit_chain, clean, onboarding=[_UNGUARD, statement, _GUARD])
    assert result.violations == len(says)
    assert all(each in example for each, example in zip(says, result.examples, strict=True))


_AGAIN = ["DELETE FROM audit_seal", "INSERT INTO audit_unsealed SELECT position FROM audit"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody' WHERE subject = 'alpha'",
        "DELETE FROM audit WHERE subject = 'beta'",
        "UPDATE audit SET position = DEFAULT WHERE subject = 'anchor'",
    ],
)
async def test_i11_a_log_that_was_rewritten_and_sealed_anew_from_its_beginning_is_not_the_published_one(
    copy: Copy, statement: str
) -> None:
    settings = await copy(onboarding=[_UNGUARD, statement, *_AGAIN, _GUARD])
    database = Database(settings.database("onboarding"), pool_size=1)
    await seal(database, owner="clean")
    async with database.reader() as tx:
        assert await broken_links(tx) == [], "it must look whole to whoever sees the database only"
    await database.close()
    async with world_of(settings) as world:
        result = await i11_audit_chain.check(world)
    assert result.examples == ["onboarding: the audit chain at seal 3 is not the one that was published"]


async def test_i11_seals_whose_head_nobody_published_are_caught(copy: Copy) -> None:
    settings = await copy(
        onboarding="""WITH a AS (INSERT INTO audit (actor, action, subject, facts) VALUES ('a', 'b', 'c', '{}')
            RETURNING position) INSERT INTO audit_unsealed SELECT position FROM a"""
    )
    database = Database(settings.database("onboarding"), pool_size=1)
    await seal(database, owner="clean")
    async with world_of(settings) as world:
        result = await i11_audit_chain.check(world)
    assert result.examples == ["onboarding: 1 seals after number 3 were never published"]
    # One that publishes says the head of all, and until it is on the topic the outbox says so.
    async with database.transaction() as tx:
        await record(tx, [Entry("a", "b", "c", {})])
    await seal_all(database, service="onboarding", owner="clean")
    await database.close()
    async with world_of(settings) as world:
        assert (await i11_audit_chain.check(world)).examples == []


async def test_i11_a_log_that_could_be_changed_is_caught(clean: Copies) -> None:
    result = await found(i11_audit_chain, clean, onboarding=_UNGUARD)
    assert result.examples == ["onboarding: nothing keeps the audit log append-only"]


async def test_i11_a_row_that_no_sealer_takes_up_is_in_flight_for_a_minute(clean: Copies) -> None:
    fresh = """WITH a AS (INSERT INTO audit (at, actor, action, subject, facts)
        VALUES (clock_timestamp() - interval '{} s', 'a', 'b', 'c', '{{}}') RETURNING position)
        INSERT INTO audit_unsealed SELECT position FROM a"""
    young = await found(i11_audit_chain, clean, onboarding=fresh.format(0))
    old = await found(i11_audit_chain, clean, risk=fresh.format(61))
    assert (young.violations, young.flying) == (0, 1)
    assert (old.violations, old.flying) == (1, 1)
