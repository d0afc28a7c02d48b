"""I1–I3, I8 and I9: each way to spoil limits, loans and documents is caught, and nothing else is."""

from __future__ import annotations

import pytest

from tests.integration.verify.clean import Copies
from tests.integration.verify.spoiling import Spoiled, found, loan_gone
from tributary.verify import (
    i01_limit_tree,
    i02_held_and_utilised,
    i03_one_financing,
    i08_exactly_once,
    i09_deadlines,
    i10_reinstated,
)
from tributary.verify.check import run_checks

_JUST_SAID = "UPDATE outbox SET time = clock_timestamp()"
_SAID_LONG_AGO = "UPDATE outbox SET time = clock_timestamp() - interval '61 s'"


async def test_a_clean_state_is_found_clean_by_every_check(clean: Copies) -> None:
    results = await run_checks(clean)
    assert list(results) == [f"I{n}" for n in range(1, 12)]
    assert {name: result.examples for name, result in results.items() if result.examples} == {}
    assert all(result.checked > 0 and result.violations == 0 for result in results.values())


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["UPDATE line SET reserved_minor = reserved_minor + 1 WHERE line_id = 'l1'"], "at most 310000 may be"),
        (["UPDATE line SET floor_minor = 0"], "310000 reserved, at most 300000"),
        (["DELETE FROM overuse"], "1 above its limit, and nothing says why"),
        (["UPDATE overuse SET cause = ''"], "and nothing says why"),
        (["UPDATE overuse SET until = since"], "and nothing says why"),
        (["UPDATE limit_node SET sanctioned_minor = 5 WHERE level = 6 AND node_id = 'line/l2'"], "nothing says why"),
    ],
)
async def test_i1_a_limit_tree_that_does_not_hold_is_caught(clean: Copies, statements: list[str], says: str) -> None:
    result = await found(i01_limit_tree, clean, credit=statements)
    assert result.violations == 1
    assert says in result.examples[0]


async def test_i1_a_hold_that_was_accepted_during_an_overuse_of_its_path_is_caught(clean: Copies) -> None:
    ended = """INSERT INTO overuse (overuse_id, node_id, cause, since, until)
        SELECT 'o2', 'line/l2', 'a reversal', {0}, {1} FROM drawdown WHERE drawdown_id = 'd-small'"""
    during = ended.format("held_at", "held_at + interval '1 us'")
    result = await found(i01_limit_tree, clean, credit=during)
    assert result.examples == ["drawdown d-small was held while line/l2 was overused (a reversal)"]


async def test_i1_a_hold_just_before_or_after_an_overuse_is_clean(clean: Copies) -> None:
    around = """INSERT INTO overuse (overuse_id, node_id, cause, since, until)
        SELECT 'before', 'line/l2', 'cut', min(held_at) - interval '1 h', min(held_at) FROM drawdown
        UNION ALL SELECT 'after', 'line/l2', 'cut', max(held_at) + interval '1 us', max(held_at) + interval '1 h'
        FROM drawdown"""
    result = await found(i01_limit_tree, clean, credit=around)
    assert (result.violations, result.examples) == (0, [])


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE limit_node SET held_minor = held_minor + 1 WHERE node_id = 'group/anchor/CNY'", "its drawdowns"),
        ("UPDATE limit_node SET utilised_minor = utilised_minor - 1 WHERE node_id = 'line/l2'", "by its drawdowns"),
        ("DELETE FROM limit_node WHERE node_id = 'line/l2'", "line/l2 holds 0"),
        ("UPDATE drawdown SET disbursed_minor = 1 WHERE drawdown_id = 'd-utilised'", "settlement's events leave 37655"),
        ("UPDATE drawdown SET outstanding_minor = 37656 WHERE drawdown_id = 'd-utilised'", "37656 open"),
        ("UPDATE drawdown SET state = 'repaid' WHERE drawdown_id = 'd-utilised'", "is repaid with 37655 open"),
        ("UPDATE drawdown SET state = 'utilised' WHERE drawdown_id = 'd-repaid'", "is utilised with 0 open"),
        ("UPDATE drawdown SET state = 'utilised' WHERE drawdown_id = 'd-released'", "though no money went out"),
        ("UPDATE drawdown SET state = 'released' WHERE drawdown_id = 'd-utilised'", "though the money went out"),
    ],
)
async def test_i2_credit_that_differs_from_itself_or_from_settlement_is_caught(
    clean: Copies, statement: str, says: str
) -> None:
    result = await found(i02_held_and_utilised, clean, credit=statement)
    assert result.violations >= 1
    assert any(says in example for example in result.examples), result.examples


