"""Risk's own tables; numbered, because migrations quote them."""

from __future__ import annotations

RISK_1: tuple[str, ...] = (
    """CREATE TABLE rating (
        rating_id text PRIMARY KEY, enterprise_id text NOT NULL, currency text NOT NULL, cap_minor bigint NOT NULL,
        grade text NOT NULL, multiplier text NOT NULL, risk_spread text NOT NULL, reasons text[] NOT NULL,
        valid_until date NOT NULL, recorded_by text NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "CREATE INDEX rating_of ON rating (enterprise_id, rating_id)",
)
