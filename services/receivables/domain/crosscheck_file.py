"""The files that two banks exchange to compare claims blindly; docs/register.md describes them.

JSON Lines: a header, then a point a line. The header's MAC under the banks' shared key says that the file is whole and
comes from one that has the key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar, Literal

from services.receivables.domain.blinding import POINT_BYTES

FORM = "tributary-crosscheck-1"
_SHORTEST_KEY = 32
_LONGEST_HEADER = 4096


class UnreadableCrosscheck(ValueError):
    """The file is not one of this exchange, not whole, or not of one that has the shared key."""

    code: ClassVar[str] = "unreadable_crosscheck"

    def __init__(self, *, why: str) -> None:
        """Keep what is wrong with it."""
        self.why = why
        super().__init__(f"The file cannot be compared: {why}.")


class CrosscheckNotSetUp(RuntimeError):
    """The secrets of blind checks are not set, or too short to keep anything."""

    code: ClassVar[str] = "crosscheck_not_set_up"

    def __init__(self) -> None:
        """Say which."""
        super().__init__(
            "Blind checks need TRIBUTARY_CROSSCHECK_KEY (shared with the other banks) and TRIBUTARY_CROSSCHECK_SECRET "
            f"(this bank's own, another one), each of at least {_SHORTEST_KEY} characters."
        )


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """This bank's name and secrets for blind checks."""

    institution: str
    shared: bytes
    own: bytes

    @classmethod
    def of(cls, *, institution: str, shared: str, own: str) -> Keys:
        """Return the keys; CrosscheckNotSetUp when they cannot keep a secret."""
        if min(len(shared), len(own)) < _SHORTEST_KEY or shared == own:
            raise CrosscheckNotSetUp
        return cls(institution, shared.encode(), own.encode())

    @property
    def key_id(self) -> str:
        """Return a name of the shared key that does not tell it: both sides see whether they have the same one."""
        return hmac.new(self.shared, b"key id", sha256).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself; of an answer, `request` is the digest of the points that it answers.

    `asked` points come first in an answer: the request's own, in the request's order, multiplied again.
    """

    part: Literal["request", "answer"]
    crosscheck_id: str
    institution: str
    issued_from: str
    issued_to: str
    key_id: str
    points: int
    asked: int
    request: str
    digest: str = ""
    form: str = FORM


def digest_of(points: Sequence[bytes]) -> str:
    """Return the digest that names a list of points."""
    return sha256(b"".join(points)).hexdigest()


def write_file(header: Header, points: Sequence[bytes], *, keys: Keys) -> bytes:
    """Return a file as it is handed over."""
    said = asdict(replace(header, points=len(points), digest=digest_of(points)))
    lines = [json.dumps({**said, "mac": _mac(said, keys)}, ensure_ascii=False, sort_keys=True).encode()]
    lines += [base64.urlsafe_b64encode(point) for point in points]
    return b"\n".join(lines) + b"\n"


def read_file(data: bytes, *, part: Literal["request", "answer"], keys: Keys) -> tuple[Header, list[bytes]]:
    """Return what another bank sent; UnreadableCrosscheck for whatever is not such a file, whole and of the key."""
    first, _, rest = data.partition(b"\n")
    header = _header(first, part=part, keys=keys)
    lines = rest.split()
    if len(lines) != header.points or len(set(lines)) != len(lines):
        raise UnreadableCrosscheck(why=f"it does not hold {header.points} different points")
    try:
        points = [base64.b64decode(line, altchars=b"-_", validate=True) for line in lines]
    except (binascii.Error, ValueError) as error:
        raise UnreadableCrosscheck(why="a line is not base64") from error
    if any(len(point) != POINT_BYTES for point in points) or digest_of(points) != header.digest:
        raise UnreadableCrosscheck(why="its points are not those that its header names")
    return header, points


def _header(line: bytes, *, part: str, keys: Keys) -> Header:
    try:
        said: dict[str, Any] = json.loads(line[:_LONGEST_HEADER])
        mac = str(said.pop("mac"))
        header = Header(**said)
        numbers = [said.pop(name) for name in ("points", "asked")]
        is_typed = all(type(each) is int and each >= 0 for each in numbers)
        is_typed = is_typed and all(isinstance(each, str) for each in said.values())
        said |= dict(zip(("points", "asked"), numbers, strict=True))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise UnreadableCrosscheck(why="it does not begin with a header") from error
    if (header.form, header.part) != (FORM, part) or not is_typed:
        raise UnreadableCrosscheck(why=f"it is not a {part} of the form {FORM}")
    if header.key_id != keys.key_id:
        raise UnreadableCrosscheck(why="it was made with another shared key")
    if not hmac.compare_digest(mac.encode(), _mac(said, keys).encode()):
        raise UnreadableCrosscheck(why="its header was changed")
    return header


def _mac(said: dict[str, Any], keys: Keys) -> str:
    body = json.dumps(said, ensure_ascii=False, sort_keys=True).encode()
    return hmac.new(keys.shared, b"header|" + body, sha256).hexdigest()
