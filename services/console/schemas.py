"""The HTTP shapes of console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.values.money import Amount

Row = Mapping[str, Any]


def event_out(row: Row, *, summary: str) -> dict[str, Any]:
    """Return an event of the feed; `seen_at` is when console kept it."""
    plain = ("event_id", "type", "topic", "subject", "sequence")
    return {
        "position": str(row["position"]),
        **{name: row[name] for name in plain},
        "time": row["time"].isoformat(),
        "seen_at": row["seen_at"].isoformat(),
        "enterprise_id": row["who_id"],
        "enterprise_name": row["who"],
        "summary": summary,
        "facts": row["facts"],
    }


def programme_out(row: Row) -> dict[str, Any]:
    """Return a programme's exposure."""
    return {
        "programme_id": row["programme_id"],
        "name": row["name"],
        "anchor_id": row["anchor_id"],
        "anchor_name": row["anchor_name"],
        "currency": row["currency"],
        "state": row["state"],
        **_amounts(row, "limit", "pool", "reserved", "held", "utilised", "available", "shortfall"),
        "lines": row["lines"],
    }


def line_out(row: Row) -> dict[str, Any]:
    """Return a line's exposure."""
    plain = ("line_id", "programme_id", "enterprise_id", "enterprise_name", "direction", "tier", "currency")
    return {
        **{name: row[name] for name in plain},
        **_amounts(row, "cap", "held", "utilised", "available", "shortfall"),
        "drawable": bool(row["drawable"]),
        "reasons": row["reasons"] or [],
    }


def total_out(row: Row) -> dict[str, Any]:
    """Return the whole book's exposure in a currency."""
    return {"currency": row["currency"], **_amounts(row, "limit", "reserved", "held", "utilised", "available")}


def _amounts(row: Row, *names: str) -> dict[str, Any]:
    currency = row["currency"]
    return {
        name: Amount.of(amount_minor=row[f"{name}_minor"] or 0, currency=currency).model_dump() if currency else None
        for name in names
    }
