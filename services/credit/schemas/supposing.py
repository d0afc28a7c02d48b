"""The shapes of what if."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.credit.domain.what_if import (
    Change,
    Covered,
    Deepened,
    Failed,
    Joined,
    Limited,
    PairLimited,
    Rated,
    Traded,
)
from services.credit.schemas.body import Body, Id
from shared.values.money import Amount, Money
from shared.values.rates import MILLION, InvalidRate, parse_rate

_Rate = Annotated[str, Field(pattern=r"^-?[0-9]{1,3}([.][0-9]{1,6})?$", examples=["-0.300000"])]
_Share = Annotated[str, Field(pattern=r"^[0-9]{1,3}([.][0-9]{1,6})?$", examples=["0.300000"])]
_Grade = Annotated[str, Field(pattern=r"^[A-Z]{1,3}$")]
# Above these a product of the two would leave the integers that propagation counts in.
_HIGHEST_FACTOR = 10_000_000


def _factor(text: str | None) -> int | None:
    """Return millionths between nothing and tenfold."""
    if text is None:
        return None
    found = parse_rate(text)
    if found > _HIGHEST_FACTOR:
        raise InvalidRate(text=text)
    return found


def _money(amount: Amount | None) -> Money | None:
    return None if amount is None else amount.money()


class RatedIn(Body):
    """A firm, or every member of the group it heads, is rated some notches lower, or a grade, a cap, a multiplier."""

    change: Literal["rating"]
    enterprise_id: Id
    notches: int | None = Field(default=None, ge=-10, le=10)
    grade: _Grade | None = None
    cap: Amount | None = None
    multiplier: _Share | None = None
    whole_group: bool = False

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        multiplier = _factor(self.multiplier)
        return Rated(self.enterprise_id, self.notches, self.grade, _money(self.cap), multiplier, self.whole_group)


class FailedIn(Body):
    """A firm, or every member of the group it heads, fails: lines close, trade is gone, what is owed is at risk."""

    change: Literal["failure"]
    enterprise_id: Id
    whole_group: bool = False

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Failed(self.enterprise_id, self.whole_group)


class LimitedIn(Body):
    """A programme's limits change: to amounts, or by a share where no amount is given."""

    change: Literal["limit"]
    limit: Amount | None = None
    upstream_limit: Amount | None = None
    downstream_limit: Amount | None = None
    by: _Rate | None = None
    programme_id: Id | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Limited(
            _money(self.limit),
            _money(self.upstream_limit),
            _money(self.downstream_limit),
            _share_change(self.by),
            self.programme_id,
        )


class TradedIn(Body):
    """What a supplier sells to a buyer in twelve months changes: to an amount, or by a share."""

    change: Literal["trade"]
    supplier_id: Id
    buyer_id: Id
    traded: Amount | None = None
    by: _Rate | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Traded(self.supplier_id, self.buyer_id, _money(self.traded), _share_change(self.by))


class JoinedIn(Body):
    """A firm is admitted, active and under a signed agreement; where no rating is given it keeps its own."""

    change: Literal["member"]
    enterprise_id: Id
    direction: Literal["upstream", "downstream"]
    trades_with: Id
    traded: Amount
    cap: Amount | None = None
    multiplier: _Share | None = None
    grade: _Grade | None = None
    anchor_support: _Share = "0"
    committed: Amount | None = None
    programme_id: Id | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Joined(
            self.enterprise_id,
            self.direction,
            self.trades_with,
            self.traded.money(),
            _money(self.cap),
            _factor(self.multiplier),
            self.grade,
            min(MILLION, _factor(self.anchor_support) or 0),
            _money(self.committed),
            self.programme_id,
        )


class DeepenedIn(Body):
    """A programme reaches another tier."""

    change: Literal["max_tier"]
    max_tier: int = Field(ge=1, le=20)
    programme_id: Id | None = None

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Deepened(self.max_tier, self.programme_id)


class PairLimitedIn(Body):
    """What is financed of one seller's claims on one obligor gets a limit, or another one."""

    change: Literal["pair_limit"]
    seller_id: Id
    obligor_id: Id
    limit: Amount

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return PairLimited(self.seller_id, self.obligor_id, self.limit.money())


class CoveredIn(Body):
    """A registered cover is worth another amount, or changes by a share where none is given, or is gone."""

    change: Literal["cover"]
    cover_id: Id
    value: Amount | None = None
    by: _Rate | None = None
    gone: bool = False

    def supposed(self) -> Change:
        """Return the change as the rules know it."""
        return Covered(self.cover_id, _money(self.value), _share_change(self.by), self.gone)


def _share_change(text: str | None) -> int | None:
    """Return a change by a share: all of it may go, at most ten times as much may come."""
    if text is None:
        return None
    found = parse_rate(text)
    if not -MILLION <= found <= _HIGHEST_FACTOR:
        raise InvalidRate(text=text)
    return found


ChangeIn = Annotated[
    RatedIn | FailedIn | LimitedIn | TradedIn | JoinedIn | DeepenedIn | PairLimitedIn | CoveredIn,
    Field(discriminator="change"),
]


class WhatIfIn(Body):
    """Changes to suppose, one after the other, and how many of each list to answer."""

    changes: list[ChangeIn] = Field(max_length=100)
    limit: int = Field(default=1000, ge=1, le=10_000)

    def supposed(self) -> list[Change]:
        """Return the changes as the rules know them."""
        return [each.supposed() for each in self.changes]


class WhatIfOfAllIn(WhatIfIn):
    """Changes to suppose of some programmes, or, where none are named, of every one that they concern."""

    changes: list[ChangeIn] = Field(min_length=1, max_length=100)
    programme_ids: Annotated[list[Id], Field(min_length=1, max_length=500)] | None = None
