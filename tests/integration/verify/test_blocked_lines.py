"""I9: a block ends what waits on its lines in the commit that makes it, so nothing is ever found waiting there."""

from __future__ import annotations

import pytest

from tests.integration.verify.clean import Copies
from tests.integration.verify.spoiling import found
from tributary.verify import i09_deadlines


@pytest.mark.parametrize(("scope", "subject"), [("line", "line_id"), ("firm", "enterprise_id")])
async def test_i9_what_waits_on_a_blocked_line_is_caught_at_once(clean: Copies, scope: str, subject: str) -> None:
    blocked = f"""INSERT INTO block (block_id, scope, subject, reason, reference, note, policy_version, blocked_by)
        SELECT 'b', '{scope}', {subject}, 'other', '', '', '', '' FROM drawdown WHERE drawdown_id = 'd-held'"""  # noqa: S608 - the test's own names
    result = await found(i09_deadlines, clean, credit=blocked)
    assert result.violations > 0
    assert any("d-held is held on a line that is blocked (b)" in each for each in result.examples)
