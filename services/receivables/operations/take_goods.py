"""Register warehouse receipts, and what goods are worth on a day; the same words again are the same."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from services.receivables.domain.documents import InvalidDueDate
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.goods import THOUSAND, DuplicateReceipt, Receipt, Step, advance
from services.receivables.domain.parties import name_key
from services.receivables.domain.receivables import AlreadyApplied
from services.receivables.operations.appraise_goods import appraise_goods, lock_lots, need_lot, rules_on, today_of
from services.receivables.operations.locking import Row
from shared.storage.audit import Entry, record
from shared.storage.database import Database
from shared.values.ids import new_id
from shared.values.money import MAX_MINOR, CurrencyMismatch, InvalidAmount, Money
from shared.web.auth import ForeignParty

_INSERT = """
INSERT INTO goods (goods_id, owner_id, number, number_key, warehouse, warehouse_key, country, city, latitude,
    longitude, item, goods_class, quantity_milli, unit, currency, condition, issue_date, due_date)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT DO NOTHING RETURNING true
"""
FIND_GOODS = """
SELECT * FROM goods WHERE (warehouse_key, number_key) = ($1, $2) AND state NOT IN ('released', 'rejected')
"""
_VALUE = """
INSERT INTO goods_valuation (goods_id, valued_date, source, unit_value_minor, condition, actor)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true
"""
_VALUED = "SELECT * FROM goods_valuation WHERE (goods_id, valued_date, source) = ($1, $2, $3)"


class UnknownOwner(ValueError):
    """No registered firm has the id of the goods' owner."""

    code: ClassVar[str] = "unknown_party"

    def __init__(self, *, owner_id: str) -> None:
        """Keep the id."""
        self.owner_id = owner_id
        super().__init__(f"There is no firm {owner_id}.")


class UnknownCondition(ValueError):
    """The policy knows no such condition of goods."""

    code: ClassVar[str] = "unknown_condition"

    def __init__(self, *, condition: str, known: tuple[str, ...]) -> None:
        """Keep the condition asked for, and those that there are."""
        self.condition = condition[:40]
        self.known = known
        super().__init__(f"{self.condition!r} is no condition of goods; these are: {', '.join(known)}.")


class ValuedInTheFuture(ValueError):
    """Nobody can have seen the goods on a day that has not come."""

    code: ClassVar[str] = "valued_in_the_future"

    def __init__(self, *, valued_date: date, open_date: date) -> None:
        """Keep both days."""
        self.valued_date = valued_date
        self.open_date = open_date
        super().__init__(f"The goods cannot have been valued on {valued_date}: it is {open_date}.")


class DuplicateValuation(ValueError):
    """The source valued these goods otherwise for that day before."""

    code: ClassVar[str] = "duplicate_valuation"

    def __init__(self, *, goods_id: str, source: str) -> None:
        """Keep the goods and the source."""
        self.goods_id = goods_id
        self.source = source
        super().__init__(f"{source!r} valued these goods otherwise for that day before.")


async def register_goods(database: Database, *, receipt: Receipt, party: str | None, actor: str) -> str:
    """Register a receipt by its holder or the bank; return the goods' id, of a repetition the one that stands.

    ForeignParty, UnknownOwner, UnknownGoodsClass, UnknownCondition, InvalidDueDate, or DuplicateReceipt when warehouse
    and number mean goods that stand in other words (R8: they are financed once).
    """
    if party not in {None, receipt.owner_id}:
        raise ForeignParty
    if receipt.due_date <= receipt.issue_date:
        raise InvalidDueDate(due_date=receipt.due_date, issue_date=receipt.issue_date)
    goods_id, words = new_id(), receipt.stated()
    keys = name_key(receipt.warehouse), number_key(receipt.number)
    async with database.transaction() as tx:
        rules = await rules_on(tx)
        rules.of(receipt.goods_class)
        _check_condition(receipt.condition, tuple(rules.conditions))
        if not await tx.pg.fetchval("SELECT true FROM enterprise WHERE enterprise_id = $1", receipt.owner_id):
            raise UnknownOwner(owner_id=receipt.owner_id)
        named = (receipt.number, keys[1], receipt.warehouse, keys[0])
        inserted = await tx.pg.fetchval(_INSERT, goods_id, receipt.owner_id, *named, *list(words.values())[1:])
        if inserted:
            facts = {"receipt": receipt.number, "warehouse": receipt.warehouse}
            await record(tx, [Entry(actor, "goods.registered", goods_id, facts)])
            return goods_id
        standing = await tx.pg.fetchrow(FIND_GOODS, *keys)
        if standing is None or any(standing[name] != value for name, value in words.items()):
            raise DuplicateReceipt(receipt_number=receipt.number, warehouse=receipt.warehouse)
    return str(standing["goods_id"])


