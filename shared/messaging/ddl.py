"""The protocol's own tables, the same in every service; numbered, because migrations quote them."""

from __future__ import annotations

MESSAGING_1: tuple[str, ...] = (
    """CREATE TABLE outbox_head (
        topic text NOT NULL, subject text NOT NULL, sequence bigint NOT NULL,
        archived bigint NOT NULL DEFAULT 0, archive_digest text NOT NULL DEFAULT '',
        PRIMARY KEY (topic, subject)) WITH (fillfactor = 70)""",
    """CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        id text NOT NULL, topic text NOT NULL, subject text NOT NULL, sequence bigint NOT NULL, type text NOT NULL,
        source text NOT NULL, traceparent text, time timestamptz NOT NULL DEFAULT clock_timestamp(),
        body text NOT NULL CHECK (octet_length(body) < 900000),
        UNIQUE (topic, subject, sequence))""",
    """CREATE TABLE outbox_archive (
        position bigint PRIMARY KEY,
        id text NOT NULL, topic text NOT NULL, subject text NOT NULL, sequence bigint NOT NULL, type text NOT NULL,
        source text NOT NULL, traceparent text, time timestamptz NOT NULL, body text NOT NULL,
        UNIQUE (topic, subject, sequence))""",
    """CREATE VIEW outbox_kept AS
        SELECT position, id, topic, subject, sequence, type, source, traceparent, time, body FROM outbox UNION ALL
        SELECT position, id, topic, subject, sequence, type, source, traceparent, time, body FROM outbox_archive""",
    "CREATE TABLE outbox_pending (shard text NOT NULL, position bigint NOT NULL, PRIMARY KEY (shard, position))",
    """CREATE TABLE lease (
        name text PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL, expires_at timestamptz NOT NULL)""",
    """CREATE TABLE relay_ack (
        shard text PRIMARY KEY, cluster_id text NOT NULL, record_offset bigint NOT NULL, event_id text NOT NULL)""",
    """CREATE TABLE inbox_head (
        topic text NOT NULL, subject text NOT NULL, sequence bigint NOT NULL, event_id text,
        PRIMARY KEY (topic, subject)) WITH (fillfactor = 70)""",
    """CREATE TABLE inbox_offset (
        topic text NOT NULL, partition int NOT NULL, next_offset bigint NOT NULL, PRIMARY KEY (topic, partition))""",
    """CREATE TABLE inbox_parked (
        parked_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic text NOT NULL, subject text NOT NULL, sequence bigint NOT NULL, event_id text NOT NULL,
        type text NOT NULL, headers json NOT NULL, body bytea NOT NULL,
        reason text NOT NULL CHECK (reason IN ('gap', 'fork', 'unknown_type', 'failed', 'waits', 'malformed')),
        waits_topic text, waits_subject text, waits_sequence bigint, error text, attempts int NOT NULL DEFAULT 0,
        replay boolean NOT NULL DEFAULT false, parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (topic, subject, sequence, event_id))""",
    "CREATE INDEX inbox_parked_waits ON inbox_parked (waits_topic, waits_subject) WHERE waits_topic IS NOT NULL",
    """CREATE TABLE inbox_decided (
        approval_id text PRIMARY KEY, parked_id bigint NOT NULL, topic text NOT NULL, subject text NOT NULL,
        sequence bigint NOT NULL, event_id text NOT NULL,
        decision text NOT NULL CHECK (decision IN ('replayed', 'discarded')), reason text NOT NULL,
        proposed_by text NOT NULL, approved_by text NOT NULL,
        decided_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    """CREATE TABLE inbox_stats (
        topic text NOT NULL, partition int NOT NULL, consumed bigint NOT NULL DEFAULT 0,
        duplicates bigint NOT NULL DEFAULT 0, PRIMARY KEY (topic, partition))""",
)
