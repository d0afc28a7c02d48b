"""How a person clears what waits in suspense (R25): to a loan, to who is owed it, to who paid it, or against a debit.

The debt follows the money: what a receivable took of a receipt is its creditor's, and only what no debt took goes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Way = Literal["loan", "owner", "payer", "debit"]


class NotCleared(Exception):
    """What was asked for cannot be done with what waits: nothing was moved."""

    code: ClassVar[str] = "not_cleared"

    def __init__(self, detail: str) -> None:
        """Say why."""
        super().__init__(detail)


class MoreThanWaits(NotCleared):
    """So much does not wait, or not for that."""

    code: ClassVar[str] = "more_than_waits"


class PaidADebt(NotCleared):
    """The money paid a receivable: it is its creditor's."""

    code: ClassVar[str] = "paid_a_debt"


class DebtNotTold(NotCleared):
    """What the receivable that it names took of it is not known yet."""

    code: ClassVar[str] = "debt_not_told"


class NotItsOwners(NotCleared):
    """The receivable is known of nobody, or it is a loan's or the holders' of its voucher."""

    code: ClassVar[str] = "not_its_owners"


class NotThisWay(NotCleared):
    """What waits came in or went out, and is not cleared this way; or of another currency."""

    code: ClassVar[str] = "not_this_way"


class NotWhereItCameFrom(NotCleared):
    """Money goes back to the account that it came from."""

    code: ClassVar[str] = "not_where_it_came_from"


class TakesNothing(NotCleared):
    """The loan owes nothing, or was never paid out, and its documents leave no room."""

    code: ClassVar[str] = "loan_takes_nothing"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("The loan owes nothing, or was never paid out, and its documents leave no room.")


@dataclass(frozen=True, slots=True)
class Debt:
    """A receivable without a loan, and what it took of one receipt, in minor units; `passed` went to its creditor."""

    receivable_id: str
    creditor_id: str | None
    open: int
    ended: bool
    vouchered: bool
    assigned: bool
    took: int = 0
    passed: int = 0

    @property
    def kept(self) -> int:
        """Return what it took and its creditor did not get yet."""
        return max(0, self.took - self.passed)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of one entry, in minor units, and the receivable that its reference names."""

    minor: int
    received: int
    direction: Literal["credit", "debit"]
    currency: str
    counterparty: str | None = None
    named: Debt | None = None

    def check(self, way: Way, *, minor: int) -> None:
        """Refuse what does not wait; MoreThanWaits, NotThisWay."""
        if self.direction != "credit":
            message = "Only money that came in is given to somebody."
            raise NotThisWay(message)
        if not 0 < minor <= self.minor:
            message = "So much does not wait."
            raise MoreThanWaits(message)
        if way == "payer":
            self._check_free(minor)

    def _check_free(self, minor: int) -> None:
        """Refuse to give back what a debt took: known once it took all of the receipt, or nothing is left of it."""
        if self.named is None:
            return
        told = self.named.took == self.received or self.named.open == 0 or self.named.ended or self.named.vouchered
        if not told:
            message = (
                "What the receivable that it names took of it is not known yet; try again, or pass it to its owner."
            )
            raise DebtNotTold(message)
        if minor > self.minor - self.named.kept:
            message = "It paid a receivable: it is its creditor's."
            raise PaidADebt(message)


def check_owner(debt: Debt | None, *, minor: int) -> str:
    """Return the creditor of a receivable, to whom so much is passed; NotItsOwners, MoreThanWaits."""
    if debt is None or debt.creditor_id is None or debt.vouchered or debt.assigned:
        message = "The receivable is not known, or stands beneath a loan or a voucher."
        raise NotItsOwners(message)
    if minor > debt.kept + (0 if debt.ended else debt.open):
        message = "The receivable neither took so much of it nor is so much open."
        raise MoreThanWaits(message)
    return debt.creditor_id


def check_loan(waiting: Waiting, *, minor: int, borrower_id: str, is_of_loan: bool) -> None:
    """Refuse to repay somebody's loan with what paid another's receivable; PaidADebt."""
    named = waiting.named
    if named is None or named.creditor_id == borrower_id or is_of_loan:
        return
    if minor > waiting.minor - named.kept:
        message = "It paid a receivable of somebody else than the borrower."
        raise PaidADebt(message)


def check_against(went_out: Waiting | None, came_back: Waiting, *, minor: int) -> None:
    """Refuse to clear a receipt against what did not go out unexplained, or not so much; NotThisWay, MoreThanWaits."""
    if went_out is None or (went_out.direction, went_out.currency) != ("debit", came_back.currency):
        message = "Only money that went out unexplained, in the same currency, can have come back."
        raise NotThisWay(message)
    if minor > went_out.minor:
        message = "So much did not go out."
        raise MoreThanWaits(message)


def return_account(waiting: Waiting, *, account: str | None) -> str:
    """Return where money goes back to; NotWhereItCameFrom when the statement names another account, or nobody any."""
    told = waiting.counterparty or account
    if told is None or (account is not None and account != told):
        message = "Money goes back to the account that it came from; where the statement tells none, a person must."
        raise NotWhereItCameFrom(message)
    return told