async def test_i2_use_that_is_wrong_everywhere_alike_is_caught_by_what_settlement_said(clean: Copies) -> None:
    less = [
        "UPDATE drawdown SET used_minor = used_minor - 7 WHERE drawdown_id = 'd-purchase'",
        "UPDATE limit_node SET utilised_minor = utilised_minor - 7 WHERE node_id NOT LIKE 'line/l2'",
    ]
    result = await found(i02_held_and_utilised, clean, credit=less)
    assert result.examples == ["drawdown d-purchase: uses 59993, with 60000 open it should use 60000"]


async def test_i2_and_i10_an_event_that_credit_has_not_heard_is_in_flight_for_a_minute(clean: Copies) -> None:
    unheard = """UPDATE inbox_head SET sequence = 0 WHERE topic = 'scf.settlement.loan.v1'
        AND subject = 'd-approved'"""
    for module in (i02_held_and_utilised, i10_reinstated):
        young = await found(module, clean, credit=unheard, settlement=_JUST_SAID)
        assert (young.violations, young.flying) == (0, 1)


async def test_i2_and_i10_an_event_that_credit_does_not_hear_for_a_minute_is_a_violation(clean: Copies) -> None:
    unheard = """UPDATE inbox_head SET sequence = 0 WHERE topic = 'scf.settlement.loan.v1'
        AND subject = 'd-approved'"""
    for module in (i02_held_and_utilised, i10_reinstated):
        old = await found(module, clean, credit=unheard, settlement=_SAID_LONG_AGO)
        assert (old.violations, old.flying) == (1, 1)
        assert "credit has not heard an event of loan d-approved" in old.examples[0]


async def test_i2_what_is_beyond_the_head_does_not_count_yet(clean: Copies) -> None:
    before = [
        "UPDATE inbox_head SET sequence = 2 WHERE subject = 'd-utilised'",
        "UPDATE drawdown SET outstanding_minor = 50000, used_minor = 50000 WHERE drawdown_id = 'd-utilised'",
        "UPDATE limit_node SET utilised_minor = utilised_minor + 12345 WHERE node_id <> 'line/l2'",
        "DELETE FROM reinstatement WHERE drawdown_id = 'd-utilised'",
    ]
    for module in (i02_held_and_utilised, i10_reinstated):
        result = await found(module, clean, credit=before, settlement=_JUST_SAID)
        assert (result.violations, result.flying, result.examples) == (0, 1, [])


_NO_CLAIM = "DROP INDEX receivable_claim, receivable_waiting"
_NO_OVERLAP = "ALTER TABLE slice DROP CONSTRAINT slice_overlap"


