"""Console's read models; numbered, because migrations quote them.

Each row belongs to one aggregate, and each column to one topic: so events of different aggregates may come in any
order. What says when we processed something (`feed.position`, `feed.seen_at`) is no part of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CONSOLE_1: tuple[str, ...] = (
    """CREATE TABLE feed (
        position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        event_id text NOT NULL, topic text NOT NULL, type text NOT NULL, subject text NOT NULL,
        sequence bigint NOT NULL, time timestamptz NOT NULL, facts jsonb NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (topic, subject, sequence))""",
    "CREATE INDEX feed_time ON feed (time, position)",
    "CREATE INDEX feed_subject ON feed (subject, time, position)",
    "CREATE TABLE book (book_id text PRIMARY KEY, open_date date)",
    """CREATE TABLE enterprise (
        enterprise_id text PRIMARY KEY, name text, country text, size_class text, suspended boolean)""",
    """CREATE TABLE programme_exposure (
        programme_id text PRIMARY KEY, currency text, name text, anchor_id text, state text, limit_minor bigint,
        upstream_limit_minor bigint, downstream_limit_minor bigint, pool_minor bigint, reserved_minor bigint,
        shortfall_minor bigint, held_minor bigint NOT NULL DEFAULT 0,
        utilised_minor bigint NOT NULL DEFAULT 0) WITH (fillfactor = 70)""",
    """CREATE TABLE line_exposure (
        line_id text PRIMARY KEY, programme_id text NOT NULL, enterprise_id text NOT NULL, currency text NOT NULL,
        direction text, tier int, cap_minor bigint, drawable boolean, reasons text[], blocks text[],
        held_minor bigint NOT NULL DEFAULT 0, utilised_minor bigint NOT NULL DEFAULT 0,
        place int NOT NULL GENERATED ALWAYS AS (
            CASE direction WHEN 'upstream' THEN 0 WHEN 'downstream' THEN 1000 ELSE 2000 END
            + CASE coalesce(tier, 0) WHEN 0 THEN 999 ELSE least(tier, 998) END) STORED,
        near_limit boolean NOT NULL GENERATED ALWAYS AS (
            held_minor + utilised_minor > 0
            AND held_minor + utilised_minor >= coalesce(cap_minor, 0) - coalesce(cap_minor, 0) / 10) STORED)
        WITH (fillfactor = 50)""",
    "CREATE INDEX line_exposure_place ON line_exposure (programme_id, place, line_id)",
    # Over what seldom changes, so that held and utilised may move in place.
    "CREATE INDEX line_exposure_near ON line_exposure (line_id) WHERE near_limit",
    """CREATE TABLE drawdown (
        drawdown_id text PRIMARY KEY, line_id text NOT NULL, programme_id text NOT NULL, enterprise_id text NOT NULL,
        obligor_id text NOT NULL, currency text NOT NULL, principal_minor bigint NOT NULL, state text NOT NULL,
        exposure_minor bigint NOT NULL, disbursed_minor bigint, held_minor bigint NOT NULL DEFAULT 0,
        utilised_minor bigint NOT NULL DEFAULT 0, top_up_minor bigint NOT NULL DEFAULT 0, reason text,
        incident text) WITH (fillfactor = 70)""",
    "CREATE INDEX drawdown_waiting ON drawdown (drawdown_id) WHERE state IN ('referred', 'cancelling')",
    "CREATE INDEX drawdown_top_up ON drawdown (drawdown_id) WHERE top_up_minor > 0",
    "CREATE INDEX drawdown_incident ON drawdown (drawdown_id) WHERE incident IS NOT NULL",
    "CREATE TABLE assignment (drawdown_id text PRIMARY KEY, state text, registry_reference text, reason text)",
    """CREATE TABLE loan (
        loan_id text PRIMARY KEY, currency text, state text, principal_minor bigint, paid_out_minor bigint,
        outstanding_minor bigint, end_to_end_id text, disbursed_date date, maturity_date date,
        reason text, standing jsonb, oldest_unpaid text GENERATED ALWAYS AS (
            jsonb_path_query_first(standing, '$.instalments[*] ? (@.settled_date == null).due_date') #>> '{}') STORED)
        WITH (fillfactor = 70)""",
    "CREATE INDEX loan_unknown ON loan (loan_id) WHERE state = 'unknown'",
    "CREATE INDEX loan_unpaid ON loan (oldest_unpaid, loan_id) WHERE state = 'disbursed'",
    """CREATE TABLE receivable (
        receivable_id text PRIMARY KEY, seller_id text, obligor_id text, number text, currency text,
        payable_minor bigint, financeable_minor bigint, due_date date, state text, undertaking text, reasons text[],
        reason text, document_type text, syntax text, issue_date date, order_id text, match_status text,
        match_reasons text[], lines int, matched_lines int, match_financeable boolean) WITH (fillfactor = 70)""",
    "CREATE INDEX receivable_state ON receivable (state, receivable_id)",
    """CREATE TABLE credit_note (
        credit_note_id text PRIMARY KEY, seller_id text, obligor_id text, number text, currency text,
        amount_minor bigint, left_minor bigint, issue_date date, state text, reasons text[], reason text,
        parts jsonb) WITH (fillfactor = 70)""",
    "CREATE INDEX credit_note_state ON credit_note (state, credit_note_id)",
    """CREATE TABLE collection (
        collection_id text PRIMARY KEY, account text, currency text, received_minor bigint, applied_minor bigint,
        unmatched_minor bigint, value_date date, reference text)""",
    """CREATE TABLE netting (
        netting_id text PRIMARY KEY, currency text, cleared_minor bigint, parties int, legs int, state text,
        accept_by timestamptz, posting_date date, reason text) WITH (fillfactor = 70)""",
    "CREATE INDEX netting_open ON netting (netting_id) WHERE state IN ('proposed', 'accepted')",
    "CREATE INDEX collection_unmatched ON collection (collection_id) WHERE unmatched_minor > 0",
)


@dataclass(frozen=True, slots=True)
class Model:
    """A table that keeps the last word of an aggregate, column by column."""

    table: str
    key: str
    columns: Sequence[str]


BOOK = Model("book", "book_id", ["open_date"])
ENTERPRISE = Model("enterprise", "enterprise_id", ["name", "country", "size_class", "suspended"])
PROGRAMME = Model(
    "programme_exposure",
    "programme_id",
    [
        *("currency", "name", "anchor_id", "state", "limit_minor", "upstream_limit_minor", "downstream_limit_minor"),
        *("pool_minor", "reserved_minor", "shortfall_minor"),
    ],
)
LINE = Model(
    "line_exposure",
    "line_id",
    ["programme_id", "enterprise_id", "currency", "direction", "tier", "cap_minor", "drawable", "reasons", "blocks"],
)
ASSIGNMENT = Model("assignment", "drawdown_id", ["state", "registry_reference", "reason"])
LOAN = Model(
    "loan",
    "loan_id",
    [
        *("currency", "state", "principal_minor", "paid_out_minor", "outstanding_minor", "end_to_end_id"),
        *("disbursed_date", "maturity_date", "reason", "standing"),
    ],
)
RECEIVABLE = Model(
    "receivable",
    "receivable_id",
    [
        *("seller_id", "obligor_id", "number", "currency", "payable_minor", "financeable_minor", "due_date", "state"),
        *("undertaking", "reasons", "reason", "document_type", "syntax", "issue_date", "order_id", "match_status"),
        *("match_reasons", "lines", "matched_lines", "match_financeable"),
    ],
)
CREDIT_NOTE = Model(
    "credit_note",
    "credit_note_id",
    [
        *("seller_id", "obligor_id", "number", "currency", "amount_minor", "left_minor", "issue_date", "state"),
        *("reasons", "reason", "parts"),
    ],
)
COLLECTION = Model(
    "collection",
    "collection_id",
    ["account", "currency", "received_minor", "applied_minor", "unmatched_minor", "value_date", "reference"],
)
NETTING = Model(
    "netting",
    "netting_id",
    ["currency", "cleared_minor", "parties", "legs", "state", "accept_by", "posting_date", "reason"],
)

# The state that I7 hashes: every read model by its key, without what only our own processing made.
STATE: tuple[tuple[str, str, Sequence[str]], ...] = (
    ("feed", "topic, subject, sequence", ("position", "seen_at")),
    ("drawdown", "drawdown_id", ()),
    *(
        (model.table, model.key, ())
        for model in (BOOK, ENTERPRISE, PROGRAMME, LINE, ASSIGNMENT, LOAN, RECEIVABLE, CREDIT_NOTE, COLLECTION, NETTING)
    ),
)
