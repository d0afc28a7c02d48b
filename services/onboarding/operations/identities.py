"""Register people and clients, and check their secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from services.onboarding.domain.identities import check_roles
from services.onboarding.operations.enterprises import lock_enterprises
from shared.storage.audit import Entry, record
from shared.storage.database import Database
from shared.values.ids import new_id
from shared.web.issuer import hash_secret, new_secret, verify_secret, write_private

_NOBODY = hash_secret("nobody")


class InvalidClient(PermissionError):
    """The client is unknown or its secret is not the one given: the same answer for both."""

    code: ClassVar[str] = "invalid_client"

    def __init__(self) -> None:
        """Tell nothing more."""
        super().__init__("The client or its secret is not known.")


async def register_identity(
    database: Database, *, name: str, roles: Sequence[str], party: str | None, actor: str
) -> dict[str, Any]:
    """Register a person or client; return its credentials, the secret for the only time."""
    check_roles(roles=roles, party=party)
    secret = new_secret()
    identity = {
        "identity_id": new_id(),
        "name": name,
        "roles": sorted(roles),
        "party": party,
        "client_id": f"client-{new_id()}",
        "client_secret": secret,
    }
    hashed = await asyncio.to_thread(hash_secret, secret)
    async with database.transaction() as tx:
        if party is not None:
            await lock_enterprises(tx, enterprise_ids=[party])
        await tx.pg.execute(
            "INSERT INTO identity (identity_id, name, client_id, secret_hash, roles, party) VALUES ($1,$2,$3,$4,$5,$6)",
            identity["identity_id"],
            name,
            identity["client_id"],
            hashed,
            sorted(roles),
            party,
        )
        facts = {"roles": sorted(roles), "party": party}
        await record(tx, [Entry(actor, "identity.registered", str(identity["identity_id"]), facts)])
    return identity


async def authenticate(database: Database, *, client_id: str, client_secret: str) -> dict[str, Any]:
    """Return the identity of a client whose secret is right; InvalidClient otherwise, in the same time."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM identity WHERE client_id = $1", client_id)
    hashed = row["secret_hash"] if row else _NOBODY
    # scrypt lets go of the interpreter, so a thread is enough here.
    right = await asyncio.to_thread(verify_secret, client_secret, hashed=hashed)
    if row is None or not right:
        raise InvalidClient
    return dict(row)


async def ensure_administrator(database: Database, *, home: Path) -> Path:
    """Make the first identity of a new deployment; its secret stands in a file only its owner reads."""
    path = home / "administrator.json"
    async with database.reader() as tx:
        known = await tx.pg.fetchval("SELECT true FROM identity WHERE 'administrator' = ANY(roles) LIMIT 1")
    if not known:
        made = await register_identity(
            database, name="administrator", roles=["administrator"], party=None, actor="start"
        )
        document = {name: made[name] for name in ("client_id", "client_secret")}
        path.unlink(missing_ok=True)
        write_private(path, json.dumps(document, indent=2))
    return path
