"""What two persons have discarded counts as decided, and only that (R22)."""

from __future__ import annotations

import pytest

from tests.integration.verify.clean import Copies
from tests.integration.verify.spoiling import found, put
from tributary.verify import i05_outbox_and_topic, i06_sequences, i07_rebuild, i08_exactly_once

_DISCARD = """
INSERT INTO inbox_decided (approval_id, parked_id, topic, subject, sequence, event_id, decision, reason,
    proposed_by, approved_by) VALUES ('a', 1, '{}', '{}', {}, '{}', 'discarded', 'looked at it', 'm', 'c')
"""
_PASSED = """
INSERT INTO inbox_decided (approval_id, parked_id, topic, subject, sequence, event_id, decision, reason,
    proposed_by, approved_by)
SELECT 'a', 1, topic, subject, sequence, event_id, 'discarded', 'r', 'm', 'c' FROM feed
WHERE subject = 'alpha' AND sequence = 2
"""
_READ = "INSERT INTO inbox_offset VALUES ('{}', 0, 1) ON CONFLICT (topic, partition) DO UPDATE SET next_offset = 1"
_DRAWDOWN = "scf.credit.drawdown.v1"


async def test_r22_i5_and_i6_a_record_that_no_outbox_wrote_is_noted_once_everybody_who_reads_it_discarded_it(
    clean: Copies, spoilt_topic: str
) -> None:
    await put(clean, topic=spoilt_topic, subject="d1", event_id="stray", sequence=1)
    read, discarded = _READ.format(spoilt_topic), _DISCARD.format(spoilt_topic, "d1", 1, "stray")
    one_of_two = await found(i05_outbox_and_topic, clean, console=[read, discarded], credit=read)
    both = await found(i05_outbox_and_topic, clean, console=[read, discarded], credit=[read, discarded])
    assert (one_of_two.violations, one_of_two.notes) == (1, [])
    assert (both.violations, both.examples) == (0, [])
    assert both.notes == ["1 records that no outbox wrote were discarded by everybody who reads them"]


async def test_r22_i5_an_event_that_its_outbox_wrote_is_compared_however_many_discarded_it(clean: Copies) -> None:
    # All who read the topic have discarded it: it is there as written all the same, and must be.
    for module in (i05_outbox_and_topic, i06_sequences):
        result = await found(module, clean, console=_PASSED)
        assert (result.violations, result.notes) == (0, [])


async def test_r22_i7_a_read_model_without_what_console_discarded_is_as_it_should_be(clean: Copies) -> None:
    without = [
        "DELETE FROM feed WHERE subject = 'alpha' AND sequence = 2",
        "UPDATE enterprise SET suspended = NULL WHERE enterprise_id = 'alpha'",
    ]
    assert (await found(i07_rebuild, clean, console=without)).violations == 1
    assert (await found(i07_rebuild, clean, console=[_PASSED, *without])).examples == []
    assert (await found(i07_rebuild, clean, console=_PASSED)).violations == 1


_NO_LOAN = """WITH billed AS (DELETE FROM instalment WHERE loan_id = 'd-approved')
    DELETE FROM loan WHERE loan_id = 'd-approved'"""


@pytest.mark.parametrize(
    ("service", "subject", "sequence", "effect"),
    [
        ("receivables", "d-held", 1, "DELETE FROM assignment WHERE drawdown_id = 'd-held'"),
        ("settlement", "d-approved", 2, _NO_LOAN),
    ],
)
async def test_r22_i8_a_discarded_event_has_no_effect_and_must_have_none(
    clean: Copies, service: str, subject: str, sequence: int, effect: str
) -> None:
    discarded = _DISCARD.format(_DRAWDOWN, subject, sequence, "e")
    neither = await found(i08_exactly_once, clean, **{service: effect})
    decided = await found(i08_exactly_once, clean, **{service: [effect, discarded]})
    done_all_the_same = await found(i08_exactly_once, clean, **{service: discarded})
    assert f"{service} did 0 times" in neither.examples[0]
    assert (decided.violations, decided.examples) == (0, [])
    assert f"{service} did 1 times" in done_all_the_same.examples[0]