_CREDIT_NOTE = """
INSERT INTO credit_note (credit_note_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax,
    profile, file, issue_date, currency, amount_minor, cites, cited_keys, state, reasons, actor)
SELECT 'cn', min(enterprise_id), max(enterprise_id), 'CN', 'cn', 2026, '381', 'ubl', '', '', '2026-10-01', 'CNY', 5,
    '[]', '{}', 'applied', '{}', 'x' FROM enterprise
"""


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ([_NO_CLAIM, "UPDATE receivable SET number_key = 'INV0' WHERE number_key = 'INV1'"], "is financed 2 times"),
        (
            [
                _NO_CLAIM,
                "UPDATE receivable SET number_key = 'INV0' WHERE receivable_id = 'doc-vouchered'",
                "UPDATE slice SET state = 'financed', drawdown_id = 'x' WHERE slice_id = 's1'",
            ],
            "INV0 of l1 in 2026 is financed 2 times",
        ),
        (
            [
                """UPDATE assignment SET documents = (SELECT documents FROM assignment
                WHERE drawdown_id = 'd-held') WHERE drawdown_id = 'd-approved'"""
            ],
            "document doc-d-held stands under 2 financings",
        ),
        (
            ["DELETE FROM register_entry WHERE drawdown_id = 'd-held'"],
            "drawdown d-held is assigned, and its documents stand in no register",
        ),
        (
            ["DELETE FROM register_entry WHERE drawdown_id = 'd-repaid' AND kind = 'discharge'"],
            "drawdown d-repaid is settled, and is registered still",
        ),
        (["UPDATE slice SET end_minor = 59 WHERE slice_id = 's1'"], "cover 99 of 100"),
        (["DELETE FROM slice WHERE slice_id = 's2'"], "cover 60 of 100"),
        (["UPDATE slice SET state = 'replaced' WHERE slice_id = 's1'"], "cover 40 of 100"),
        (["DELETE FROM slice"], "cover 0 of 100"),
        (["UPDATE slice SET end_minor = 101 WHERE slice_id = 's2'"], "cover 101 of 100"),
        (
            [_NO_OVERLAP, "UPDATE slice SET start_minor = 50, end_minor = 90 WHERE slice_id = 's2'"],
            "cover 100 of 100",
        ),
        (["UPDATE receivable SET financeable_minor = 99999 WHERE number = 'INV0'"], "99999 is open of 100000"),
        (
            [
                """INSERT INTO payment (receivable_id, reference, amount_minor, payee, paid_date, actor)
                SELECT receivable_id, 'T-1', 7, 'seller', '2026-11-24', 'x' FROM receivable WHERE number = 'INV0'"""
            ],
            "0 was taken off and 7 paid",
        ),
        (
            [
                """INSERT INTO payment (receivable_id, reference, amount_minor, payee, paid_date, drawdown_id, actor)
                VALUES ('doc-vouchered', 'T-1', 7, 'collection_account', '2026-11-24', 'd-held', 'x')""",
                """UPDATE receivable SET paid_minor = 7, financeable_minor = financeable_minor - 7
                WHERE receivable_id = 'doc-vouchered'""",
            ],
            "drawdown d-held paid 7 of receivable doc-vouchered, of which its slices are 0",
        ),
        ([_CREDIT_NOTE], "credit note cn over 5 is applied and lowered 0"),
        (
            [
                _CREDIT_NOTE,
                """INSERT INTO dilution (receivable_id, reference, amount_minor, reason, actor, credit_note_id)
                SELECT receivable_id, 'CN', 6, 'x', 'x', 'cn' FROM receivable WHERE number = 'INV0'""",
                "UPDATE receivable SET financeable_minor = financeable_minor - 6 WHERE number = 'INV0'",
            ],
            "credit note cn over 5 is applied and lowered 6",
        ),
    ],
)
async def test_i3_a_document_financed_twice_or_a_root_that_is_not_its_slices_is_caught(
    clean: Copies, statements: list[str], says: str
) -> None:
    result = await found(i03_one_financing, clean, receivables=statements)
    assert result.violations == 1
    assert says in result.examples[0]


_DILUTED = "UPDATE document SET eligible_minor = eligible_minor - 30000 WHERE document_id = 'doc-d-purchase'"
_NOTED = """INSERT INTO deficiency (drawdown_id, line_id, deficiency_minor, claim_minor)
    VALUES ('d-purchase', 'l1', 30000, 0)"""


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["UPDATE drawdown SET exposure_minor = 60001 WHERE drawdown_id = 'd-purchase'"], "60001 financed on 60000"),
        ([_DILUTED], "30000 is no longer covered"),
        (["DELETE FROM document WHERE document_id = 'doc-d-held'"], "credit does not know"),
    ],
)
async def test_i3_more_financed_than_is_eligible_is_caught(clean: Copies, statements: list[str], says: str) -> None:
    result = await found(i03_one_financing, clean, credit=statements)
    assert result.violations == 1
    assert says in result.examples[0]


