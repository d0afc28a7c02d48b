"""The built-in token issuer of the embedded default; a bank's own identity provider takes its place in production."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, KeySetSerialization

ALGORITHM = "ES256"
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}


class Issuer:
    """Signs tokens with an ES256 key kept in a file only its owner reads."""

    def __init__(self, *, home: Path, issuer: str, audience: str) -> None:
        """Load the key of `home`, or make it."""
        self._key = _load_or_make(home / "keys" / "issuer.json")
        self._issuer = issuer
        self._audience = audience

    def issue(
        self, *, subject: str, roles: Sequence[str], party: str | None, client_id: str, lifetime_s: int = 3600
    ) -> str:
        """Return a signed access token."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "client_id": client_id,
            "roles": list(roles),
            "party": party,
            "iat": now,
            "nbf": now - 5,
            "exp": now + lifetime_s,
            "jti": secrets.token_hex(8),
        }
        header = {"alg": ALGORITHM, "kid": self._key.kid, "typ": "at+jwt"}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])

    def jwks(self) -> KeySetSerialization:
        """Return the public keys."""
        return KeySet([self._key]).as_dict(private=False)


def new_secret() -> str:
    """Return a new client secret of 256 bits."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """Return the salted scrypt hash of a client secret."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT).hex()}"


def verify_secret(secret: str, *, hashed: str) -> bool:
    """Return whether the secret is the hashed one, in constant time."""
    salt, _, digest = hashed.partition("$")
    found = hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), **_SCRYPT)
    return hmac.compare_digest(found.hex(), digest)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads; the first writer wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    try:
        os.link(part, path)
    except FileExistsError:
        return
    finally:
        part.unlink()


def _load_or_make(path: Path) -> ECKey:
    if not path.exists():
        made = ECKey.generate_key("P-256", parameters={"kid": secrets.token_hex(8)}, private=True)
        write_private(path, json.dumps({**made.as_dict(private=True), "kid": made.kid}))
    return ECKey.import_key(json.loads(path.read_text(encoding="utf-8")))
