"""The life of goods, as the console hears it: pledged, fallen, released in part and wholly; one that is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from shared.events import goods
from shared.events.envelope import Event
from shared.values.money import Amount


def lots(goods_ids: tuple[str, str], enterprise_id: str, *, day: date) -> list[Event]:
    """Return every type of event that goods have."""
    first, second = goods_ids
    pledged = goods.GoodsPledged(
        goods_id=first,
        enterprise_id=enterprise_id,
        item="copper cathodes",
        warehouse="Yangshan 3",
        receipt_number="WR-1",
        value=_cny("500.00"),
        eligible=_cny("400.00"),
        reasons=[],
        due_date=day + timedelta(days=90),
        registry_reference="MR-00000001",
        registered_at=datetime.combine(day, time(9), UTC),
    )
    return [
        pledged,
        goods.GoodsRevalued(
            goods_id=first,
            enterprise_id=enterprise_id,
            value=_cny("480.00"),
            eligible=_cny("320.00"),
            reasons=["quantity_short", "out_of_bounds"],
        ),
        goods.GoodsReleased(
            goods_id=first, enterprise_id=enterprise_id, released="12.5", left="87.5", unit="t", wholly=False
        ),
        goods.GoodsReleased(
            goods_id=first, enterprise_id=enterprise_id, released="100", left="0", unit="t", wholly=True
        ),
        goods.GoodsPledgeRefused(
            goods_id=second, enterprise_id=enterprise_id, code="registered_before", reason="it is registered already"
        ),
    ]


def _cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")
