"""Where a running platform's servers are: the environment's, or those that `up` wrote into its data folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from shared.runtime.settings import Settings
from shared.web.issuer import write_private


class NoPlatform(RuntimeError):
    """Nothing runs on the data folder, and the environment names no servers."""

    code: ClassVar[str] = "no_platform"

    def __init__(self, *, home: Path) -> None:
        """Keep the folder, and say what to do."""
        self.home = home
        super().__init__(
            f"No Tributary runs on {home}; start one with `tributary up`, "
            "or set DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS."
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """What `up` started itself; a server of the bank's own is not written down, its URL may hold a secret."""

    origin: str
    database_url: str
    bootstrap_servers: str
    pid: int


def _file(home: Path) -> Path:
    return home / "addresses.json"


def write_addresses(home: Path, addresses: Addresses) -> None:
    """Write the addresses where only the owner reads them."""
    remove_addresses(home)
    write_private(_file(home), json.dumps(asdict(addresses)))


def remove_addresses(home: Path) -> None:
    """Forget the addresses."""
    _file(home).unlink(missing_ok=True)


def read_addresses(home: Path) -> Addresses | None:
    """Return the addresses of the platform that runs on the folder; None when none does."""
    try:
        found = Addresses(**json.loads(_file(home).read_text(encoding="utf-8")))
        os.kill(found.pid, 0)
    except (FileNotFoundError, ProcessLookupError, ValueError, TypeError):
        return None
    except PermissionError:
        pass
    return found


def connected(settings: Settings) -> Settings:
    """Return the settings with both servers' addresses; NoPlatform when one is not known."""
    found = read_addresses(settings.home)
    server_url = settings.server_url or (found.database_url if found else "")
    bootstrap = settings.bootstrap_servers or (found.bootstrap_servers if found else "")
    if not server_url or not bootstrap:
        raise NoPlatform(home=settings.home)
    return settings.model_copy(update={"server_url": server_url, "bootstrap_servers": bootstrap})
