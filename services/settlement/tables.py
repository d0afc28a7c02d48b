"""Settlement's own tables; numbered, because migrations quote them.

programme, enterprise, drawdown and obligation are projections of other services' events; rail_* belong to the
simulated rail alone.
"""

from __future__ import annotations

_LOAN = (
    """CREATE TABLE loan (
        loan_id text PRIMARY KEY, programme_id text NOT NULL, enterprise_id text NOT NULL, obligor_id text NOT NULL,
        payee_id text NOT NULL, form text NOT NULL CHECK (form IN ('loan', 'purchase')), currency text NOT NULL,
        principal_minor bigint NOT NULL, face_minor bigint NOT NULL,
        fee_minor bigint NOT NULL, discount_minor bigint NOT NULL, paid_out_minor bigint NOT NULL,
        holdback_minor bigint NOT NULL, rate int NOT NULL, penalty_rate int NOT NULL, day_count text NOT NULL,
        interest_payer text NOT NULL, recourse boolean NOT NULL, document_due_date date NOT NULL,
        maturity_date date NOT NULL, grace_days int NOT NULL, collection_account text NOT NULL,
        seller_account text NOT NULL, end_to_end_id text NOT NULL UNIQUE,
        state text NOT NULL CHECK (state IN ('instructed', 'unknown', 'disbursed', 'failed', 'closed')),
        reason text, incident text, instructed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        disbursed_date date, closed_date date, accrued_through date, last_receipt_date date,
        outstanding_minor bigint NOT NULL DEFAULT 0 CHECK (outstanding_minor >= 0),
        received_minor bigint NOT NULL DEFAULT 0,
        interest_minor bigint NOT NULL DEFAULT 0, interest_paid_minor bigint NOT NULL DEFAULT 0,
        penalty_minor bigint NOT NULL DEFAULT 0, penalty_paid_minor bigint NOT NULL DEFAULT 0,
        discount_earned_minor bigint NOT NULL DEFAULT 0,
        costs_minor bigint NOT NULL DEFAULT 0, costs_paid_minor bigint NOT NULL DEFAULT 0,
        plan text NOT NULL DEFAULT 'bullet', early_repayment text NOT NULL DEFAULT 'shorten'
            CHECK (early_repayment IN ('shorten', 'lower', 'refused')), next_due_date date)""",
    "CREATE INDEX loan_enterprise ON loan (enterprise_id, loan_id)",
    "CREATE INDEX loan_accruing ON loan (accrued_through, loan_id) WHERE state = 'disbursed'",
    # next_due_date is the oldest unpaid instalment's: delay runs from there. What is billed was due, or is paid.
    """CREATE TABLE instalment (
        loan_id text NOT NULL REFERENCES loan, nth smallint NOT NULL CHECK (nth > 0), due_date date NOT NULL,
        principal_minor bigint NOT NULL CHECK (principal_minor >= 0), billed_minor bigint, settled_date date,
        PRIMARY KEY (loan_id, nth), UNIQUE (loan_id, due_date))""",
    """CREATE TABLE loan_balance (
        loan_id text NOT NULL, nth smallint NOT NULL, from_date date NOT NULL,
        outstanding_minor bigint NOT NULL CHECK (outstanding_minor >= 0),
        PRIMARY KEY (loan_id, nth, from_date), FOREIGN KEY (loan_id, nth) REFERENCES instalment)""",
    """CREATE TABLE loan_reference (
        reference text NOT NULL, loan_id text NOT NULL REFERENCES loan, PRIMARY KEY (reference, loan_id))""",
)
_RAIL = (
    """CREATE TABLE payment (
        end_to_end_id text PRIMARY KEY, loan_id text REFERENCES loan,
        purpose text NOT NULL CHECK (purpose IN ('disbursement', 'surplus', 'clearing')), account text NOT NULL,
        currency text NOT NULL, amount_minor bigint NOT NULL CHECK (amount_minor > 0), value_date date NOT NULL,
        state text NOT NULL DEFAULT 'due'
            CHECK (state IN ('due', 'sent', 'unknown', 'given_up', 'confirmed', 'refused', 'stopped', 'replaced')),
        reason text, instructed_at timestamptz NOT NULL DEFAULT clock_timestamp(), sent_at timestamptz,
        submitted_at timestamptz, answered_at timestamptz,
        CHECK ((loan_id IS NULL) = (purpose = 'clearing')))""",
    """CREATE INDEX payment_open ON payment (state, end_to_end_id)
        WHERE state IN ('due', 'sent', 'unknown', 'given_up')""",
    "CREATE INDEX payment_loan ON payment (loan_id)",
    "CREATE INDEX payment_refused ON payment (end_to_end_id) WHERE purpose = 'surplus' AND state = 'refused'",
    """CREATE TABLE rail_behaviour (
        account text PRIMARY KEY, outcome text NOT NULL CHECK (outcome IN ('confirm', 'refuse', 'silence', 'late')),
        count int NOT NULL CHECK (count >= 0))""",
    """CREATE TABLE rail_payment (
        end_to_end_id text PRIMARY KEY, account text NOT NULL, currency text NOT NULL, amount_minor bigint NOT NULL,
        value_date date NOT NULL, outcome text NOT NULL, sends int NOT NULL DEFAULT 1,
        answers_at timestamptz)""",
)
_LEDGER = (
    "CREATE TABLE ledger_account (account text PRIMARY KEY, side text NOT NULL CHECK (side IN ('debit', 'credit')))",
    """INSERT INTO ledger_account VALUES
        ('nostro', 'debit'), ('loans_receivable', 'debit'), ('purchased_receivables', 'debit'),
        ('interest_receivable', 'debit'), ('penalty_receivable', 'debit'), ('costs_receivable', 'debit'),
        ('payments_in_suspense', 'debit'),
        ('disbursement_clearing', 'credit'), ('deferred_income', 'credit'), ('collections_in_suspense', 'credit'),
        ('due_to_seller', 'credit'), ('interest_income', 'credit'), ('discount_income', 'credit'),
        ('penalty_income', 'credit'), ('fee_income', 'credit'), ('excess_income', 'credit')""",
    """CREATE TABLE ledger_transaction (
        transaction_id text PRIMARY KEY, kind text NOT NULL, loan_id text, currency text NOT NULL,
        value_date date NOT NULL, posting_date date NOT NULL,
        posted_at timestamptz NOT NULL DEFAULT clock_timestamp(), reference text NOT NULL DEFAULT '')""",
    "CREATE INDEX ledger_transaction_loan ON ledger_transaction (loan_id, transaction_id)",
    """CREATE TABLE ledger_posting (
        transaction_id text NOT NULL REFERENCES ledger_transaction, line smallint NOT NULL,
        account text NOT NULL REFERENCES ledger_account, currency text NOT NULL,
        debit_minor bigint NOT NULL DEFAULT 0, credit_minor bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (transaction_id, line),
        CHECK (debit_minor >= 0 AND credit_minor >= 0 AND (debit_minor = 0) <> (credit_minor = 0)))""",
    """CREATE INDEX ledger_posting_account ON ledger_posting (account, currency)
        INCLUDE (debit_minor, credit_minor)""",
    # The postings of a transaction come in one statement; what is added later must balance by itself too (R20).
    """CREATE FUNCTION refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM fresh GROUP BY transaction_id, currency
                    HAVING sum(debit_minor) <> sum(credit_minor)) THEN
                RAISE EXCEPTION 'debits and credits differ' USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NULL;
        END $$""",
    """CREATE TRIGGER ledger_posting_balanced AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced()""",
    """CREATE TRIGGER ledger_transaction_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
        EXECUTE FUNCTION refuse_change()""",
    """CREATE TRIGGER ledger_posting_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
        EXECUTE FUNCTION refuse_change()""",
)

