"""Receivables' own tables; numbered, because migrations quote them.

book … programme are projections of other services' events; receivable … assignment are receivables' own.
"""

from __future__ import annotations

RECEIVABLES_1: tuple[str, ...] = (
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    "CREATE TABLE book (one boolean PRIMARY KEY DEFAULT true CHECK (one), open_date date NOT NULL)",
    "CREATE TABLE enterprise (enterprise_id text PRIMARY KEY, name text NOT NULL, name_key text NOT NULL)",
    "CREATE INDEX enterprise_name ON enterprise (name_key)",
    """CREATE TABLE party_identifier (
        identifier_key text NOT NULL, enterprise_id text NOT NULL REFERENCES enterprise,
        PRIMARY KEY (identifier_key, enterprise_id))""",
    """CREATE TABLE programme (
        programme_id text PRIMARY KEY, anchor_id text NOT NULL, currency text NOT NULL,
        issuance_limit_minor bigint NOT NULL, collection_account text NOT NULL, matching_policy text NOT NULL,
        active boolean NOT NULL DEFAULT true)""",
    "CREATE INDEX programme_anchor ON programme (anchor_id, programme_id)",
    # What was sent, by its content: the same bytes are kept once, whoever sends them.
    """CREATE TABLE original (
        sha256 text PRIMARY KEY, media_type text NOT NULL, content bytea NOT NULL,
        kept_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    """CREATE TABLE receivable (
        receivable_id text PRIMARY KEY, seller_id text NOT NULL REFERENCES enterprise,
        obligor_id text NOT NULL REFERENCES enterprise, number text NOT NULL, number_key text NOT NULL,
        issue_year int NOT NULL, document_type text NOT NULL, syntax text NOT NULL, profile text NOT NULL,
        file text NOT NULL, issue_date date NOT NULL, due_date date NOT NULL, currency text NOT NULL,
        payable_minor bigint NOT NULL CHECK (payable_minor > 0),
        financeable_minor bigint NOT NULL CHECK (financeable_minor BETWEEN 0 AND payable_minor),
        order_reference text NOT NULL, state text NOT NULL CHECK (state IN
            ('validated', 'referred', 'confirmed', 'assigned', 'financed', 'settled', 'rejected')),
        reasons text[] NOT NULL,
        undertaking text NOT NULL DEFAULT 'none' CHECK (undertaking IN ('none', 'irrevocable')),
        vouchered boolean NOT NULL DEFAULT false, guards boolean NOT NULL DEFAULT true, drawdown_id text,
        acknowledged boolean NOT NULL DEFAULT false, disputed boolean NOT NULL DEFAULT false,
        policy_version text NOT NULL, registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        original_sha256 text REFERENCES original DEFERRABLE INITIALLY DEFERRED,
        rules text[] NOT NULL DEFAULT '{}', findings jsonb NOT NULL DEFAULT '[]',
        CHECK (seller_id <> obligor_id), CHECK (guards OR state IN ('referred', 'rejected')),
        CHECK (drawdown_id IS NULL OR NOT vouchered),
        CHECK ((drawdown_id IS NOT NULL) = (state IN ('assigned', 'financed')) OR state = 'settled'))""",
    # R8: one claim per seller, number and year, whatever obligor, type, syntax or channel; a second one to another
    # obligor may only wait for a person (it does not guard), once per obligor.
    """CREATE UNIQUE INDEX receivable_claim ON receivable (seller_id, number_key, issue_year)
        WHERE guards AND state <> 'rejected'""",
    """CREATE UNIQUE INDEX receivable_waiting ON receivable (seller_id, number_key, issue_year, obligor_id)
        WHERE state <> 'rejected'""",
    "CREATE INDEX receivable_number ON receivable (seller_id, number_key)",
    "CREATE INDEX receivable_of_seller ON receivable (seller_id, receivable_id)",
    "CREATE INDEX receivable_of_obligor ON receivable (obligor_id, receivable_id)",
    "CREATE INDEX receivable_of_drawdown ON receivable (drawdown_id) WHERE drawdown_id IS NOT NULL",
    # An archive of many, taken in by the worker; who holds it does until `held_until`.
    """CREATE TABLE upload (
        upload_id text PRIMARY KEY, original_sha256 text NOT NULL REFERENCES original, file text NOT NULL,
        party text, actor text NOT NULL, state text NOT NULL DEFAULT 'waiting' CHECK (state IN
            ('waiting', 'working', 'done', 'refused')),
        total int CHECK (total >= 0), done int NOT NULL DEFAULT 0 CHECK (done BETWEEN 0 AND coalesce(total, 0)),
        code text, message text, held_until timestamptz,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp(), ended_at timestamptz)""",
    "CREATE INDEX upload_open ON upload (upload_id) WHERE state IN ('waiting', 'working')",
    """CREATE TABLE upload_item (
        upload_id text NOT NULL REFERENCES upload, nth int NOT NULL, file text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('accepted', 'referred', 'duplicate', 'refused')),
        receivable_id text REFERENCES receivable, code text, message text, findings jsonb NOT NULL DEFAULT '[]',
        PRIMARY KEY (upload_id, nth))""",
    # Who of seller and obligor said that the debt exists; both make it one that can be netted.
    """CREATE TABLE acknowledgement (
        receivable_id text NOT NULL REFERENCES receivable, enterprise_id text NOT NULL REFERENCES enterprise,
        person text NOT NULL, acknowledged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (receivable_id, enterprise_id))""",
    # What became of each netting that every party accepted: answered once.
    """CREATE TABLE set_off (
        netting_id text PRIMARY KEY, refused boolean NOT NULL, receivable_id text, code text,
        answered_at timestamptz NOT NULL DEFAULT clock_timestamp(), CHECK (refused = (code IS NOT NULL)))""",
    """CREATE TABLE dilution (
        receivable_id text NOT NULL REFERENCES receivable, reference text NOT NULL,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0), reason text NOT NULL, actor text NOT NULL,
        diluted_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (receivable_id, reference))""",
    """CREATE TABLE voucher (
        root_id text PRIMARY KEY, programme_id text NOT NULL REFERENCES programme,
        obligor_id text NOT NULL REFERENCES enterprise, receivable_id text NOT NULL UNIQUE REFERENCES receivable,
        currency text NOT NULL, face_minor bigint NOT NULL CHECK (face_minor > 0), maturity_date date NOT NULL,
        issued_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "CREATE INDEX voucher_of_programme ON voucher (programme_id)",
    "CREATE INDEX voucher_of_obligor ON voucher (obligor_id, root_id)",
    # R13: no two slices of a root that count may overlap, whoever writes them.
    """CREATE TABLE slice (
        slice_id text PRIMARY KEY, root_id text NOT NULL REFERENCES voucher, start_minor bigint NOT NULL,
        end_minor bigint NOT NULL, holder_id text NOT NULL REFERENCES enterprise, drawdown_id text,
        state text NOT NULL CHECK (state IN
            ('live', 'offered', 'replaced', 'assigned', 'financed', 'paid', 'cancelled')),
        CHECK (0 <= start_minor AND start_minor < end_minor),
        CHECK ((drawdown_id IS NOT NULL) = (state IN ('assigned', 'financed')) OR state = 'paid'),
        CONSTRAINT slice_overlap EXCLUDE USING gist
            (root_id WITH =, int8range(start_minor, end_minor) WITH &&) WHERE (state <> 'replaced'))""",
    "CREATE INDEX slice_of_root ON slice (root_id, start_minor)",
    "CREATE INDEX slice_of_holder ON slice (holder_id, root_id)",
    "CREATE INDEX slice_of_drawdown ON slice (drawdown_id) WHERE drawdown_id IS NOT NULL",
    """CREATE TABLE transfer (
        transfer_id text PRIMARY KEY, root_id text NOT NULL REFERENCES voucher, slice_id text NOT NULL REFERENCES slice,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0), transferor_id text NOT NULL,
        transferee_id text NOT NULL REFERENCES enterprise, trade_reference text NOT NULL,
        state text NOT NULL CHECK (state IN ('offered', 'accepted', 'declined')),
        offered_at timestamptz NOT NULL DEFAULT clock_timestamp(), CHECK (transferor_id <> transferee_id))""",
    "CREATE UNIQUE INDEX transfer_open ON transfer (slice_id) WHERE state = 'offered'",
    "CREATE INDEX transfer_to ON transfer (transferee_id, transfer_id)",
    "CREATE INDEX transfer_from ON transfer (transferor_id, transfer_id)",
    """CREATE TABLE assignment (
        drawdown_id text PRIMARY KEY, programme_id text NOT NULL, enterprise_id text NOT NULL,
        obligor_id text NOT NULL, state text NOT NULL CHECK (state IN
            ('assigned', 'refused', 'nothing', 'withdrawn', 'freed', 'financed', 'settled')),
        documents jsonb NOT NULL, code text, reason text, registry_reference text, registered_at timestamptz,
        CHECK ((registry_reference IS NULL) = (state IN ('refused', 'nothing'))))""",
    """CREATE TABLE notice (
        notice_id text PRIMARY KEY, drawdown_id text NOT NULL REFERENCES assignment, obligor_id text NOT NULL,
        body text NOT NULL, digest text NOT NULL, notified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (drawdown_id, obligor_id))""",
    "CREATE INDEX notice_of ON notice (obligor_id, notice_id)",
)

