"""`tributary demo --json --processes`, as a person runs it: the story unchanged over twelve processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.test_demo import DRAW

pytestmark = pytest.mark.timeout(600)
_OURS = ("TRIBUTARY_", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


def test_the_story_is_the_same_with_each_api_and_each_worker_in_a_process_of_its_own(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tributary", "demo", "--json", "--processes"],
        env={**env, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(done.stdout)
    assert document["processes"] == 12
    assert [step["name"] for step in document["steps"] if not step["ok"]] == []
    assert len(document["steps"]) == 27
    assert set(document["invariants"].values()) == {0}
    assert document["events"]["parked"] == 0
    drew = next(step for step in document["steps"] if "documents assigned" in step["name"])
    happened = [hop.split(" ")[0] for hop in drew["hops"]]
    assert [name for name in DRAW if name not in happened] == []
    assert list(tmp_path.iterdir()) == []
