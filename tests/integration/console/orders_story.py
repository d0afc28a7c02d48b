"""The life of orders, as the console hears it: one invoiced under its loan, one reduced, one rejected."""

from __future__ import annotations

from datetime import date, timedelta

from shared.events import receivables
from shared.events.envelope import Event
from shared.values.money import Amount


def orders(order_ids: tuple[str, str], seller_id: str, buyer_id: str, *, receivable_id: str, day: date) -> list[Event]:
    """Return every type of event that an order has, and its invoice's match."""
    first, second = order_ids
    registered = [
        receivables.OrderRegistered(
            order_id=order_id,
            seller_id=seller_id,
            buyer_id=buyer_id,
            side="purchase",
            number=f"PO-{nth}",
            issue_date=day,
            due_date=day + timedelta(days=90),
            amount=_cny("300.00"),
        )
        for nth, order_id in enumerate(order_ids, start=1)
    ]
    confirmed = receivables.OrderConfirmed(
        order_id=first,
        seller_id=seller_id,
        buyer_id=buyer_id,
        open=_cny("300.00"),
        due_date=day + timedelta(days=90),
    )
    return [
        *registered,
        confirmed,
        receivables.OrderReduced(order_id=first, by=_cny("50.00"), open=_cny("250.00"), reason="fewer moulds"),
        receivables.OrderInvoiced(
            order_id=first,
            receivable_id=receivable_id,
            invoiced=_cny("200.00"),
            open=_cny("50.00"),
        ),
        receivables.ReceivableMatched(
            receivable_id=receivable_id,
            order_id=first,
            status="partial",
            reasons=["delivered_in_part"],
            lines=2,
            matched_lines=1,
            is_financeable=True,
        ),
        receivables.OrderSettled(order_id=first),
        receivables.OrderRejected(order_id=second, reason="not our order"),
    ]


def _cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")
