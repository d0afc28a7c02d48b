"""What cash a firm lacks, and the cheapest drawdowns that close the gap."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from services.credit import queries
from services.credit.schemas import CashNeedsIn, FlowIn
from shared.values.ids import parse_id
from shared.values.money import CurrencyMismatch, InvalidAmount, Money
from shared.web.auth import BANK, Caller, access, own_party
from shared.web.serving import Db

router = APIRouter()


@router.post("/enterprises/{enterprise_id}/cash-needs")
async def find_cash_needs(
    enterprise_id: str, body: CashNeedsIn, database: Db, caller: Annotated[Caller, access(*BANK, "sme")]
) -> dict[str, Any]:
    """Forecast a firm's cash week by week and find the drawdowns that close its gaps at the least cost.

    Nothing is drawn or held. A firm sees its own only (R23).
    """
    enterprise_id = parse_id(enterprise_id)
    own_party(caller, enterprise_id)
    opening = body.opening_balance.money()
    minimum = _same_currency(body.minimum_balance.money(), opening)
    flows = [queries.Named(each.due_date, _signed(each, opening), each.name) for each in body.flows]
    return await queries.cash_needs(
        database, enterprise_id=enterprise_id, opening=opening, minimum=minimum, weeks=body.weeks, flows=flows
    )


def _signed(flow: FlowIn, opening: Money) -> Money:
    given = _same_currency(flow.amount.money(), opening)
    if given.amount_minor <= 0:
        raise InvalidAmount(amount=flow.amount.amount, reason="is not above zero")
    return given if flow.direction == "in" else Money(-given.amount_minor, given.currency)


def _same_currency(money: Money, opening: Money) -> Money:
    if money.currency != opening.currency:
        raise CurrencyMismatch(expected=opening.currency, found=money.currency)
    return money
