"""I8: each way in which a set-off and its offsets may differ is caught, and nothing else is (R14)."""

from __future__ import annotations

import pytest

from tests.integration.verify.clean import Copies
from tests.integration.verify.spoiling import found
from tributary.verify import i08_exactly_once

_ASKED = (
    """INSERT INTO netting_run (run_id, currency, firms, debts, owed_minor, cleared_minor, cash_for_all_minor,
        policy_version, ran_by) VALUES ('run', 'CNY', 2, 2, 14, 14, 0, 'netting/2000-01', 'x')""",
    """INSERT INTO netting (netting_id, run_id, currency, cleared_minor, accept_by)
    VALUES ('n', 'run', 'CNY', 14, clock_timestamp())""",
    """INSERT INTO netting_leg VALUES ('n', 'r1', 'a', 'b', 7), ('n', 'r2', 'b', 'a', 7)""",
    """INSERT INTO netting_party VALUES ('n', 'a', 'x', clock_timestamp()), ('n', 'b', 'y', clock_timestamp())""",
)
_ACCEPTED = "UPDATE netting SET state = 'accepted'"
_SETTLED = "UPDATE netting SET state = 'settled', posting_date = '2026-01-05'"
_POSTED = """INSERT INTO netting_offset VALUES ('n', 'r1', 'a', 'b', 'CNY', 7, '2026-01-05'),
    ('n', 'r2', 'b', 'a', 'CNY', 7, '2026-01-05')"""
_ROWS = """INSERT INTO receivable (receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type,
        syntax, profile, file, issue_date, due_date, currency, payable_minor, financeable_minor, order_reference, state,
        reasons, policy_version)
    SELECT r, s, o, r, r, 2026, '380', 'declared', '', '', '2026-01-02', '2026-02-02', 'CNY', 7, 0, '', 'settled', '{}',
        'intake/2000-01' FROM (VALUES ('r1', 'b', 'a'), ('r2', 'a', 'b')) AS v(r, s, o)"""
_FELL = (
    "INSERT INTO enterprise (enterprise_id, name, name_key) VALUES ('a', 'a', 'a'), ('b', 'b', 'b')",
    _ROWS,
    "INSERT INTO set_off (netting_id, refused) VALUES ('n', false)",
    """INSERT INTO dilution (receivable_id, reference, amount_minor, reason, actor)
    VALUES ('r1', 'netting/n', 7, 'set_off', 'x'), ('r2', 'netting/n', 7, 'set_off', 'x')""",
)
_LONG_AGO = "UPDATE netting_party SET accepted_at = clock_timestamp() - interval '61 s'"
_SAID_NO = "INSERT INTO set_off (netting_id, refused, code) VALUES ('n', true, 'receivable_assigned')"


@pytest.mark.parametrize(
    ("settlement", "receivables", "says"),
    [
        ((_SETTLED, _POSTED), _FELL, ""),
        ((_ACCEPTED,), (), ""),
        ((_ACCEPTED,), _FELL, ""),
        ((_ACCEPTED,), (_SAID_NO,), ""),
        ((), (), ""),
        ((_ACCEPTED, _LONG_AGO), (), "waits to be set off"),
        ((_SETTLED, _POSTED), (), "settled though no debt fell"),
        ((_SETTLED, _POSTED), (_SAID_NO,), "settled though no debt fell"),
        ((_SETTLED,), _FELL, "other offsets than its legs"),
        ((_SETTLED, _POSTED), (*_FELL, "UPDATE dilution SET amount_minor = 6"), "what fell differs"),
        ((_SETTLED, _POSTED), (*_FELL, "DELETE FROM dilution WHERE receivable_id = 'r2'"), "what fell differs"),
        ((), _FELL, "though it is proposed"),
        (
            ("DELETE FROM netting_party", "DELETE FROM netting_leg", "DELETE FROM netting"),
            _FELL,
            "though it is unknown",
        ),
    ],
)
async def test_i8_r14_a_set_off_that_differs_from_its_offsets_is_caught(
    clean: Copies, settlement: tuple[str, ...], receivables: tuple[str, ...], says: str
) -> None:
    result = await found(
        i08_exactly_once, clean, settlement=[*_ASKED, *settlement], receivables=list(receivables) or ["SELECT 1"]
    )
    assert (result.violations, [says in each for each in result.examples]) == ((1, [True]) if says else (0, []))