async def test_i3_an_excess_that_is_a_recorded_deficiency_is_clean(clean: Copies) -> None:
    result = await found(i03_one_financing, clean, credit=[_DILUTED, _NOTED])
    assert (result.violations, result.examples) == (0, [])


@pytest.mark.parametrize(
    ("service", "statement", "says"),
    [
        ("credit", "DELETE FROM drawdown WHERE drawdown_id = 'd-held'", "1 answers and 0 drawdowns"),
        ("credit", "DELETE FROM idempotency WHERE key = 'key-d-held'", "0 answers and 1 drawdowns"),
        ("credit", "UPDATE drawdown SET command_key = 'other' WHERE drawdown_id = 'd-held'", "answers"),
        ("credit", "UPDATE idempotency SET status = NULL WHERE key = 'key-d-held'", "accepted and never answered"),
        ("credit", "DELETE FROM outbox WHERE subject = 'd-held'", "1 rows and 0 events say held"),
        ("settlement", loan_gone("d-approved", paid_out=False), "settlement did 0 times"),
        ("receivables", "DELETE FROM assignment WHERE drawdown_id = 'd-held'", "receivables did 0 times"),
        ("credit", "DELETE FROM outbox WHERE subject = 'd-approved' AND sequence = 2", "said 0 times"),
        ("settlement", "UPDATE loan SET state = 'failed' WHERE loan_id = 'd-purchase'", "0 payments, 1 in the ledger"),
        (
            "settlement",
            "UPDATE loan SET state = 'disbursed' WHERE loan_id = 'd-approved'",
            "1 payments, 0 in the ledger",
        ),
        ("settlement", "DELETE FROM outbox WHERE subject = 'c-d-small'", "booked 1 times and said 0 times"),
        ("settlement", "DELETE FROM statement_entry WHERE loan_id = 'd-small'", "that no statement shows"),
    ],
)
async def test_i8_r19_a_command_or_event_without_its_one_effect_is_caught(
    clean: Copies, service: str, statement: Spoiled, says: str
) -> None:
    result = await found(i08_exactly_once, clean, **{service: statement})
    assert result.violations >= 1
    assert any(says in example for example in result.examples), result.examples


async def test_i8_r19_a_second_disbursement_of_one_loan_is_caught(clean: Copies) -> None:
    again = """WITH t AS (INSERT INTO ledger_transaction
            (transaction_id, kind, loan_id, currency, value_date, posting_date)
        SELECT 'again', kind, loan_id, currency, value_date, posting_date FROM ledger_transaction
        WHERE transaction_id = 'disbursement-d-small' RETURNING transaction_id)
        INSERT INTO ledger_posting SELECT t.transaction_id, p.line, p.account, p.currency, p.debit_minor, p.credit_minor
        FROM t, ledger_posting p WHERE p.transaction_id = 'disbursement-d-small'"""
    result = await found(i08_exactly_once, clean, settlement=again)
    assert result.examples == ["loan d-small: 1 payments, 2 in the ledger, 1 events"]
    assert (await found(i10_reinstated, clean, settlement=again)).examples == [
        "loan d-small: 501 open, 1502 in the ledger"
    ]


async def test_i8_what_the_next_service_has_not_heard_is_in_flight_for_a_minute(clean: Copies) -> None:
    unheard = [
        "UPDATE inbox_head SET sequence = 0 WHERE subject = 'd-held'",
        "DELETE FROM assignment WHERE drawdown_id = 'd-held'",
    ]
    young = await found(i08_exactly_once, clean, receivables=unheard, credit=_JUST_SAID)
    assert (young.violations, young.flying, young.examples) == (0, 1, [])


