"""The jars of `jars.lock`: fetched by coordinates, checked by sha256, kept beside the virtual environment."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

LOCK = Path(__file__).resolve().parents[2] / "jars.lock"
CACHE = Path(sys.prefix) / "share" / "tributary"


class JarNotAsLocked(RuntimeError):
    """A downloaded jar whose sha256 is not the locked one."""

    code: ClassVar[str] = "jar_not_as_locked"

    def __init__(self, *, coordinates: str) -> None:
        """Keep the coordinates."""
        self.coordinates = coordinates
        super().__init__(f"{coordinates} is not the file that jars.lock names: its sha256 differs; nothing was kept.")


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked artifact; `section` says what it is for: broker, pages or rules."""

    section: str
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """Return group:artifact:version."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def path(self) -> Path:
        """Return where the jar is kept."""
        return CACHE / "jars" / self.section / f"{self.artifact}-{self.version}.jar"


def locked(*, section: str | None = None, lock: Path = LOCK) -> list[Jar]:
    """Return the artifacts of the lock, all or those of one section."""
    jars, current = [], ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            current = line.removeprefix("# ").split(":")[0].strip()
        elif line.strip():
            coordinates, sha256 = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(current, group, artifact, version, sha256))
    return [jar for jar in jars if section in {None, jar.section}]


def missing(jars: list[Jar]) -> list[Jar]:
    """Return the jars that are not kept yet; a kept one was checked when it came."""
    return [jar for jar in jars if not jar.path.exists()]


def fetch(jars: list[Jar], *, progress: Callable[[str], object]) -> None:
    """Fetch what is missing, eight at a time; JarNotAsLocked when a file is another than the lock names."""
    from jgo.maven import MavenContext

    wanted = missing(jars)
    if not wanted:
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        context = MavenContext(repo_cache=scratch, timeout=60)

        def fetch_one(jar: Jar) -> None:
            project = context.project(jar.group, jar.artifact)
            keep(jar, project.at_version(jar.version).artifact().resolve())
            progress(jar.coordinates)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fetch_one, wanted))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def keep(jar: Jar, downloaded: Path) -> None:
    """Move a download to its place if it is the locked file; JarNotAsLocked otherwise."""
    with downloaded.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != jar.sha256:
        raise JarNotAsLocked(coordinates=jar.coordinates)
    jar.path.parent.mkdir(parents=True, exist_ok=True)
    part = jar.path.with_suffix(".part")
    shutil.copyfile(downloaded, part)
    part.replace(jar.path)
