"""Take what was read in: invoices become receivables, credit notes lower them; each answered in its place."""

from __future__ import annotations

from collections.abc import Sequence

from services.receivables.domain.documents import EInvoice
from services.receivables.operations.originals import Evidence
from services.receivables.operations.take_documents import Taken, take_in
from services.receivables.operations.take_notes import TakenNote, take_notes
from shared.storage.database import Transaction


async def take_all(
    tx: Transaction,
    *,
    documents: Sequence[tuple[str, EInvoice]],
    party: str | None,
    actor: str,
    evidence: Sequence[Evidence] = (),
    audited: bool = True,
) -> list[Taken | TakenNote | Exception]:
    """Take (file, document) pairs in, the invoices before the notes that cite them; the errors of both kinds.

    Who takes many rows as one says so in the audit log itself (`audited` is false).
    """
    behind = evidence or [Evidence()] * len(documents)
    answers: dict[int, Taken | TakenNote | Exception] = {}
    for is_note in (False, True):
        places = [nth for nth, (_, each) in enumerate(documents) if each.is_credit_note is is_note]
        if not places:
            continue
        chosen, facts = [documents[nth] for nth in places], [behind[nth] for nth in places]
        made = (
            await take_notes(tx, notes=chosen, party=party, actor=actor, evidence=facts)
            if is_note
            else await take_in(tx, documents=chosen, party=party, actor=actor, evidence=facts, audited=audited)
        )
        answers |= zip(places, made, strict=True)
    return [answers[nth] for nth in range(len(documents))]
