"""What the pages load: our own style and script, and the libraries that set-up unpacked; a closed list."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Response
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.web.auth import public
from shared.web.problems import Problem

OWN = Path(__file__).parents[1] / "assets"
_MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_OURS = ("console.css", "console.js", "what_if.js", "explanation.js", "intake.js", "proposals.js", "tributary.svg")
_LIBRARIES = ("pico.min.css", "htmx.min.js", "sse.js")

router = APIRouter()


class AssetSettings(BaseSettings):
    """Where set-up unpacked the libraries: beside the packages, unless the deployment says otherwise."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    folder: Path = Field(
        default=Path(sys.prefix) / "share" / "tributary" / "assets", validation_alias="TRIBUTARY_ASSETS"
    )


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in memory, and the address under which a browser may keep it for ever."""

    content: bytes
    media_type: str
    address: str


@lru_cache
def assets() -> Mapping[str, Asset]:
    """Return every asset that is there; without the libraries the pages still read, they only do not move."""
    libraries = AssetSettings().folder
    places = {name: OWN / name for name in _OURS} | {name: libraries / name for name in _LIBRARIES}
    return {name: _load(name, path) for name, path in places.items() if path.is_file()}


@router.get("/console/assets/{name}", dependencies=[public()], include_in_schema=False)
async def read_asset(name: str) -> Response:
    """Serve one of the closed list."""
    found = assets().get(name)
    if found is None:
        raise Problem(status=404, code="not_found", detail="There is no such asset.")
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(found.content, media_type=found.media_type, headers=headers)


def _load(name: str, path: Path) -> Asset:
    content = path.read_bytes()
    version = sha256(content).hexdigest()[:12]
    return Asset(content, _MEDIA[path.suffix], f"/console/assets/{name}?v={version}")
