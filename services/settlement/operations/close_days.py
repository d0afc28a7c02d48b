"""Close every open day up to one, in one go: end of day runs, the next day opens."""

from __future__ import annotations

from datetime import date

from services.settlement.domain.business_day import day_after
from services.settlement.operations.accrue import accrue_all
from services.settlement.operations.book import SOURCE, check_closable, open_day_alone
from services.settlement.operations.pay_surplus import Surplus, order_surpluses
from shared.events.settlement import BusinessDayClosed
from shared.messaging.outbox import append
from shared.storage.approvals import Approval
from shared.storage.database import Transaction

_REFUSED = """
SELECT p.end_to_end_id, p.loan_id, e.account, p.currency, p.amount_minor
FROM payment p JOIN loan l USING (loan_id) JOIN enterprise e ON e.enterprise_id = l.enterprise_id
WHERE p.purpose = 'surplus' AND p.state = 'refused' ORDER BY p.end_to_end_id FOR UPDATE OF p
"""


async def close_days(tx: Transaction, approval: Approval) -> None:
    """Run end of day for the approved range; DayAlreadyClosed when it was closed meanwhile."""
    day = date.fromisoformat(approval.content["date"])
    open_date = await open_day_alone(tx)
    await check_closable(tx, day=day, open_date=open_date)
    following = day_after(day)
    await accrue_all(tx, open_date=open_date, following=following)
    # What the rail never answered is sent again, under the same end-to-end id: it cannot be paid twice.
    await tx.pg.execute("UPDATE payment SET submitted_at = NULL WHERE state = 'unknown'")
    await _retry_surpluses(tx, value_date=following)
    await tx.pg.execute("UPDATE book SET open_date = $1", following)
    await append(tx, [BusinessDayClosed(closed_date=day, open_date=following)], source=SOURCE)


async def _retry_surpluses(tx: Transaction, *, value_date: date) -> None:
    """Pay refused surpluses again, to the account the seller has now; what was refused did not move."""
    rows = await tx.pg.fetch(_REFUSED)
    await tx.pg.execute(
        "UPDATE payment SET state = 'replaced' WHERE end_to_end_id = ANY($1)", [row["end_to_end_id"] for row in rows]
    )
    await order_surpluses(
        tx, [Surplus(row["loan_id"], row["account"], row["currency"], row["amount_minor"], value_date) for row in rows]
    )
