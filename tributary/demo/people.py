"""Who takes part: the bank's people, and those who speak for a firm."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tributary.demo.client import Person, sign_in


@dataclass
class People:
    """Registers identities as the administrator and signs each of them in once."""

    http: httpx.AsyncClient
    administrator: Person
    _known: dict[tuple[str, tuple[str, ...]], Person] = field(default_factory=dict)

    async def bank(self, name: str, *roles: str) -> Person:
        """Return one of the bank's people, registered on first call."""
        return await self._person(name, roles, party=None)

    async def of(self, enterprise_id: str, *roles: str) -> Person:
        """Return who speaks for a firm in these roles, registered on first call."""
        return await self._person(enterprise_id, roles, party=enterprise_id)

    async def _person(self, name: str, roles: tuple[str, ...], *, party: str | None) -> Person:
        known = self._known.get((name, roles))
        if known is None:
            called = f"{'/'.join(roles)} of {name}" if party else name
            body = {"name": called, "roles": list(roles), "party": party}
            identity = await self.administrator.post("/onboarding/v1/identities", body)
            known = await sign_in(self.http, identity=identity, name=called, roles=roles, party=party)
            self._known[name, roles] = known
        return known


async def people_of(http: httpx.AsyncClient, *, home: Path) -> People:
    """Sign in the administrator whose secret stands in the data folder."""
    credentials = json.loads((home / "administrator.json").read_text(encoding="utf-8"))
    roles = ("administrator",)
    administrator = await sign_in(http, identity=credentials, name="administrator", roles=roles, party=None)
    return People(http, administrator)
