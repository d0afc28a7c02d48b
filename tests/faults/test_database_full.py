"""PostgreSQL's disk is full: commands are refused with the reason, none is half done, and space mends it (R25)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.messaging import Line, Load, line, supervised, took_effect_once
from tributary.embedded.postgres import EmbeddedPostgres

_DISK_MB = 160


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount here to make a small disk with")
    options = f"size={_DISK_MB}m,mode=755"
    if subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
    ).returncode:
        pytest.skip("this user may not mount a small disk (tmpfs)")
    for each in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        each.chmod(0o755)
    yield folder
    subprocess.run([umount, "-l", folder], check=True)


@pytest.fixture
async def server(disk: Path) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(disk, durable=False)
    await postgres.start()
    yield postgres
    postgres.kill()


@pytest.fixture
async def wire(server: EmbeddedPostgres, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=server.url, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


def _fill(disk: Path) -> None:
    """Write a file until nothing is left: what the server had reserved is all it has."""
    block = bytes(1 << 16)
    with (disk / "filler").open("ab", buffering=0) as file:
        while shutil.disk_usage(disk).free > len(block):
            file.write(block)


async def _publish_until_refused(wire: Line, load: Load) -> str:
    for n in range(len(load.answered), 3000):
        events = [wire.happened(thing_id=f"filling-{os.urandom(400).hex()}", n=n) for _ in range(20)]
        try:
            await wire.publish(events)
        except asyncpg.DiskFullError as error:
            load.unanswered.append(n)
            return str(error)
        load.answered.append(n)
    pytest.fail("the disk never filled")


@pytest.mark.timeout(120)
async def test_r25_a_full_disk_refuses_commands_and_loses_none_that_it_took(
    wire: Line, server: EmbeddedPostgres, disk: Path
) -> None:
    load = Load(wire)
    async with supervised(wire.name, relay=wire.relay().run, inbox=wire.inbox().run) as jobs:
        for _ in range(5):
            await load.publish_once()
        _fill(disk)
        assert "No space left on device" in await _publish_until_refused(wire, load)
        (disk / "filler").unlink()
        if not server.alive():
            # Its log could not grow either: then it ends, as PostgreSQL does, and recovers when it is started.
            await server.start()
        await load.publish_once()
        # The one that was refused has left nothing.
        assert await took_effect_once(wire, load) == []
        assert jobs.problems == {}
