"""Points that only two secrets together can compare: Diffie-Hellman private set intersection over P-256.

A text becomes a point that nobody can turn back. Each bank multiplies by a secret of its own for this one exchange, in
either order with the same result: twice multiplied points are equal where the texts were, and tell nothing else.
Only the x-coordinate is used: a point and its negative count as one.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

POINT_BYTES = 32
_CURVE = ec.SECP256R1()
_EVEN = b"\x02"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class NotAPoint(ValueError):
    """A value is not the x-coordinate of a point of the curve: whoever sent it does not follow the protocol."""

    code: ClassVar[str] = "not_a_point"

    def __init__(self, *, place: int) -> None:
        """Keep which one of the list, from 0."""
        self.place = place
        super().__init__(f"The value at place {place + 1} is not a point of the curve.")


def secret_of(*, own_secret: bytes, exchange: str) -> bytes:
    """Return this bank's secret for one exchange: it is not kept, and that of another exchange says nothing of it."""
    return HKDF(SHA256(), 48, salt=b"tributary-crosscheck", info=exchange.encode()).derive(own_secret)


def points_of(texts: Sequence[str], *, shared_key: bytes) -> list[bytes]:
    """Return the point of each text, the same for every bank that has the key."""
    return [_point_of(text, shared_key) for text in texts]


def blind(points: Sequence[bytes], *, secret: bytes) -> list[bytes]:
    """Return each point multiplied by a secret; NotAPoint for what is none."""
    key = ec.derive_private_key(int.from_bytes(secret, "big") % (_ORDER - 1) + 1, _CURVE)
    return [key.exchange(ec.ECDH(), _lift(point, place)) for place, point in enumerate(points)]


def fill_up(points: Sequence[bytes], *, to_multiple_of: int) -> list[bytes]:
    """Return the points in an order that tells nothing, filled up with meaningless ones."""
    wanted = max(1, -(-len(points) // to_multiple_of)) * to_multiple_of
    meaningless = (_point_of("", secrets.token_bytes(32)) for _ in range(wanted - len(points)))
    return sorted([*points, *meaningless])


def _point_of(text: str, key: bytes) -> bytes:
    """Try one value after the other until one is a coordinate: every other value is."""
    for attempt in range(256):
        x = hmac.new(key, attempt.to_bytes(1, "big") + text.encode(), sha256).digest()
        try:
            _lift(x, 0)
        except NotAPoint:
            continue
        return x
    raise NotAPoint(place=0)  # once in 2^256 texts


def _lift(x: bytes, place: int) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, _EVEN + x)
    except ValueError as error:
        raise NotAPoint(place=place) from error
