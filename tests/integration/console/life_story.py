"""What receivables says in the story of credit notes, of a part that is paid, and of an invoice taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from shared.events import credit_notes, receivables
from shared.events.envelope import Event
from shared.values.money import Amount


def life(ids: Sequence[str], seller_id: str, obligor_id: str, *, day: date) -> list[Event]:
    """Return what happens to two receivables, two credit notes, an order and a note that still waits, by these ids."""
    paid, cancelled, cited, waiting, order, undecided = ids

    def invoice(receivable_id: str, number: str) -> Event:
        return receivables.ReceivableRegistered(
            receivable_id=receivable_id,
            seller_id=seller_id,
            obligor_id=obligor_id,
            number=number,
            document_type="380",
            syntax="ubl",
            issue_date=day,
            due_date=day + timedelta(days=60),
            payable=_cny("80.00"),
            state="validated",
            reasons=[],
        )

    def note(credit_note_id: str, number: str, *reasons: str, receivable_id: str | None = None) -> Event:
        return credit_notes.CreditNoteTaken(
            credit_note_id=credit_note_id,
            seller_id=seller_id,
            obligor_id=obligor_id,
            number=number,
            amount=_cny("5.00"),
            issue_date=day,
            state="referred" if reasons else "applied",
            reasons=list(reasons),
            parts=[_part(receivable_id)] if receivable_id else [],
        )

    return [
        invoice(paid, "INV-11"),
        note(cited, "CN-1", receivable_id=paid),
        receivables.ReceivableDiluted(
            receivable_id=paid, by=_cny("5.00"), financeable=_cny("75.00"), reason="credit note CN-1"
        ),
        receivables.ReceivablePaid(
            receivable_id=paid,
            by=_cny("20.00"),
            paid=_cny("20.00"),
            financeable=_cny("55.00"),
            payee="seller",
            paid_date=day,
        ),
        note(waiting, "CN-2", "invoice_not_known"),
        credit_notes.CreditNoteDecided(
            credit_note_id=waiting,
            state="applied",
            reason="its invoice came",
            parts=[_part(paid)],
            left=_cny("0.00"),
        ),
        receivables.ReceivableDiluted(
            receivable_id=paid, by=_cny("5.00"), financeable=_cny("50.00"), reason="credit note CN-2"
        ),
        note(undecided, "CN-3", "invoices_financed_apart"),
        invoice(cancelled, "INV-12"),
        receivables.ReceivableCancelled(receivable_id=cancelled, reason="sent twice by mistake"),
        receivables.OrderReopened(order_id=order, receivable_id=cancelled, by=_cny("80.00"), open=_cny("80.00")),
    ]


def _part(receivable_id: str) -> credit_notes.NotePart:
    return credit_notes.NotePart(receivable_id=receivable_id, by=_cny("5.00"))


def _cny(amount: str) -> Amount:
    return Amount(amount=amount, currency="CNY")
