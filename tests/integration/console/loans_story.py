"""What settlement says of loans in the story: paid out by two instalments, late with the first, repaid."""

from __future__ import annotations

from datetime import date, timedelta

from shared.events import credit, settlement
from shared.events.envelope import Event
from shared.values.money import Amount


def disbursed(loan_id: str, amount: str, *, day: date) -> Event:
    """Return that a loan went out."""
    return settlement.LoanDisbursed(
        loan_id=loan_id,
        principal=_cny(amount),
        paid_out=_cny(amount),
        disbursed_date=day,
        maturity_date=day + timedelta(days=65),
        standing=_standing(day, on=day),
    )


def overdue(loan_id: str, *, day: date) -> list[Event]:
    """Return that the first instalment fell due and was not paid."""
    on = day + timedelta(days=34)
    return [
        settlement.LoanBilled(loan_id=loan_id, due=_cny("42.10"), standing=_standing(day, on=on, penalty="0.10")),
        settlement.LoanOverdue(
            loan_id=loan_id,
            days_past_due=4,
            outstanding=_cny("100.00"),
            overdue=_cny("42.00"),
            due_date=day + timedelta(days=30),
        ),
    ]


def repaid(loan_id: str, line_id: str, principal: str, outstanding: str, *, day: date) -> list[Event]:
    """Return a receipt, what it repaid, and that it can be drawn again."""
    on = day + timedelta(days=70)
    collection = settlement.CollectionReceived(
        collection_id=f"COLLECT-1/{principal}",
        account="COLLECT-1",
        received=_cny("70.00"),
        applied=_cny(principal),
        unmatched=_cny("5.00"),
        value_date=on,
        reference="INV-1",
    )
    cleared = settlement.CollectionCleared(
        collection_id=collection.collection_id,
        clearing_id=f"{principal}/1",
        way="payer",
        amount=_cny("1.00"),
        passed=_cny("1.00"),
        unmatched=_cny("4.00"),
        value_date=on,
    )
    return [
        collection,
        cleared,
        settlement.LoanRepaid(
            loan_id=loan_id,
            collection_id=collection.collection_id,
            value_date=on,
            costs=_cny("0.00"),
            penalty=_cny("0.10"),
            interest=_cny("1.00"),
            principal=_cny(principal),
            outstanding=_cny(outstanding),
            surplus=_cny("0.00"),
            standing=_standing(day, on=on, paid=1 if outstanding != "0.00" else 2),
        ),
        credit.DrawdownReinstated(
            drawdown_id=loan_id, principal=_cny(principal), outstanding=_cny(outstanding), line_id=line_id
        ),
    ]


def _standing(day: date, *, on: date, penalty: str = "0.00", paid: int = 0) -> settlement.LoanStanding:
    """Return a loan of two instalments, so many of them paid."""
    dates = (day + timedelta(days=30), day + timedelta(days=90))
    parts = [
        settlement.Instalment(
            nth=nth,
            due_date=due,
            principal=_cny(principal),
            interest=_cny(interest),
            principal_paid=_cny(principal if nth <= paid else "0.00"),
            interest_paid=_cny(interest if nth <= paid else "0.00"),
            settled_date=on if nth <= paid else None,
        )
        for nth, due, principal, interest in zip((1, 2), dates, ("40.00", "60.00"), ("2.00", "1.00"), strict=True)
    ]
    late = dates[0] <= on and not paid
    return settlement.LoanStanding(
        on_date=on,
        costs=_cny("0.00"),
        penalty=_cny(penalty),
        interest=_cny("2.00" if late else "0.00"),
        principal=_cny("40.00" if late else "0.00"),
        instalments=parts,
    )


def _cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")
