"""What set-up adds to the environment: the broker's jars and class archive, the pages' assets, the rule sheets."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tributary.embedded import jars
from tributary.embedded.kafka import EmbeddedKafka

ASSETS = jars.CACHE / "assets"
RULES = jars.CACHE / "rules"
_WANTED = {
    "htmx.org": "dist/htmx.min.js",
    "htmx-ext-sse": "sse.js",
    "picocss__pico": "css/pico.min.css",
}
PAGE_FILES = tuple(_WANTED.values())
# Where a pack keeps the sheets that are used, and the folder in which services look for them.
_SHEETS = {
    "phive-rules-en16931": ("external/schematron/1.3.16/", "en16931"),
    "phive-rules-peppol": ("external/schematron/openpeppol/2026.5/xslt/", "peppol"),
    "phive-rules-xrechnung": ("external/schematron/", "xrechnung"),
}


class AssetMissing(RuntimeError):
    """A page asset is not where its jar used to have it."""


def unpack_assets() -> None:
    """Unpack the one file that the pages load from each jar, under its own name."""
    ASSETS.mkdir(parents=True, exist_ok=True)
    for jar in jars.locked(section="pages"):
        wanted = _WANTED[jar.artifact]
        target = ASSETS / Path(wanted).name
        if target.exists():
            continue
        with zipfile.ZipFile(jar.path) as archive:
            name = next((name for name in archive.namelist() if name.endswith(f"/{wanted}")), None)
            if name is None:
                message = f"{jar.coordinates} has no {wanted}"
                raise AssetMissing(message)
            target.write_bytes(archive.read(name))


def unpack_rules() -> None:
    """Unpack the rule sheets of each pack under its folder; they replace those of another version."""
    for jar in jars.locked(section="rules"):
        prefix, folder = _SHEETS[jar.artifact]
        with zipfile.ZipFile(jar.path) as archive:
            names = [name for name in archive.namelist() if name.startswith(prefix) and name.endswith(".xslt")]
            if not names:
                message = f"{jar.coordinates} has no {prefix}"
                raise AssetMissing(message)
            for name in names:
                target = RULES / folder / name.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_suffix(".part")
                part.write_bytes(archive.read(name))
                part.replace(target)


async def _record_classes() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tributary-setup-"))
    kafka = EmbeddedKafka(folder, record_classes=True)
    try:
        await kafka.start()
        kafka.stop()
    finally:
        kafka.kill()
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] = ()) -> int:
    """Do what is missing, say what is done; a second run finds nothing to do and needs no network.

    With `--pages` only the pages' assets and the rule sheets: an image has no use for the embedded broker.
    """
    pages_only = "--pages" in arguments
    done = jars.CACHE / "ready"
    lock = jars.LOCK.read_text(encoding="utf-8")
    if done.exists() and done.read_text(encoding="utf-8") == lock:
        return 0
    wanted = [jar for jar in jars.locked() if not pages_only or jar.section in {"pages", "rules"}]
    missing = jars.missing(wanted)
    if missing:
        what = "page assets and rule sheets" if pages_only else "Apache Kafka, page assets and rule sheets"
        sys.stderr.write(f"set-up: fetching {len(missing)} jars ({what})\n")
    try:
        jars.fetch(missing, progress=lambda name: sys.stderr.write(f"  {name}\n"))
    except jars.JarNotAsLocked as error:
        sys.stderr.write(f"set-up: {error}\n")
        return 1
    except Exception as error:  # noqa: BLE001 - the downloader raises whatever its HTTP library does
        sys.stderr.write(f"set-up: fetching the jars failed ({type(error).__name__}): check the network, run again.\n")
        return 1
    unpack_assets()
    unpack_rules()
    if pages_only:
        return 0
    sys.stderr.write("set-up: starting Kafka once, so that later starts are quick\n")
    asyncio.run(_record_classes())
    done.write_text(lock, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
