"""Onboarding's own tables; numbered, because migrations quote them."""

from __future__ import annotations

ONBOARDING_1: tuple[str, ...] = (
    """CREATE TABLE identity (
        identity_id text PRIMARY KEY, name text NOT NULL, client_id text NOT NULL UNIQUE, secret_hash text NOT NULL,
        roles text[] NOT NULL, party text, created_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    """CREATE TABLE enterprise (
        enterprise_id text PRIMARY KEY, name text NOT NULL, country text NOT NULL, group_head_id text NOT NULL,
        size_class text NOT NULL, industry text NOT NULL, account text NOT NULL,
        state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')))""",
    """CREATE TABLE legal_identifier (
        scheme text NOT NULL, identifier text NOT NULL, enterprise_id text NOT NULL REFERENCES enterprise,
        PRIMARY KEY (scheme, identifier))""",
    "CREATE INDEX legal_identifier_of ON legal_identifier (enterprise_id)",
    """CREATE TABLE link (
        link_id text PRIMARY KEY, supplier_id text NOT NULL REFERENCES enterprise,
        buyer_id text NOT NULL REFERENCES enterprise, traded_minor bigint NOT NULL CHECK (traded_minor >= 0),
        currency text NOT NULL, contract text NOT NULL,
        UNIQUE (supplier_id, buyer_id, currency), CHECK (supplier_id <> buyer_id))""",
    """CREATE TABLE programme (
        programme_id text PRIMARY KEY, name text NOT NULL, anchor_id text NOT NULL REFERENCES enterprise,
        terms jsonb NOT NULL,
        state text NOT NULL CHECK (state IN ('pending_approval', 'active', 'suspended', 'closed', 'declined')))""",
    """CREATE TABLE member (
        programme_id text NOT NULL REFERENCES programme, enterprise_id text NOT NULL REFERENCES enterprise,
        direction text NOT NULL CHECK (direction IN ('upstream', 'downstream')), anchor_support text NOT NULL,
        PRIMARY KEY (programme_id, enterprise_id))""",
    """CREATE TABLE line_agreement (
        programme_id text NOT NULL REFERENCES programme, enterprise_id text NOT NULL REFERENCES enterprise,
        signed_date date NOT NULL, expiry_date date NOT NULL, committed_minor bigint NOT NULL, currency text NOT NULL,
        PRIMARY KEY (programme_id, enterprise_id))""",
    """CREATE TABLE limit_increase (
        increase_id text PRIMARY KEY, programme_id text NOT NULL REFERENCES programme, limit_minor bigint NOT NULL,
        upstream_minor bigint NOT NULL, downstream_minor bigint NOT NULL, valid_from date NOT NULL,
        valid_until date NOT NULL)""",
    "CREATE INDEX limit_increase_of ON limit_increase (programme_id, valid_from)",
)
