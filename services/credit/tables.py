"""Credit's own tables; numbered, because migrations quote them.

enterprise … document are projections of other services' events; limit_node … overdue_loan are credit's own.
"""

from __future__ import annotations

CREDIT_1: tuple[str, ...] = (
    "CREATE TABLE book (one boolean PRIMARY KEY DEFAULT true CHECK (one), open_date date NOT NULL)",
    """CREATE TABLE enterprise (
        enterprise_id text PRIMARY KEY, name text NOT NULL, group_head_id text NOT NULL, size_class text NOT NULL,
        industry text NOT NULL, account text NOT NULL, active boolean NOT NULL DEFAULT true)""",
    """CREATE TABLE rating (
        enterprise_id text NOT NULL, currency text NOT NULL, grade text NOT NULL, cap_minor bigint NOT NULL,
        multiplier int NOT NULL, risk_spread int NOT NULL, valid_until date NOT NULL,
        PRIMARY KEY (enterprise_id, currency))""",
    """CREATE TABLE link (
        link_id text PRIMARY KEY, supplier_id text NOT NULL, buyer_id text NOT NULL, traded_minor bigint NOT NULL,
        currency text NOT NULL)""",
    # From a firm to its partners, on either side of it.
    "CREATE INDEX link_buyer ON link (buyer_id, currency)",
    "CREATE INDEX link_supplier ON link (supplier_id, currency)",
    """CREATE TABLE programme (
        programme_id text PRIMARY KEY, name text NOT NULL, anchor_id text NOT NULL, group_head_id text NOT NULL,
        currency text NOT NULL, terms jsonb NOT NULL, active boolean NOT NULL DEFAULT true,
        shortfall_minor bigint NOT NULL DEFAULT 0, pool_minor bigint NOT NULL DEFAULT 0)""",
    """CREATE TABLE agreement (
        programme_id text NOT NULL, enterprise_id text NOT NULL, expiry_date date NOT NULL,
        committed_minor bigint NOT NULL, PRIMARY KEY (programme_id, enterprise_id))""",
    """CREATE TABLE voucher (
        root_id text PRIMARY KEY, programme_id text NOT NULL, obligor_id text NOT NULL, currency text NOT NULL,
        maturity_date date NOT NULL)""",
    """CREATE TABLE document (
        document_id text PRIMARY KEY, kind text NOT NULL, owner_id text, obligor_id text, eligible_minor bigint,
        currency text, due_date date, state text NOT NULL, vouchered boolean NOT NULL DEFAULT false,
        irrevocable boolean NOT NULL DEFAULT false, confirmed_by text)""",
    "CREATE INDEX document_owner ON document (owner_id, document_id)",
    """CREATE FUNCTION document_state(d document) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE WHEN d.vouchered THEN 'vouchered' WHEN d.state IN ('confirmed', 'live') THEN 'free'
            WHEN d.state = 'registered' THEN 'not_confirmed' ELSE d.state END $$""",
    """CREATE TABLE limit_node (
        node_id text PRIMARY KEY, level smallint NOT NULL, currency text NOT NULL,
        sanctioned_minor bigint NOT NULL DEFAULT 0 CHECK (sanctioned_minor >= 0),
        held_minor bigint NOT NULL DEFAULT 0 CHECK (held_minor >= 0),
        utilised_minor bigint NOT NULL DEFAULT 0 CHECK (utilised_minor >= 0),
        version bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50)""",
    # The level of pairs, of which few have a limit: what is held and used of a node touches no index.
    "CREATE INDEX limit_node_pair ON limit_node (node_id) WHERE level = 9",
    """CREATE TABLE overuse (
        overuse_id text PRIMARY KEY, node_id text NOT NULL REFERENCES limit_node, cause text NOT NULL,
        since timestamptz NOT NULL DEFAULT clock_timestamp(), until timestamptz)""",
    "CREATE UNIQUE INDEX overuse_open ON overuse (node_id) WHERE until IS NULL",
    # A propagation writes all of a programme's lines at once: room beside each, and no index is touched.
    """CREATE TABLE line (
        line_id text PRIMARY KEY, programme_id text NOT NULL, enterprise_id text NOT NULL, direction text NOT NULL,
        anchor_support int NOT NULL, tier int, volume_minor bigint NOT NULL DEFAULT 0,
        weight bigint NOT NULL DEFAULT 0, floor_minor bigint NOT NULL DEFAULT 0,
        ceiling_minor bigint NOT NULL DEFAULT 0, reserved_minor bigint NOT NULL DEFAULT 0,
        cap_minor bigint NOT NULL DEFAULT 0, bounds jsonb NOT NULL DEFAULT '{}',
        drawable boolean NOT NULL DEFAULT false, reasons text[] NOT NULL DEFAULT '{}',
        policy_version text NOT NULL DEFAULT '', UNIQUE (programme_id, enterprise_id)) WITH (fillfactor = 50)""",
    "CREATE INDEX line_enterprise ON line (enterprise_id)",
    """CREATE TABLE quote (
        quote_id text PRIMARY KEY, line_id text NOT NULL, product text NOT NULL, documents text[] NOT NULL,
        tenor_days int, principal_minor bigint NOT NULL,
        rate int NOT NULL, penalty_rate int NOT NULL, fee_minor bigint NOT NULL, policy_version text NOT NULL,
        body text NOT NULL, valid_until timestamptz NOT NULL, plan text)""",
    # exposure is what the path carries when held or used in full (a purchase: its face); used what it carries now.
    # That a command draws once is the idempotency key's own constraint: a second index would say the same again.
    """CREATE TABLE drawdown (
        drawdown_id text PRIMARY KEY, line_id text NOT NULL, programme_id text NOT NULL, enterprise_id text NOT NULL,
        obligor_id text NOT NULL, state text NOT NULL, form text NOT NULL, currency text NOT NULL,
        principal_minor bigint NOT NULL CHECK (principal_minor > 0), face_minor bigint NOT NULL,
        exposure_minor bigint NOT NULL, disbursed_minor bigint NOT NULL DEFAULT 0,
        outstanding_minor bigint NOT NULL DEFAULT 0, used_minor bigint NOT NULL DEFAULT 0,
        fee_minor bigint NOT NULL, rate int NOT NULL, penalty_rate int NOT NULL,
        day_count text NOT NULL, start_date date NOT NULL, due_date date NOT NULL, maturity_date date NOT NULL,
        documents jsonb NOT NULL, path jsonb NOT NULL, purpose text NOT NULL, policy_version text NOT NULL,
        product text NOT NULL, product_version text NOT NULL, payment jsonb, plan jsonb,
        expires_at timestamptz, reason text, incident text, command_client text NOT NULL, command_key text NOT NULL,
        held_at timestamptz NOT NULL DEFAULT clock_timestamp()) WITH (fillfactor = 80)""",
    # What a batch of holds writes, a row a hold: the driver looks at every element of an array, at a row's not.
    """CREATE TYPE held AS (drawdown_id text, offer text, principal bigint, face bigint, fee bigint, rate int,
        penalty_rate int, due_date date, maturity_date date, documents text, purpose text, policy_version text,
        client text, key text, body_hash bytea, answer text, event_id text, event text, shard text, traceparent text,
        payment text, plan text)""",
    "CREATE INDEX drawdown_enterprise ON drawdown (enterprise_id, drawdown_id)",
    "CREATE INDEX drawdown_line ON drawdown (line_id, drawdown_id)",
    "CREATE INDEX drawdown_expiry ON drawdown (expires_at) WHERE state IN ('held', 'referred')",
    "CREATE INDEX drawdown_referred ON drawdown (drawdown_id) WHERE state = 'referred'",
    """CREATE TABLE document_use (
        document_id text PRIMARY KEY, drawdown_id text NOT NULL)""",
    "CREATE INDEX document_use_of ON document_use (drawdown_id)",
    """CREATE TABLE reinstatement (
        event_id text PRIMARY KEY, drawdown_id text NOT NULL, principal_minor bigint NOT NULL,
        exposure_minor bigint NOT NULL)""",
    "CREATE INDEX reinstatement_of ON reinstatement (drawdown_id)",
    """CREATE TABLE deficiency (
        drawdown_id text PRIMARY KEY, line_id text NOT NULL, deficiency_minor bigint NOT NULL,
        claim_minor bigint NOT NULL, top_up_minor bigint NOT NULL DEFAULT 0 CHECK (top_up_minor >= 0),
        noted_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "CREATE INDEX deficiency_line ON deficiency (line_id)",
    """CREATE TABLE overdue_loan (
        drawdown_id text PRIMARY KEY, line_id text NOT NULL, since timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "CREATE INDEX overdue_loan_line ON overdue_loan (line_id)",
    """CREATE TABLE limit_increase (
        increase_id text PRIMARY KEY, programme_id text NOT NULL, limit_minor bigint NOT NULL,
        upstream_minor bigint NOT NULL, downstream_minor bigint NOT NULL, valid_from date NOT NULL,
        valid_until date NOT NULL)""",
    "CREATE INDEX limit_increase_of ON limit_increase (programme_id, valid_until)",
    # What was repaid on the last date is told apart: it counts in the price from the day after.
    """CREATE TABLE track_record (
        enterprise_id text PRIMARY KEY, first_drawn_date date NOT NULL, repaid int NOT NULL DEFAULT 0,
        last_repaid_date date, repaid_that_day int NOT NULL DEFAULT 0)""",
    # What is open of a programme: only its closing writes here again.
    "CREATE INDEX drawdown_open ON drawdown (programme_id, drawdown_id) WHERE state = 'utilised'",
    # What a line could draw at a past instant: what changes seldom, written when it changes; uses follow from events.
    """CREATE TABLE node_history (
        node_id text NOT NULL, since timestamptz NOT NULL, sanctioned_minor bigint NOT NULL,
        PRIMARY KEY (node_id, since))""",
    """CREATE TABLE line_history (
        line_id text NOT NULL, since timestamptz NOT NULL, direction text NOT NULL, anchor_support int NOT NULL,
        tier int, volume_minor bigint NOT NULL, weight bigint NOT NULL, floor_minor bigint NOT NULL,
        ceiling_minor bigint NOT NULL, reserved_minor bigint NOT NULL, cap_minor bigint NOT NULL,
        bounds jsonb NOT NULL, drawable boolean NOT NULL, reasons text[] NOT NULL, policy_version text NOT NULL,
        PRIMARY KEY (line_id, since))""",
    """CREATE TABLE programme_history (
        programme_id text NOT NULL, since timestamptz NOT NULL, facts jsonb NOT NULL,
        PRIMARY KEY (programme_id, since))""",
    "CREATE TABLE day_history (since timestamptz PRIMARY KEY, open_date date NOT NULL)",
    # What a document carried then: a row when it became free, when what it carries changed, when it was free no more.
    """CREATE TABLE document_history (
        document_id text NOT NULL, since timestamptz NOT NULL, owner_id text NOT NULL, obligor_id text NOT NULL,
        eligible_minor bigint NOT NULL, currency text NOT NULL, due_date date NOT NULL, free boolean NOT NULL,
        PRIMARY KEY (document_id, since))""",
    "CREATE INDEX document_history_owner ON document_history (owner_id, obligor_id, document_id)",
    """CREATE TABLE enterprise_history (
        enterprise_id text NOT NULL, since timestamptz NOT NULL, name text NOT NULL,
        PRIMARY KEY (enterprise_id, since))""",
    # Events since an instant, at next to no cost for who writes them.
    "CREATE INDEX outbox_time ON outbox USING brin (time) WITH (pages_per_range = 16, autosummarize = on)",
    "CREATE INDEX enterprise_group ON enterprise (group_head_id, enterprise_id)",
    # Whoever owes sees what it owes, and a forecast counts it.
    "CREATE INDEX document_obligor ON document (obligor_id, document_id)",
    # Collateral and guarantees: line_ids is null where every line of the firm is secured; one rank an asset.
    """CREATE TABLE cover (
        cover_id text PRIMARY KEY, enterprise_id text NOT NULL, provider_id text NOT NULL, asset text NOT NULL,
        kind text NOT NULL, description text NOT NULL, currency text NOT NULL, secured_minor bigint NOT NULL,
        rank int NOT NULL, line_ids text[], valid_until date NOT NULL, state text NOT NULL DEFAULT 'proposed',
        value_minor bigint NOT NULL DEFAULT 0, prior_minor bigint NOT NULL DEFAULT 0, valued_date date, valuer text,
        registry_reference text, version int NOT NULL DEFAULT 1)""",
    "CREATE INDEX cover_enterprise ON cover (enterprise_id, cover_id)",
    "CREATE UNIQUE INDEX cover_rank ON cover (asset, rank) WHERE state = 'registered'",
    "CREATE INDEX cover_asset ON cover (asset)",
    "CREATE INDEX cover_provider ON cover (provider_id) WHERE state = 'registered' AND kind = 'guarantee'",
    """CREATE TABLE cover_history (
        cover_id text NOT NULL, since timestamptz NOT NULL, body jsonb NOT NULL, PRIMARY KEY (cover_id, since))""",
    # Draws stopped on a line, or on every line of a firm: one open block for each cause, kept when it is lifted.
    """CREATE TABLE block (
        block_id text PRIMARY KEY, scope text NOT NULL CHECK (scope IN ('line', 'firm')), subject text NOT NULL,
        reason text NOT NULL, reference text NOT NULL, note text NOT NULL, policy_version text NOT NULL,
        blocked_by text NOT NULL, blocked_at timestamptz NOT NULL DEFAULT statement_timestamp(),
        lifted_by text[], lifted_at timestamptz, lift_reason text,
        CHECK (num_nonnulls(lifted_by, lifted_at, lift_reason) IN (0, 3)))""",
    "CREATE UNIQUE INDEX block_standing ON block (subject, reason, reference) WHERE lifted_at IS NULL",
    "CREATE INDEX block_open ON block (block_id) WHERE lifted_at IS NULL",
    "CREATE INDEX block_subject ON block (subject, block_id)",
    # Programmes whose inputs moved: propagated soon, once for any number of notes.
    """CREATE TABLE due_propagation (
        note_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, programme_id text NOT NULL, cause text NOT NULL,
        traceparent text, not_before timestamptz NOT NULL DEFAULT '-infinity')""",
    """CREATE TABLE due_input (
        note_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, enterprise_id text, currency text,
        cause text NOT NULL, traceparent text, CHECK (num_nonnulls(enterprise_id, currency) = 1))""",
    "CREATE INDEX due_propagation_of ON due_propagation (programme_id, note_id)",
    # A generation of a large programme's lines (decision 0026): computed beside them, in force from its flip on, then
    # written into their rows chunk by chunk. While it is in force a line's row there stands above the line's own.
    "CREATE SEQUENCE generation_number",
    """CREATE TABLE generation (
        programme_id text PRIMARY KEY, number bigint NOT NULL DEFAULT nextval('generation_number'),
        claimed_until timestamptz NOT NULL DEFAULT '-infinity', attempts int NOT NULL DEFAULT 0,
        notes bigint[] NOT NULL DEFAULT '{}', cause text NOT NULL, traceparent text,
        pool_minor bigint, reserved_minor bigint, shortfall_minor bigint, changed_lines int, policy_version text,
        flipped_at timestamptz, phase text NOT NULL DEFAULT 'lines' CHECK (phase IN ('lines', 'quotas')),
        written_through text NOT NULL DEFAULT '', has_risen boolean NOT NULL DEFAULT false)""",
    """CREATE TABLE line_next (
        programme_id text NOT NULL, number bigint NOT NULL, line_id text NOT NULL, direction text NOT NULL,
        anchor_support int NOT NULL, tier int, volume_minor bigint NOT NULL, weight bigint NOT NULL,
        floor_minor bigint NOT NULL, ceiling_minor bigint NOT NULL, reserved_minor bigint NOT NULL,
        cap_minor bigint NOT NULL, bounds jsonb NOT NULL, drawable boolean NOT NULL, reasons text[] NOT NULL,
        policy_version text NOT NULL, PRIMARY KEY (programme_id, number, line_id))""",
    # What everybody reads who does not write: lines and nodes as they are in force.
    """CREATE VIEW line_now AS
        SELECT l.line_id, l.programme_id, l.enterprise_id, l.direction, l.anchor_support,
            CASE WHEN g.line_id IS NULL THEN l.tier ELSE g.tier END AS tier,
            coalesce(g.volume_minor, l.volume_minor) AS volume_minor, coalesce(g.weight, l.weight) AS weight,
            coalesce(g.floor_minor, l.floor_minor) AS floor_minor,
            coalesce(g.ceiling_minor, l.ceiling_minor) AS ceiling_minor,
            coalesce(g.reserved_minor, l.reserved_minor) AS reserved_minor,
            coalesce(g.cap_minor, l.cap_minor) AS cap_minor, coalesce(g.bounds, l.bounds) AS bounds,
            coalesce(g.drawable, l.drawable) AS drawable, coalesce(g.reasons, l.reasons) AS reasons,
            coalesce(g.policy_version, l.policy_version) AS policy_version, g.cap_minor AS next_cap_minor
        FROM line l LEFT JOIN LATERAL (
            SELECT x.* FROM generation v CROSS JOIN LATERAL (
                SELECT * FROM line_next n WHERE (n.programme_id, n.number, n.line_id)
                    = (v.programme_id, v.number, l.line_id) LIMIT 1) AS x
            WHERE v.programme_id = l.programme_id AND v.flipped_at IS NOT NULL LIMIT 1) AS g ON true""",
    """CREATE VIEW limit_node_now AS
        SELECT n.node_id, n.level, n.currency, coalesce((
                SELECT x.cap_minor FROM generation v CROSS JOIN LATERAL (
                    SELECT cap_minor FROM line_next g WHERE (g.programme_id, g.number, g.line_id)
                        = (v.programme_id, v.number, substr(n.node_id, 6)) LIMIT 1) AS x
                WHERE v.flipped_at IS NOT NULL AND starts_with(n.node_id, 'line/') LIMIT 1),
            n.sanctioned_minor) AS sanctioned_minor, n.held_minor, n.utilised_minor, n.version
        FROM limit_node n""",
    # The past too: what was flipped and is not written yet was in force since the flip. Functions, for a view's union
    # would not look a line up by its key.
    """CREATE FUNCTION line_past(line text, instant timestamptz) RETURNS TABLE (
        line_id text, since timestamptz, direction text, anchor_support int, tier int, volume_minor bigint,
        weight bigint, floor_minor bigint, ceiling_minor bigint, reserved_minor bigint, cap_minor bigint,
        bounds jsonb, drawable boolean, reasons text[], policy_version text)
        LANGUAGE sql STABLE AS $$
        (SELECT h.line_id, h.since, h.direction, h.anchor_support, h.tier, h.volume_minor, h.weight, h.floor_minor,
            h.ceiling_minor, h.reserved_minor, h.cap_minor, h.bounds, h.drawable, h.reasons, h.policy_version
            FROM line_history h WHERE h.line_id = line AND h.since <= instant ORDER BY h.since DESC LIMIT 1)
        UNION ALL SELECT g.line_id, v.flipped_at, g.direction, g.anchor_support, g.tier, g.volume_minor, g.weight,
            g.floor_minor, g.ceiling_minor, g.reserved_minor, g.cap_minor, g.bounds, g.drawable, g.reasons,
            g.policy_version
            FROM generation v CROSS JOIN LATERAL (SELECT * FROM line_next n
                WHERE (n.programme_id, n.number, n.line_id) = (v.programme_id, v.number, line) LIMIT 1) AS g
            WHERE v.flipped_at <= instant
        ORDER BY since DESC LIMIT 1 $$""",
    """CREATE FUNCTION node_past(node text, instant timestamptz)
        RETURNS TABLE (since timestamptz, sanctioned_minor bigint)
        LANGUAGE sql STABLE AS $$
        (SELECT h.since, h.sanctioned_minor FROM node_history h
            WHERE h.node_id = node AND h.since <= instant ORDER BY h.since DESC LIMIT 1)
        UNION ALL SELECT v.flipped_at, g.cap_minor
            FROM generation v CROSS JOIN LATERAL (SELECT n.cap_minor FROM line_next n
                WHERE (n.programme_id, n.number, n.line_id) = (v.programme_id, v.number, substr(node, 6)) LIMIT 1) AS g
            WHERE v.flipped_at <= instant AND starts_with(node, 'line/')
        ORDER BY since DESC LIMIT 1 $$""",
)
