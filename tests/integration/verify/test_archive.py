"""I5 to I8 hold over an archived outbox, and find an archive or a manifest that somebody touched."""

from __future__ import annotations

import asyncio

import pytest

from shared.messaging.pipeline import archive_all
from shared.messaging.retention import archive, broken_archives
from shared.storage.database import Database
from tests.integration.verify.clean import Copies
from tests.integration.verify.conftest import Copy
from tributary.events import send_again
from tributary.verify import i05_outbox_and_topic
from tributary.verify.check import run_checks
from tributary.verify.result import Result
from tributary.verify.snapshots import world_of

# Eleven years later, for all but an aggregate's last words.
_AGED = "UPDATE outbox SET time = time - interval '11 years' WHERE sequence < 3"


async def _archived(copy: Copy, service: str, *spoiled: str, aged: str = _AGED) -> Copies:
    settings = await copy(**{service: aged})
    await _archive(settings, service)
    database = Database(settings.database(service), pool_size=1)
    async with database.transaction() as tx:
        for statement in spoiled:
            assert not (await tx.pg.execute(statement)).endswith(" 0"), f"nothing was spoiled: {statement}"
    await database.close()
    return settings


async def _archive(settings: Copies, service: str) -> None:
    database = Database(settings.database(service), pool_size=1)
    await archive_all(database, days=3650, owner="archiver")
    await database.close()


async def _count(settings: Copies, service: str, table: str) -> int:
    database = Database(settings.database(service), pool_size=1)
    async with database.reader() as tx:
        many: int = await tx.pg.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - names from this file
    await database.close()
    return many


async def _i5(settings: Copies) -> Result:
    async with world_of(settings) as world:
        return await i05_outbox_and_topic.check(world)


async def test_with_the_outboxes_archived_every_invariant_holds_as_before(copy: Copy, clean: Copies) -> None:
    aged = dict.fromkeys(("onboarding", "credit", "settlement"), _AGED)
    settings = await copy(**aged)
    before = {name: each.checked for name, each in (await run_checks(clean)).items()}
    for service in aged:
        kept = await _count(settings, service, "outbox_kept")
        await _archive(settings, service)
        assert await _count(settings, service, "outbox_archive") > 0
        assert await _count(settings, service, "outbox_kept") == kept
    results = await run_checks(settings)
    assert {name: each.examples for name, each in results.items() if each.violations} == {}
    assert {name: each.checked for name, each in results.items()} == before


async def test_only_what_is_old_sent_and_the_first_of_its_aggregate_is_archived(copy: Copy) -> None:
    pending = "INSERT INTO outbox_pending SELECT 'x', position FROM outbox WHERE subject = 'beta' AND sequence = 1"
    settings = await copy(onboarding=["UPDATE outbox SET time = time - interval '11 years'", pending])
    database = Database(settings.database("onboarding"), pool_size=1)
    async with database.transaction() as tx:
        await tx.pg.execute("UPDATE outbox SET time = clock_timestamp() WHERE subject = 'alpha' AND sequence = 2")
    await archive_all(database, days=3650, owner="archiver")
    async with database.reader() as tx:
        left = await tx.pg.fetch("SELECT subject, sequence FROM outbox ORDER BY 1, 2")
        heads = await tx.pg.fetch(
            """SELECT subject, sequence, archived FROM outbox_head WHERE subject IN ('alpha', 'anchor', 'beta')
            AND topic = 'scf.onboarding.enterprise.v1' ORDER BY 1"""
        )
    await database.close()
    assert [tuple(row) for row in left] == [("alpha", 2), ("beta", 1), ("beta", 2)]
    assert [tuple(row) for row in heads] == [("alpha", 2, 1), ("anchor", 2, 2), ("beta", 2, 0)]


async def test_what_goes_on_after_an_archiving_goes_on_in_the_chain(copy: Copy) -> None:
    settings = await _archived(copy, "onboarding", aged="UPDATE outbox SET time = '2014-11-24' WHERE sequence = 1")
    database = Database(settings.database("onboarding"), pool_size=1)
    async with database.transaction() as tx:
        await tx.pg.execute("UPDATE outbox SET time = '2015-11-24'")
    await database.close()
    await _archive(settings, "onboarding")
    assert await _count(settings, "onboarding", "outbox") == 0
    assert (await _i5(settings)).examples == []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE outbox_archive SET body = '{}' WHERE subject = 'beta' AND sequence = 1", "not as its outbox row was"),
        ("UPDATE outbox_archive SET id = 'x' WHERE subject = 'beta' AND sequence = 1", "another id"),
        ("DELETE FROM outbox_archive WHERE subject = 'beta' AND sequence = 2", "no outbox row says"),
        ("DELETE FROM outbox_archive WHERE subject = 'beta'", "no outbox row says"),
        ("UPDATE outbox_archive SET time = time WHERE subject = 'beta'", None),
        ("UPDATE outbox_head SET archive_digest = 'x' WHERE subject = 'beta'", "not what its manifest says"),
        ("UPDATE outbox_head SET archived = 1 WHERE subject = 'beta'", "not what its manifest says"),
        ("UPDATE outbox_head SET archived = 0, archive_digest = '' WHERE subject = 'beta'", "not what its manifest"),
        ("DELETE FROM outbox_head WHERE subject = 'beta'", "not what its manifest says"),
    ],
)
async def test_i5_an_archive_or_a_manifest_that_somebody_touched_is_caught(
    copy: Copy, statement: str, says: str | None
) -> None:
    result = await _i5(await _archived(copy, "onboarding", statement))
    if says is None:
        assert result.examples == []
        return
    assert any(says in example for example in result.examples), result.examples
    # The manifest finds it too, without the topic.
    changed = [example for example in result.examples if "manifest" in example]
    assert changed == ["scf.onboarding.enterprise.v1: what is archived of beta is not what its manifest says"]


async def test_a_topic_is_published_again_from_the_archive_too(copy: Copy) -> None:
    settings = await _archived(copy, "onboarding")
    archived = await _count(settings, "onboarding", "outbox_archive")
    database = Database(settings.database("onboarding"), pool_size=1)
    sent = await send_again(database, topics=["scf.onboarding.enterprise.v1"])
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            """SELECT subject, sequence FROM outbox_pending JOIN outbox USING (position)
            WHERE topic = 'scf.onboarding.enterprise.v1' ORDER BY position"""
        )
    await database.close()
    assert (sent, len(rows)) == (6, 6)
    assert [tuple(row) for row in rows] == [(name, n) for name in ("anchor", "alpha", "beta") for n in (1, 2)]
    # The other topics stay archived, and nothing that waits is archived again.
    assert await _count(settings, "onboarding", "outbox_archive") == archived - 6
    await _archive(settings, "onboarding")
    assert await _count(settings, "onboarding", "outbox_archive") == archived - 6


async def test_of_two_workers_one_archives_and_what_is_published_again_meanwhile_is_not_lost(copy: Copy) -> None:
    settings = await copy(onboarding=_AGED)
    database = Database(settings.database("onboarding"), pool_size=3)
    topic = "scf.onboarding.enterprise.v1"
    first, second, sent = await asyncio.gather(
        archive(database, owner="a", days=3650),
        archive(database, owner="b", days=3650),
        send_again(database, topics=[topic]),
    )
    assert 0 in {first, second}
    assert first + second > 0
    async with database.reader() as tx:
        lost = await tx.pg.fetchval(
            "SELECT count(*) FROM outbox_pending LEFT JOIN outbox USING (position) WHERE id IS NULL"
        )
        assert (sent, lost, await broken_archives(tx)) == (6, 0, [])
    await database.close()
