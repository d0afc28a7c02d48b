"""Dated policies: versioned data files, never constants in code; a decision names the version it used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

POLICIES = Path(__file__).resolve().parents[2] / "policies"


class NoPolicy(LookupError):
    """No version of a policy is in force on a date."""

    code: ClassVar[str] = "no_policy"

    def __init__(self, *, name: str, on: date) -> None:
        """Keep the policy's name and the date asked for."""
        self.name = name
        self.on = on
        super().__init__(f"No version of the policy {name} is in force on {on}.")


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of a policy: what its file says, from a date on."""

    name: str
    version: str
    valid_from: date
    values: dict[str, Any]


@lru_cache(maxsize=64)
def policy_versions(name: str) -> tuple[Policy, ...]:
    """Return the versions that `policies/<name>/*.json` hold, oldest first."""
    found = [_read(name, path) for path in sorted((POLICIES / name).glob("*.json"))]
    return tuple(sorted(found, key=lambda policy: policy.valid_from))


def policy_on(name: str, *, on: date) -> Policy:
    """Return the version in force on a date; NoPolicy before the first."""
    for policy in reversed(policy_versions(name)):
        if policy.valid_from <= on:
            return policy
    raise NoPolicy(name=name, on=on)


def _read(name: str, path: Path) -> Policy:
    document = json.loads(path.read_text(encoding="utf-8"))
    valid_from = date.fromisoformat(document["valid_from"])
    return Policy(name=name, version=f"{name}/{path.stem}", valid_from=valid_from, values=document["values"])