# Orders, what was invoiced of them, and what was delivered. Of one pair of firms a number is one order.
ORDERS_1: tuple[str, ...] = (
    """CREATE TABLE trade_order (
        order_id text PRIMARY KEY, seller_id text NOT NULL REFERENCES enterprise,
        buyer_id text NOT NULL REFERENCES enterprise, side text NOT NULL CHECK (side IN ('purchase', 'sale')),
        number text NOT NULL, number_key text NOT NULL, syntax text NOT NULL, issue_date date NOT NULL,
        delivery_date date, due_date date NOT NULL, currency text NOT NULL,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        open_minor bigint NOT NULL CHECK (open_minor BETWEEN 0 AND amount_minor), lines jsonb NOT NULL,
        state text NOT NULL DEFAULT 'registered' CHECK (state IN
            ('registered', 'confirmed', 'assigned', 'financed', 'settled', 'rejected')),
        drawdown_id text, original_sha256 text REFERENCES original DEFERRABLE INITIALLY DEFERRED,
        registered_at timestamptz NOT NULL DEFAULT clock_timestamp(), CHECK (seller_id <> buyer_id),
        CHECK ((drawdown_id IS NOT NULL) = (state IN ('assigned', 'financed')) OR state = 'settled'))""",
    """CREATE UNIQUE INDEX trade_order_claim ON trade_order (buyer_id, seller_id, number_key)
        WHERE state <> 'rejected'""",
    "CREATE INDEX trade_order_seller ON trade_order (seller_id, order_id)",
    "CREATE INDEX trade_order_buyer ON trade_order (buyer_id, order_id)",
    "CREATE INDEX trade_order_drawdown ON trade_order (drawdown_id) WHERE drawdown_id IS NOT NULL",
    """CREATE TABLE order_invoice (
        receivable_id text PRIMARY KEY REFERENCES receivable, order_id text NOT NULL REFERENCES trade_order,
        amount_minor bigint NOT NULL, invoiced_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "CREATE INDEX order_invoice_order ON order_invoice (order_id, receivable_id)",
    """CREATE TABLE order_reduction (
        order_id text NOT NULL REFERENCES trade_order, reference text NOT NULL,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0), reason text NOT NULL, actor text NOT NULL,
        reduced_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (order_id, reference))""",
    # What the seller says that it despatched, and the buyer that it received, of an order.
    """CREATE TABLE delivery (
        delivery_id text PRIMARY KEY, order_id text NOT NULL REFERENCES trade_order,
        kind text NOT NULL CHECK (kind IN ('despatch', 'receipt')), number text NOT NULL, number_key text NOT NULL,
        syntax text NOT NULL, issue_date date NOT NULL, lines jsonb NOT NULL,
        original_sha256 text REFERENCES original DEFERRABLE INITIALLY DEFERRED,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(), UNIQUE (order_id, kind, number_key))""",
    # Invoices that cite an order by its number, whether we know it or not yet, and how they stand to it.
    """CREATE TABLE citation (
        receivable_id text PRIMARY KEY REFERENCES receivable, buyer_id text NOT NULL, seller_id text NOT NULL,
        number_key text NOT NULL, lines jsonb NOT NULL,
        status text CHECK (status IN ('matched', 'partial', 'unmatched')), reasons text[] NOT NULL DEFAULT '{}',
        line_matches jsonb NOT NULL DEFAULT '[]', is_financeable boolean NOT NULL DEFAULT true, policy_version text,
        matched_at timestamptz, CHECK ((status IS NULL) = (policy_version IS NULL)))""",
    "CREATE INDEX citation_order ON citation (buyer_id, seller_id, number_key, receivable_id)",
)
