"""Register people and clients, and check their secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from services.onboarding.domain.identities import check_roles
from services.onboarding.operations.enterprises import lock_enterprises
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
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
    }
    hashed = await asyncio.to_thread(hash_secret, secret)
    async with database.transaction() as tx:
        if party is not None:
            await lock_enterprises(tx, enterprise_ids=[party])
        await _keep(tx, identity, secret_hash=hashed, actor=actor)
    return {**identity, "client_secret": secret}


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
    """Make the first identity of a new deployment; its secret stands in a file only its owner reads.

    The file comes first, the identity after: a start that ends in between leaves a file that opens nothing, and the
    next start makes the administrator whose credentials it holds.
    """
    path = home / "administrator.json"
    async with database.transaction() as tx:
        await tx.pg.execute("SELECT pg_advisory_xact_lock(hashtextextended('onboarding/administrator', 0))")
        if await tx.pg.fetchval("SELECT true FROM identity WHERE 'administrator' = ANY(roles) LIMIT 1"):
            return path
        made = {"client_id": f"client-{new_id()}", "client_secret": new_secret()}
        write_private(path, json.dumps(made, indent=2))
        held = json.loads(path.read_text(encoding="utf-8"))
        identity = {
            "identity_id": new_id(),
            "name": "administrator",
            "roles": ["administrator"],
            "party": None,
            "client_id": held["client_id"],
        }
        hashed = await asyncio.to_thread(hash_secret, held["client_secret"])
        await _keep(tx, identity, secret_hash=hashed, actor="start")
    return path


async def _keep(tx: Transaction, identity: Mapping[str, Any], *, secret_hash: str, actor: str) -> None:
    columns = ("identity_id", "name", "client_id", "roles", "party")
    await tx.pg.execute(
        "INSERT INTO identity (identity_id, name, client_id, roles, party, secret_hash) VALUES ($1,$2,$3,$4,$5,$6)",
        *(identity[column] for column in columns),
        secret_hash,
    )
    facts = {"roles": identity["roles"], "party": identity["party"]}
    await record(tx, [Entry(actor, "identity.registered", identity["identity_id"], facts)])