async def test_i8_r25_an_event_parked_anywhere_is_in_flight_and_after_a_minute_a_violation(clean: Copies) -> None:
    parked = """INSERT INTO inbox_parked (topic, subject, sequence, event_id, type, headers, body, reason, parked_at)
        VALUES ('scf.risk.rating.v1', 'x', 2, 'e', 'rating.recorded.v1', '[]', '', 'failed',
        clock_timestamp() - interval '{} s')"""
    young = await found(i08_exactly_once, clean, credit=parked.format(0))
    assert (young.violations, young.flying) == (0, 1)
    old = await found(i08_exactly_once, clean, credit=parked.format(61))
    assert (old.violations, old.flying) == (1, 1)
    assert "credit: rating.recorded.v1 number 2 of x is parked (failed) for 61 s" in old.examples[0]


@pytest.mark.parametrize(
    ("service", "statement", "says"),
    [
        (
            "credit",
            "UPDATE drawdown SET expires_at = clock_timestamp() - interval '61 s' WHERE drawdown_id = 'd-held'",
            "d-held is still held",
        ),
        (
            "credit",
            "UPDATE drawdown SET expires_at = clock_timestamp() - interval '61 s' WHERE drawdown_id = 'd-referred'",
            "d-referred is still referred",
        ),
        ("credit", "UPDATE drawdown SET expires_at = NULL WHERE drawdown_id = 'd-held'", "its deadline was nothing"),
        (
            "credit",
            "UPDATE outbox SET type = 'drawdown.released.v1' WHERE subject = 'd-repaid' AND sequence = 4",
            "credit: d-repaid is both confirmed and cancelled",
        ),
        (
            "credit",
            "UPDATE outbox SET type = 'drawdown.utilised.v1' WHERE subject = 'd-repaid' AND sequence = 4",
            "confirmed 2 times",
        ),
        (
            "settlement",
            "UPDATE outbox SET type = 'loan.disbursement_failed.v1' WHERE subject = 'd-small' AND sequence = 1",
            "settlement: d-small is both confirmed and cancelled",
        ),
    ],
)
async def test_i9_a_drawdown_past_its_deadline_or_with_two_ends_is_caught(
    clean: Copies, service: str, statement: str, says: str
) -> None:
    result = await found(i09_deadlines, clean, **{service: statement})
    assert result.violations == 1
    assert says in result.examples[0]


_GOES_ON = "UPDATE drawdown SET state = '{}' WHERE drawdown_id = 'd-approved'"
_SAID = """INSERT INTO outbox (id, topic, subject, sequence, type, source, body, time)
    VALUES ('w', 'scf.receivables.assignment.v1', 'd-approved', 99, 'assignment.withdrawn.v1', 'receivables', '',
    clock_timestamp() - interval '{} s')"""


@pytest.mark.parametrize(
    ("state", "age_s", "violations", "flying"),
    [
        ("held", 61, 1, 1),
        ("referred", 61, 1, 1),
        ("approved", 61, 1, 1),
        ("referred", 30, 0, 1),
        ("cancelling", 61, 0, 0),
    ],
)
async def test_i9_a_drawdown_that_goes_on_without_its_documents_is_caught_after_a_minute(
    clean: Copies, state: str, age_s: int, violations: int, flying: int
) -> None:
    result = await found(
        i09_deadlines,
        clean,
        credit=_GOES_ON.format(state),
        receivables=["UPDATE assignment SET state = 'withdrawn' WHERE drawdown_id = 'd-approved'", _SAID.format(age_s)],
    )
    assert (result.violations, result.flying) == (violations, flying), result.examples
    if violations:
        assert f"d-approved is {state} though its documents were withdrawn" in result.examples[0]


async def test_i9_a_deadline_that_passed_within_the_minute_and_a_named_incident_are_clean(clean: Copies) -> None:
    result = await found(
        i09_deadlines,
        clean,
        credit="UPDATE drawdown SET expires_at = clock_timestamp() - interval '30 s' WHERE drawdown_id = 'd-held'",
        settlement=[
            "UPDATE outbox SET type = 'loan.disbursement_failed.v1' WHERE subject = 'd-small' AND sequence = 1",
            "UPDATE loan SET incident = 'disbursed_after_failure' WHERE loan_id = 'd-small'",
        ],
    )
    assert (result.violations, result.examples) == (0, [])