SETTLEMENT_1: tuple[str, ...] = (
    """CREATE TABLE book (
        one boolean PRIMARY KEY DEFAULT true CHECK (one), opening_date date NOT NULL, open_date date NOT NULL)""",
    """CREATE TABLE programme (
        programme_id text PRIMARY KEY, name text NOT NULL, anchor_id text NOT NULL, currency text NOT NULL,
        cut_off time NOT NULL, zone text NOT NULL)""",
    "CREATE TABLE enterprise (enterprise_id text PRIMARY KEY, name text NOT NULL, account text NOT NULL)",
    """CREATE TABLE drawdown (
        drawdown_id text PRIMARY KEY, enterprise_id text NOT NULL, obligor_id text NOT NULL,
        document_ids text[] NOT NULL)""",
    *_LOAN,
    *_RAIL,
    *_LEDGER,
    """CREATE TABLE statement_entry (
        account text NOT NULL, entry_id text NOT NULL, collection_id text, loan_id text,
        outcome text NOT NULL CHECK (outcome IN ('disbursed', 'paid', 'collected', 'unmatched')),
        direction text NOT NULL, currency text NOT NULL, amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        value_date date NOT NULL, applied_date date NOT NULL, reference text NOT NULL, end_to_end_id text,
        costs_minor bigint NOT NULL DEFAULT 0, penalty_minor bigint NOT NULL DEFAULT 0,
        interest_minor bigint NOT NULL DEFAULT 0, principal_minor bigint NOT NULL DEFAULT 0,
        surplus_minor bigint NOT NULL DEFAULT 0, excess_minor bigint NOT NULL DEFAULT 0,
        suspense_minor bigint NOT NULL DEFAULT 0, suspense_id text UNIQUE,
        waiting_minor bigint NOT NULL DEFAULT 0 CHECK (waiting_minor BETWEEN 0 AND suspense_minor),
        document_id text, counterparty_account text,
        recorded_by text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (account, entry_id))""",
    "CREATE UNIQUE INDEX statement_entry_collection ON statement_entry (collection_id) WHERE collection_id IS NOT NULL",
    "CREATE INDEX statement_entry_loan ON statement_entry (loan_id)",
    # A payment went out once: a second debit under its end-to-end id is another movement.
    """CREATE UNIQUE INDEX statement_entry_proof ON statement_entry (end_to_end_id)
        WHERE outcome IN ('disbursed', 'paid')""",
    "CREATE INDEX statement_entry_waiting ON statement_entry (suspense_id) WHERE waiting_minor > 0",
    # What a person made of what waited. What is paid out is done when it has left, and waits again when it is refused.
    """CREATE TABLE clearing (
        clearing_id text PRIMARY KEY, suspense_id text NOT NULL REFERENCES statement_entry (suspense_id),
        way text NOT NULL CHECK (way IN ('loan', 'owner', 'payer', 'debit')), amount_minor bigint NOT NULL
            CHECK (amount_minor > 0),
        loan_id text REFERENCES loan, receivable_id text, against text REFERENCES statement_entry (suspense_id),
        end_to_end_id text UNIQUE REFERENCES payment,
        state text NOT NULL CHECK (state IN ('ordered', 'done', 'refused')), reason text NOT NULL,
        proposed_by text NOT NULL, cleared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CHECK ((end_to_end_id IS NOT NULL) = (way IN ('owner', 'payer'))))""",
    "CREATE INDEX clearing_suspense ON clearing (suspense_id, clearing_id)",
    "CREATE INDEX clearing_against ON clearing (against) WHERE against IS NOT NULL",
    # What a receivable without a loan took of a receipt, as receivables said it.
    """CREATE TABLE debt_paid (
        collection_id text NOT NULL, receivable_id text NOT NULL, amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        PRIMARY KEY (collection_id, receivable_id))""",
)

