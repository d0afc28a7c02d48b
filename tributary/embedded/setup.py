"""What set-up adds to the virtual environment: the broker's jars, its class archive, and the pages' assets."""

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
_WANTED = {
    "htmx.org": "dist/htmx.min.js",
    "htmx-ext-sse": "sse.js",
    "picocss__pico": "css/pico.min.css",
    "echarts": "echarts.min.js",
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

    With `--pages` only the pages' assets: an image has no use for the embedded broker.
    """
    pages_only = "--pages" in arguments
    done = jars.CACHE / "ready"
    lock = jars.LOCK.read_text(encoding="utf-8")
    if done.exists() and done.read_text(encoding="utf-8") == lock:
        return 0
    missing = jars.missing(jars.locked(section="pages" if pages_only else None))
    if missing:
        what = "page assets" if pages_only else "Apache Kafka and page assets"
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
    if pages_only:
        return 0
    sys.stderr.write("set-up: starting Kafka once, so that later starts are quick\n")
    asyncio.run(_record_classes())
    done.write_text(lock, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