async def value_goods(
    database: Database,
    *,
    goods_id: str,
    unit_value: Money,
    valued_date: date,
    source: str,
    condition: str | None,
    actor: str,
) -> None:
    """Keep what a unit of goods was worth on a day, and appraise them anew; the same words again change nothing.

    UnknownGoods, NotPossible, UnknownCondition, ValuedInTheFuture, CurrencyMismatch, InvalidAmount, or
    DuplicateValuation.
    """
    async with database.transaction() as tx:
        on, rules = await today_of(tx), await rules_on(tx)
        if condition is not None:
            _check_condition(condition, tuple(rules.conditions))
        if valued_date > on:
            raise ValuedInTheFuture(valued_date=valued_date, open_date=on)
        rows = await lock_lots(tx, [goods_id])
        row = need_lot(rows, goods_id)
        advance(goods_id=goods_id, state=row["state"], asked=Step.VALUE)
        _check_unit_value(unit_value, row)
        key, said = (goods_id, valued_date, source), (unit_value.amount_minor, condition)
        if not await tx.pg.fetchval(_VALUE, *key, *said, actor):
            known = await tx.pg.fetchrow(_VALUED, *key)
            if known is None or (known["unit_value_minor"], known["condition"]) != said:
                raise DuplicateValuation(goods_id=goods_id, source=source)
            return
        facts = {"on": valued_date.isoformat(), "source": source, "unit_value": unit_value.wire()}
        await record(tx, [Entry(actor, "goods.valued", goods_id, facts)])
        await appraise_goods(tx, rows, on=on)


async def reject_goods(database: Database, *, goods_id: str, reason: str, party: str | None, actor: str) -> None:
    """Take a receipt back that nobody has pledged, by its holder or the bank; UnknownGoods or NotPossible otherwise."""
    async with database.transaction() as tx:
        row = need_lot(await lock_lots(tx, [goods_id]), goods_id, party=party)
        if isinstance(step := advance(goods_id=goods_id, state=row["state"], asked=Step.REJECT), AlreadyApplied):
            return
        await tx.pg.execute(
            "UPDATE goods SET state = $2, reason = $3 WHERE goods_id = $1", goods_id, step.state.value, reason
        )
        await record(tx, [Entry(actor, "goods.rejected", goods_id, {"reason": reason})])


def _check_condition(condition: str, known: tuple[str, ...]) -> None:
    if condition not in known:
        raise UnknownCondition(condition=condition, known=tuple(sorted(known)))


def _check_unit_value(unit_value: Money, row: Row) -> None:
    """Refuse a value in another currency, none, or one at which all the goods are more than any amount."""
    if unit_value.currency != row["currency"]:
        raise CurrencyMismatch(expected=row["currency"], found=unit_value.currency)
    text = unit_value.wire()["amount"]
    if unit_value.amount_minor <= 0:
        raise InvalidAmount(amount=text, reason="is not above zero")
    if unit_value.amount_minor * row["quantity_milli"] > MAX_MINOR * THOUSAND:
        raise InvalidAmount(amount=text, reason="makes the goods worth more than an amount can be")