# obligation is a projection of receivables' events, which come in any order: what is not known yet is empty. Each
# netting stands on legs; what was set off is posted once and never changed (R14, R20).
NETTING_1: tuple[str, ...] = (
    """CREATE TABLE obligation (
        receivable_id text PRIMARY KEY, creditor_id text, debtor_id text, number text, currency text, due_date date,
        open_minor bigint NOT NULL DEFAULT 0, agreed boolean NOT NULL DEFAULT false,
        vouchered boolean NOT NULL DEFAULT false, disputed boolean NOT NULL DEFAULT false,
        ended boolean NOT NULL DEFAULT false)""",
    """CREATE INDEX obligation_free ON obligation (currency, receivable_id)
        WHERE agreed AND NOT vouchered AND NOT disputed AND NOT ended AND open_minor > 0""",
    "CREATE INDEX obligation_debtor ON obligation (debtor_id, receivable_id)",
    "CREATE INDEX obligation_creditor ON obligation (creditor_id, receivable_id)",
    """CREATE TABLE obligation_use (
        receivable_id text NOT NULL, drawdown_id text NOT NULL, PRIMARY KEY (receivable_id, drawdown_id))""",
    "CREATE INDEX obligation_use_drawdown ON obligation_use (drawdown_id)",
    # Suspended firms: a set-off with one that courts or creditors hold may have to be undone.
    "CREATE TABLE netting_barred (enterprise_id text PRIMARY KEY)",
    """CREATE TABLE netting_run (
        run_id text PRIMARY KEY, currency text NOT NULL, firms int NOT NULL, debts int NOT NULL,
        owed_minor bigint NOT NULL, cleared_minor bigint NOT NULL, cash_for_all_minor bigint NOT NULL,
        cash jsonb, policy_version text NOT NULL, ran_by text NOT NULL,
        ran_at timestamptz NOT NULL DEFAULT clock_timestamp())""",
    """CREATE TABLE netting (
        netting_id text PRIMARY KEY, run_id text NOT NULL REFERENCES netting_run, currency text NOT NULL,
        cleared_minor bigint NOT NULL CHECK (cleared_minor > 0), accept_by timestamptz NOT NULL,
        state text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'accepted', 'settled', 'ended')),
        code text, reason text, posting_date date, CHECK ((state = 'ended') = (code IS NOT NULL)),
        CHECK ((state = 'settled') = (posting_date IS NOT NULL)))""",
    "CREATE INDEX netting_run_id ON netting (run_id)",
    "CREATE INDEX netting_proposed ON netting (accept_by, netting_id) WHERE state = 'proposed'",
    """CREATE TABLE netting_leg (
        netting_id text NOT NULL REFERENCES netting, receivable_id text NOT NULL, debtor_id text NOT NULL,
        creditor_id text NOT NULL, amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        PRIMARY KEY (netting_id, receivable_id))""",
    "CREATE INDEX netting_leg_receivable ON netting_leg (receivable_id)",
    """CREATE TABLE netting_cycle (
        netting_id text NOT NULL REFERENCES netting, nth int NOT NULL, amount_minor bigint NOT NULL,
        receivable_ids text[] NOT NULL, PRIMARY KEY (netting_id, nth))""",
    """CREATE TABLE netting_party (
        netting_id text NOT NULL REFERENCES netting, enterprise_id text NOT NULL,
        accepted_by text, accepted_at timestamptz, PRIMARY KEY (netting_id, enterprise_id))""",
    "CREATE INDEX netting_party_enterprise ON netting_party (enterprise_id, netting_id)",
    """CREATE TABLE netting_offset (
        netting_id text NOT NULL REFERENCES netting, receivable_id text NOT NULL, debtor_id text NOT NULL,
        creditor_id text NOT NULL, currency text NOT NULL, amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        posting_date date NOT NULL, posted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (netting_id, receivable_id))""",
    # R14: whoever writes them, the offsets of a netting take from each firm's debts what they take from its claims.
    """CREATE FUNCTION refuse_one_sided() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM fresh f, LATERAL (VALUES (f.debtor_id, f.amount_minor),
                    (f.creditor_id, -f.amount_minor)) AS side(enterprise_id, minor)
                    GROUP BY f.netting_id, f.currency, side.enterprise_id HAVING sum(side.minor) <> 0) THEN
                RAISE EXCEPTION 'a firm would lose what it gets nothing for'
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NULL;
        END $$""",
    """CREATE TRIGGER netting_offset_even AFTER INSERT ON netting_offset REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_one_sided()""",
    """CREATE TRIGGER netting_offset_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON netting_offset
        EXECUTE FUNCTION refuse_change()""",
)
