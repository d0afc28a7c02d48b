"""The key facts of an event: what the feed keeps of its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST_LIST, _LONGEST_TEXT = 10, 300


def key_facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without its bulk: amounts and plain values whole, short lists of words, long ones counted.

    What stands in an inner object comes out under both names: terms.limit is `terms_limit`.
    """
    facts: dict[str, Any] = {}
    for name, value in body.items():
        if isinstance(value, dict) and not _is_amount(value):
            inner = {f"{name}_{key}": each for key, each in value.items() if not isinstance(each, dict | list)}
            facts |= inner | {f"{name}_{key}": each for key, each in value.items() if _is_amount(each)}
        elif isinstance(value, list) and not (len(value) <= _LONGEST_LIST and all(isinstance(v, str) for v in value)):
            facts[name] = len(value)
        elif isinstance(value, str):
            facts[name] = value[:_LONGEST_TEXT]
        elif value is not None:
            facts[name] = value
    return facts


def _is_amount(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"amount", "currency"}
