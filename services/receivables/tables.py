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
        identifier_key text NOT NULL, enterprise_id text NOT NULL REFERENCES enterprise, scheme text NOT NULL,
        PRIMARY KEY (identifier_key, enterprise_id))""",
    "CREATE INDEX party_identifier_of ON party_identifier (enterprise_id)",
    """CREATE TABLE programme (
        programme_id text PRIMARY KEY, anchor_id text NOT NULL, currency text NOT NULL,
        issuance_limit_minor bigint NOT NULL, collection_account text NOT NULL, matching_policy text NOT NULL,
        active boolean NOT NULL DEFAULT true)""",
    "CREATE INDEX programme_anchor ON programme (anchor_id, programme_id)",
    # What was sent, by its content: the same bytes are kept once, whoever sends them. A file of many rows is kept in
    # parts as they come, under a name that it has before its hash is known.
    """CREATE TABLE original (
        sha256 text PRIMARY KEY, media_type text NOT NULL, content bytea, parts_id text UNIQUE,
        kept_at timestamptz NOT NULL DEFAULT clock_timestamp(), CHECK ((content IS NULL) = (parts_id IS NOT NULL)))""",
    """CREATE TABLE original_part (
        parts_id text NOT NULL, nth int NOT NULL, content bytea STORAGE EXTERNAL NOT NULL,
        PRIMARY KEY (parts_id, nth))""",
    # No foreign key to the firms: intake has just looked them up, none is ever deleted, and looking them up again is a
    # third of what storing a row costs.
    """CREATE TABLE receivable (
        receivable_id text PRIMARY KEY, seller_id text NOT NULL, obligor_id text NOT NULL, number text NOT NULL,
        number_key text NOT NULL, issue_year int NOT NULL, document_type text NOT NULL, syntax text NOT NULL,
        profile text NOT NULL, file text NOT NULL, issue_date date NOT NULL, due_date date NOT NULL,
        currency text NOT NULL, payable_minor bigint NOT NULL CHECK (payable_minor > 0),
        financeable_minor bigint NOT NULL CHECK (financeable_minor BETWEEN 0 AND payable_minor),
        paid_minor bigint NOT NULL DEFAULT 0 CHECK (paid_minor >= 0),
        order_reference text NOT NULL, state text NOT NULL CHECK (state IN
            ('validated', 'referred', 'confirmed', 'assigned', 'financed', 'settled', 'rejected', 'cancelled')),
        reasons text[] NOT NULL,
        undertaking text NOT NULL DEFAULT 'none' CHECK (undertaking IN ('none', 'irrevocable')),
        vouchered boolean NOT NULL DEFAULT false, guards boolean NOT NULL DEFAULT true, drawdown_id text,
        acknowledged boolean NOT NULL DEFAULT false, disputed boolean NOT NULL DEFAULT false,
        policy_version text NOT NULL, registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        original_sha256 text REFERENCES original DEFERRABLE INITIALLY DEFERRED,
        rules text[] NOT NULL DEFAULT '{}', findings jsonb NOT NULL DEFAULT '[]',
        CHECK (seller_id <> obligor_id), CHECK (guards OR state IN ('referred', 'rejected', 'cancelled')),
        CHECK (drawdown_id IS NULL OR NOT vouchered),
        CHECK ((drawdown_id IS NOT NULL) = (state IN ('assigned', 'financed')) OR state = 'settled'))""",
    # R8: one claim per seller, number and year, whatever obligor, type, syntax or channel; a second one to another
    # obligor may only wait for a person (it does not guard), once per obligor.
    """CREATE UNIQUE INDEX receivable_claim ON receivable (seller_id, number_key, issue_year)
        WHERE guards AND state <> 'rejected'""",
    """CREATE UNIQUE INDEX receivable_waiting ON receivable (seller_id, number_key, issue_year, obligor_id)
        WHERE state <> 'rejected'""",
    "CREATE INDEX receivable_amount ON receivable (seller_id, currency, payable_minor, issue_date)",
    "CREATE INDEX receivable_of_seller ON receivable (seller_id, receivable_id)",
    "CREATE INDEX receivable_of_obligor ON receivable (obligor_id, receivable_id)",
    "CREATE INDEX receivable_of_drawdown ON receivable (drawdown_id) WHERE drawdown_id IS NOT NULL",
    # An archive or a table of many, taken in by the worker; who receives or holds it does until `held_until`.
    """CREATE TABLE upload (
        upload_id text PRIMARY KEY, original_sha256 text REFERENCES original, file text NOT NULL,
        party text, actor text NOT NULL, state text NOT NULL DEFAULT 'waiting' CHECK (state IN
            ('receiving', 'waiting', 'working', 'done', 'refused')),
        total int CHECK (total >= 0), done int NOT NULL DEFAULT 0 CHECK (done BETWEEN 0 AND coalesce(total, 0)),
        accepted int NOT NULL DEFAULT 0, referred int NOT NULL DEFAULT 0, duplicate int NOT NULL DEFAULT 0,
        refused int NOT NULL DEFAULT 0, code text, message text, held_until timestamptz,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp(), ended_at timestamptz,
        CHECK (accepted + referred + duplicate + refused = done),
        CHECK (original_sha256 IS NOT NULL OR state IN ('receiving', 'refused')))""",
    "CREATE INDEX upload_open ON upload (upload_id) WHERE state IN ('receiving', 'waiting', 'working')",
    # The answer to each document, in its place; a row of a table has no file of its own. No foreign key to what was
    # taken: both are written in one transaction, and looking it up again costs a million rows a fifth of a minute.
    """CREATE TABLE upload_item (
        upload_id text NOT NULL, nth int NOT NULL, file text,
        outcome text NOT NULL CHECK (outcome IN ('accepted', 'referred', 'duplicate', 'refused')),
        receivable_id text, code text, message text, findings jsonb NOT NULL DEFAULT '[]',
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
        lent_minor bigint CHECK (lent_minor > 0),
        CHECK ((registry_reference IS NULL) = (state IN ('refused', 'nothing'))))""",
    # Written with the assignment; it counts against the obligor from the moment that it reached it (R9).
    """CREATE TABLE notice (
        notice_id text PRIMARY KEY, drawdown_id text NOT NULL REFERENCES assignment, obligor_id text NOT NULL,
        body text NOT NULL, digest text NOT NULL, notified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        means text CHECK (means IN ('platform', 'registered_mail', 'courier', 'email', 'in_person')),
        delivered_at timestamptz CHECK (delivered_at >= notified_at), recorded_by text, proof text, proof_sha256 text,
        acknowledged_at timestamptz, acknowledged_by text, UNIQUE (drawdown_id, obligor_id),
        CHECK (num_nonnulls(means, delivered_at, recorded_by) IN (0, 3)),
        CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)),
        CHECK (acknowledged_at IS NULL OR delivered_at IS NOT NULL))""",
    "CREATE INDEX notice_of ON notice (obligor_id, notice_id)",
    "CREATE INDEX notice_open ON notice (notice_id) WHERE delivered_at IS NULL",
)

# Orders, what was invoiced of them, and what was delivered. Of one pair of firms a number is one order.
ORDERS_1: tuple[str, ...] = (
    """CREATE TABLE trade_order (
        order_id text PRIMARY KEY, seller_id text NOT NULL REFERENCES enterprise,
        buyer_id text NOT NULL REFERENCES enterprise, side text NOT NULL CHECK (side IN ('purchase', 'sale')),
        number text NOT NULL, number_key text NOT NULL, syntax text NOT NULL, issue_date date NOT NULL,
        delivery_date date, due_date date NOT NULL, currency text NOT NULL,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        open_minor bigint NOT NULL CHECK (open_minor BETWEEN 0 AND amount_minor),
        released_minor bigint NOT NULL DEFAULT 0 CHECK (released_minor BETWEEN 0 AND amount_minor),
        lines jsonb NOT NULL,
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

# What a person must look at, and what is told to others: near duplicates, the register, checks with other banks.
REGISTER_1: tuple[str, ...] = (
    # What may be a standing claim in another guise, by which version of the policy (R8).
    """CREATE TABLE near_duplicate (
        receivable_id text NOT NULL REFERENCES receivable, other_id text NOT NULL REFERENCES receivable,
        guise text NOT NULL CHECK (guise IN ('number_looks_alike', 'number_one_apart', 'same_day_and_obligor')),
        policy_version text NOT NULL, PRIMARY KEY (receivable_id, other_id), CHECK (receivable_id <> other_id))""",
    # Append-only but for the number, which an entry gets once it has committed.
    """CREATE TABLE register_entry (
        entry_id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY, number bigint UNIQUE CHECK (number > 0),
        kind text NOT NULL CHECK (kind IN ('registration', 'amendment', 'discharge')),
        drawdown_id text NOT NULL, reference text NOT NULL, at timestamptz NOT NULL, statement jsonb NOT NULL)""",
    "CREATE INDEX register_entry_open ON register_entry (entry_id) WHERE number IS NULL",
    "CREATE INDEX register_entry_of ON register_entry (drawdown_id, entry_id)",
    # A blind check with another bank: asked by us, or proposed by a request of theirs and released by a second person.
    """CREATE TABLE crosscheck (
        crosscheck_id text NOT NULL, role text NOT NULL CHECK (role IN ('asked', 'answering')), partner text NOT NULL,
        issued_from date NOT NULL, issued_to date NOT NULL, state text NOT NULL CHECK (state IN
            ('asked', 'compared', 'proposed', 'released', 'declined')),
        request_digest text NOT NULL, file bytea NOT NULL, actor text NOT NULL,
        made_at timestamptz NOT NULL DEFAULT clock_timestamp(), ended_at timestamptz,
        PRIMARY KEY (role, crosscheck_id), UNIQUE (role, request_digest),
        CHECK ((role = 'asked') = (state IN ('asked', 'compared'))), CHECK (issued_from <= issued_to))""",
    "CREATE INDEX crosscheck_partner ON crosscheck (partner, ended_at) WHERE state = 'released'",
    # Which of our receivables the points of a request of ours stand for, by their place in it.
    """CREATE TABLE crosscheck_point (
        crosscheck_id text NOT NULL, nth int NOT NULL, receivable_id text NOT NULL REFERENCES receivable,
        kind text NOT NULL CHECK (kind IN ('claim', 'trade')),
        PRIMARY KEY (crosscheck_id, nth, receivable_id, kind))""",
    # A claim that another bank has as well: for the bank's people only. It is financed when a person cleared it.
    """CREATE TABLE sighting (
        receivable_id text NOT NULL REFERENCES receivable, crosscheck_id text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('claim', 'trade')), partner text NOT NULL,
        state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'cleared', 'confirmed')),
        seen_at timestamptz NOT NULL DEFAULT clock_timestamp(), decided_by text, reason text, decided_at timestamptz,
        PRIMARY KEY (receivable_id, crosscheck_id, kind),
        CHECK (num_nonnulls(decided_by, reason, decided_at) = CASE state WHEN 'open' THEN 0 ELSE 3 END))""",
    "CREATE INDEX sighting_open ON sighting (receivable_id) WHERE state <> 'cleared'",
)

# Credit notes: each lowers the receivables that it cites, or waits for a person who says which.
LIFE_1: tuple[str, ...] = (
    """CREATE TABLE credit_note (
        credit_note_id text PRIMARY KEY, seller_id text NOT NULL REFERENCES enterprise,
        obligor_id text NOT NULL REFERENCES enterprise, number text NOT NULL, number_key text NOT NULL,
        issue_year int NOT NULL, document_type text NOT NULL, syntax text NOT NULL, profile text NOT NULL,
        file text NOT NULL, issue_date date NOT NULL, currency text NOT NULL,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0), cites jsonb NOT NULL,
        cited_keys text[] NOT NULL, reasons text[] NOT NULL,
        state text NOT NULL CHECK (state IN ('applied', 'referred', 'rejected')),
        original_sha256 text REFERENCES original DEFERRABLE INITIALLY DEFERRED,
        rules text[] NOT NULL DEFAULT '{}', findings jsonb NOT NULL DEFAULT '[]', actor text NOT NULL,
        registered_at timestamptz NOT NULL DEFAULT clock_timestamp(), CHECK (seller_id <> obligor_id))""",
    """CREATE UNIQUE INDEX credit_note_number ON credit_note (seller_id, number_key, issue_year)
        WHERE state <> 'rejected'""",
    "CREATE INDEX credit_note_of_seller ON credit_note (seller_id, credit_note_id)",
    "CREATE INDEX credit_note_of_obligor ON credit_note (obligor_id, credit_note_id)",
    # What made receivables less than their face: parts of credit notes, notes told by hand, set-offs.
    """CREATE TABLE dilution (
        receivable_id text NOT NULL REFERENCES receivable, reference text NOT NULL,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0), reason text NOT NULL, actor text NOT NULL,
        credit_note_id text REFERENCES credit_note,
        diluted_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (receivable_id, reference))""",
    "CREATE INDEX dilution_of ON dilution (credit_note_id, receivable_id) WHERE credit_note_id IS NOT NULL",
    # What the obligor paid, told by hand or come to the collection account (R7); with a drawdown it repaid that loan.
    """CREATE TABLE payment (
        receivable_id text NOT NULL REFERENCES receivable, reference text NOT NULL,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        payee text NOT NULL CHECK (payee IN ('seller', 'collection_account', 'holder')),
        paid_date date NOT NULL,
        drawdown_id text, actor text NOT NULL, paid_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (receivable_id, reference))""",
    "CREATE INDEX payment_reference ON payment (reference)",
    # What an obligor decides on together: exactly what was proposed, and what became of each.
    "CREATE INDEX receivable_to_confirm ON receivable (obligor_id, receivable_id) WHERE state = 'validated'",
    """CREATE TABLE decision_batch (
        batch_id text PRIMARY KEY, kind text NOT NULL CHECK (kind IN ('confirmation', 'rejection')),
        party text NOT NULL REFERENCES enterprise,
        state text NOT NULL CHECK (state IN ('proposed', 'done', 'declined')), undertaking text, due_date date,
        many int NOT NULL, totals jsonb NOT NULL, digest text NOT NULL, code text, reason text, approval_id text,
        actor text NOT NULL, made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CHECK ((kind = 'rejection') = (code IS NOT NULL)))""",
    "CREATE INDEX decision_batch_of ON decision_batch (party, batch_id)",
    """CREATE TABLE decision_item (
        batch_id text NOT NULL REFERENCES decision_batch, nth int NOT NULL, asked text NOT NULL,
        receivable_id text REFERENCES receivable, currency text, amount_minor bigint,
        outcome text NOT NULL CHECK (outcome IN ('proposed', 'confirmed', 'rejected', 'left', 'refused')), code text,
        PRIMARY KEY (batch_id, nth), CHECK ((outcome IN ('left', 'refused')) = (code IS NOT NULL)))""",
    "CREATE INDEX credit_note_waiting ON credit_note (credit_note_id) WHERE state = 'referred'",
)

# Goods in a warehouse as security: quantities in thousandths of the receipt's unit, places in millionths of a degree,
# temperatures and humidities in hundredths.
GOODS_1: tuple[str, ...] = (
    """CREATE TABLE goods (
        goods_id text PRIMARY KEY, owner_id text NOT NULL REFERENCES enterprise, number text NOT NULL,
        number_key text NOT NULL, warehouse text NOT NULL, warehouse_key text NOT NULL, country text NOT NULL,
        city text NOT NULL, latitude int, longitude int, item text NOT NULL, goods_class text NOT NULL,
        quantity_milli bigint NOT NULL CHECK (quantity_milli > 0),
        released_milli bigint NOT NULL DEFAULT 0 CHECK (released_milli BETWEEN 0 AND quantity_milli),
        unit text NOT NULL, currency text NOT NULL, condition text NOT NULL, issue_date date NOT NULL,
        due_date date NOT NULL, bounds jsonb NOT NULL DEFAULT '{}',
        state text NOT NULL DEFAULT 'registered' CHECK (state IN
            ('registered', 'agreed', 'pledged', 'assigned', 'financed', 'releasing', 'released', 'rejected')),
        drawdown_id text, code text, reason text, registry_reference text, filed_at timestamptz,
        value_minor bigint NOT NULL DEFAULT 0,
        eligible_minor bigint NOT NULL DEFAULT 0 CHECK (eligible_minor BETWEEN 0 AND value_minor),
        reasons text[] NOT NULL DEFAULT '{}', valued_date date, appraised_date date, policy_version text,
        measured_milli bigint, measured_at timestamptz, in_place boolean, place_at timestamptz,
        excursion_date date, CHECK ((latitude IS NULL) = (longitude IS NULL)),
        CHECK ((drawdown_id IS NOT NULL) = (state IN ('assigned', 'financed')) OR state = 'released'))""",
    # R8: a receipt's goods are financed once, whoever holds it and in whatever words.
    """CREATE UNIQUE INDEX goods_receipt ON goods (warehouse_key, number_key)
        WHERE state NOT IN ('released', 'rejected')""",
    "CREATE INDEX goods_owner ON goods (owner_id, goods_id)",
    "CREATE INDEX goods_drawdown ON goods (drawdown_id) WHERE drawdown_id IS NOT NULL",
    "CREATE INDEX goods_due ON goods (appraised_date, goods_id) WHERE state IN ('pledged', 'assigned', 'financed')",
    "CREATE INDEX goods_waiting ON goods (goods_id) WHERE state IN ('agreed', 'releasing')",
    """CREATE TABLE goods_valuation (
        goods_id text NOT NULL REFERENCES goods, valued_date date NOT NULL, source text NOT NULL,
        unit_value_minor bigint NOT NULL CHECK (unit_value_minor > 0), condition text, actor text NOT NULL,
        valued_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (goods_id, valued_date, source))""",
    # What watches which goods while they are pledged; a device watches one lot at a time.
    "CREATE TABLE goods_device (device text PRIMARY KEY, goods_id text NOT NULL REFERENCES goods)",
    "CREATE INDEX goods_device_of ON goods_device (goods_id, device)",
    """CREATE TABLE goods_reading (
        device text NOT NULL, measured_at timestamptz NOT NULL, goods_id text NOT NULL REFERENCES goods,
        temperature int, humidity int, latitude int, longitude int, quantity_milli bigint,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (device, measured_at))""",
    "CREATE INDEX goods_reading_of ON goods_reading (goods_id, measured_at, device)",
)
