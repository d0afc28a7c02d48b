"""Take credit notes in: each lowers the receivables that it cites, or waits for a person who says which (R6)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from services.receivables.domain.credit_notes import (
    WAITS_FOR_INVOICE,
    DuplicateNote,
    Note,
    NoteState,
    Part,
    Placed,
    Target,
    Waits,
    cited_apart,
    place,
)
from services.receivables.domain.documents import Cited, EInvoice, SellerIsObligor
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.parties import Directory, UnknownParty
from services.receivables.operations.locking import Row
from services.receivables.operations.lowering import SOURCE, Locked, Lowering, lock_to_lower
from services.receivables.operations.originals import Evidence, keep_originals
from services.receivables.operations.parties import directory_of
from shared.events.credit_notes import CreditNoteDecided, CreditNoteTaken, NotePart
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.values.ids import new_id
from shared.values.money import Amount, Money
from shared.web.auth import ForeignParty

_TARGETS = """
SELECT r.receivable_id, r.seller_id, r.number_key FROM receivable r
JOIN unnest($1::text[], $2::text[]) AS d(seller_id, number_key) USING (seller_id, number_key)
WHERE r.state NOT IN ('rejected', 'cancelled')
"""
_INSERT = """
INSERT INTO credit_note (credit_note_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax,
    profile, file, issue_date, currency, amount_minor, cites, cited_keys, state, reasons, original_sha256, rules,
    findings, actor)
SELECT credit_note_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax, profile, file,
    issue_date, currency, amount, cites::jsonb, string_to_array(cited, E'\\x1f'), 'referred', '{}', original,
    string_to_array(rules, '|'), findings::jsonb, actor
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::date[], $12::text[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[],
    $18::text[], $19::text[]) WITH ORDINALITY
    AS d(credit_note_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax, profile, file,
        issue_date, currency, amount, cites, cited, original, rules, findings, actor, nth)
ORDER BY seller_id, number_key, issue_year, nth ON CONFLICT DO NOTHING RETURNING credit_note_id
"""
_COLUMNS = 19
_STANDING = """
SELECT n.credit_note_id, n.seller_id, n.number, n.number_key, n.issue_year, n.state FROM credit_note n
JOIN unnest($1::text[], $2::text[], $3::int[]) AS d(seller_id, number_key, issue_year)
    USING (seller_id, number_key, issue_year)
WHERE n.state <> 'rejected'
"""
_PLACED = """
UPDATE credit_note n SET state = d.state, reasons = string_to_array(d.reasons, ',')
FROM unnest($1::text[], $2::text[], $3::text[]) AS d(credit_note_id, state, reasons)
WHERE n.credit_note_id = d.credit_note_id
"""
# Notes that came before their invoices, once all of those are there.
WAITING = """
SELECT n.* FROM credit_note n WHERE n.state = 'referred' AND n.reasons && $1 AND NOT EXISTS (
    SELECT FROM unnest(n.cited_keys) AS k(number_key) WHERE NOT EXISTS (
        SELECT FROM receivable r WHERE (r.seller_id, r.number_key) = (n.seller_id, k.number_key)
            AND r.state NOT IN ('referred', 'rejected', 'cancelled')))
ORDER BY n.credit_note_id LIMIT 100 FOR UPDATE OF n SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class TakenNote:
    """A credit note that was stored: with the receivables that it lowered, or why a person must say."""

    credit_note_id: str
    file: str
    invoice: EInvoice
    note: Note
    evidence: Evidence
    state: Literal["applied", "referred"] = "referred"
    parts: tuple[Part, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def claim(self) -> tuple[str, str, int]:
        """Return by what a note is known: seller, number and year, as an invoice is (R8)."""
        return self.note.seller_id, number_key(self.invoice.number), self.invoice.issue_date.year

    @property
    def receivable_id(self) -> str | None:
        """Return the first receivable that it lowered."""
        return self.parts[0].receivable_id if self.parts else None


async def take_notes(
    tx: Transaction,
    *,
    notes: Sequence[tuple[str, EInvoice]],
    party: str | None,
    actor: str,
    evidence: Sequence[Evidence],
) -> list[TakenNote | Exception]:
    """Take (file, credit note) pairs in; answer each with what was stored or with why nothing was.

    UnknownParty, ForeignParty (a party may only bring notes on what it sells or owes), SellerIsObligor, DuplicateNote.
    """
    directory = await directory_of(tx, [each for _, note in notes for each in (note.seller, note.buyer)])
    answers: list[TakenNote | Exception] = []
    for (file, invoice), each in zip(notes, evidence, strict=True):
        try:
            answers.append(_stated(invoice, file=file, directory=directory, party=party, evidence=each))
        except (UnknownParty, ForeignParty, SellerIsObligor) as error:
            answers.append(error)
    wanted = [each for each in answers if isinstance(each, TakenNote)]
    rows = await tx.pg.fetch(_INSERT, *by_column((_row(each, actor) for each in wanted), width=_COLUMNS))
    inserted = {row["credit_note_id"] for row in rows}
    fresh = [each for each in wanted if each.credit_note_id in inserted]
    await keep_originals(tx, [each.evidence for each in fresh])
    asked = [(each.credit_note_id, each.note, each.evidence.reasons) for each in fresh]
    placed = await _place(tx, asked, actor=actor)
    said = {each.credit_note_id: _with(each, placed[each.credit_note_id]) for each in fresh}
    await append(tx, [_taken(each) for each in said.values()], source=SOURCE)
    await record(tx, [Entry(actor, "credit_note.taken", each.credit_note_id, {"file": each.file}) for each in fresh])
    standing = await _standing(tx, [each.claim for each in wanted if each.credit_note_id not in inserted])
    return [
        each if not isinstance(each, TakenNote) else said.get(each.credit_note_id) or standing[each.claim]
        for each in answers
    ]


async def place_waiting(database: Database) -> None:
    """Look again at notes that waited for their invoice, once it is there; a hundred at a time."""
    async with database.transaction() as tx:
        rows = await tx.pg.fetch(WAITING, list(WAITS_FOR_INVOICE))
        notes = {row["credit_note_id"]: note_of(row) for row in rows}
        placed = await _place(tx, [(key, note, ()) for key, note in notes.items()], actor="timer")
        done = {key: each.parts for key, each in placed.items() if isinstance(each, Placed)}
        reason = "its invoice came"
        events = [decided(key, notes[key], parts, state="applied", reason=reason) for key, parts in done.items()]
        await append(tx, events, source=SOURCE)
        await record(tx, [Entry("timer", "credit_note.decided", key, {"reason": reason}) for key in done])


def note_of(row: Row) -> Note:
    """Return a stored credit note."""
    cites = tuple(Cited(each["number"], _day(each["issue_date"])) for each in row["cites"])
    amount = Money(row["amount_minor"], row["currency"])
    return Note(row["seller_id"], row["obligor_id"], row["number"], amount, cites)


def target_of(found: Locked) -> Target:
    """Return a locked receivable as a note sees it, with what this transaction has taken off it already."""
    row = found.row
    return Target(
        receivable_id=row["receivable_id"],
        seller_id=row["seller_id"],
        obligor_id=row["obligor_id"],
        number=row["number"],
        issue_date=row["issue_date"],
        open=Money(found.open_minor, row["currency"]),
        state=found.state,
        undertaking=row["undertaking"],
        vouchered=row["vouchered"],
        drawdown_id=row["drawdown_id"],
        noted=frozenset(found.noted),
    )


def take_off(lowering: Lowering, note: Note, part: Part, *, credit_note_id: str, actor: str) -> None:
    """Take a part of a note off its receivable."""
    lowering.note(
        part.receivable_id,
        by=part.by,
        reference=note.number,
        reason=f"credit note {note.number}",
        actor=actor,
        credit_note_id=credit_note_id,
    )


def decided(
    credit_note_id: str, note: Note, parts: Sequence[Part], *, state: Literal["applied", "rejected"], reason: str
) -> CreditNoteDecided:
    """Return what is said of a note that waited."""
    left = note.amount.amount_minor - sum(each.by.amount_minor for each in parts)
    return CreditNoteDecided(
        credit_note_id=credit_note_id,
        state=state,
        reason=reason,
        parts=_told(parts),
        left=Amount.of(amount_minor=left, currency=note.amount.currency),
    )


async def _place(
    tx: Transaction, notes: Sequence[tuple[str, Note, Sequence[str]]], *, actor: str
) -> dict[str, Placed | Waits]:
    """Let notes lower what they cite, one after the other; a note whose own findings need a person waits."""
    claims = {key: [(note.seller_id, each) for each in cited_keys(note)] for key, note, _ in notes}
    candidates: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in await tx.pg.fetch(
        _TARGETS, *by_column(sorted({claim for found in claims.values() for claim in found}), width=2)
    ):
        candidates[row["seller_id"], row["number_key"]].append(row["receivable_id"])
    lowering = await lock_to_lower(tx, [each for found in candidates.values() for each in found])
    placed: dict[str, Placed | Waits] = {}
    for key, note, reasons in notes:
        targets = [target_of(lowering.of(each)) for claim in claims[key] for each in candidates[claim]]
        made = Waits(tuple(reasons)) if reasons else place(note, targets)
        for part in made.parts if isinstance(made, Placed) else ():
            take_off(lowering, note, part, credit_note_id=key, actor=actor)
        placed[key] = made
    await lowering.write(tx)
    rows = [
        (key, NoteState.APPLIED, "") if isinstance(made, Placed) else (key, NoteState.REFERRED, ",".join(made.reasons))
        for key, made in placed.items()
    ]
    await tx.pg.execute(_PLACED, *by_column(rows, width=3))
    return placed


def cited_keys(note: Note) -> list[str]:
    """Return the keys of the numbers that a note cites, each once."""
    return list(dict.fromkeys(number_key(each.number) for each in cited_apart(note.cites)))


def _stated(invoice: EInvoice, *, file: str, directory: Directory, party: str | None, evidence: Evidence) -> TakenNote:
    seller_id = directory.resolve(invoice.seller, which="seller")
    obligor_id = directory.resolve(invoice.buyer, which="obligor")
    if seller_id == obligor_id:
        raise SellerIsObligor("Seller and obligor are the same enterprise.", enterprise_id=seller_id)
    if party is not None and party not in {seller_id, obligor_id}:
        raise ForeignParty
    note = Note(seller_id, obligor_id, invoice.number, invoice.payable, invoice.cites)
    return TakenNote(new_id(), file, invoice, note, evidence)


def _row(each: TakenNote, actor: str) -> tuple[Any, ...]:
    invoice, note, judgement = each.invoice, each.note, each.evidence.judgement
    cites = [
        {"number": cited.number, "issue_date": cited.issue_date and cited.issue_date.isoformat()}
        for cited in note.cites
    ]
    return (
        each.credit_note_id,
        note.seller_id,
        note.obligor_id,
        note.number,
        number_key(note.number),
        invoice.issue_date.year,
        invoice.document_type,
        invoice.syntax,
        invoice.profile,
        each.file,
        invoice.issue_date,
        note.amount.currency,
        note.amount.amount_minor,
        json.dumps(cites, ensure_ascii=False),
        "\x1f".join(cited_keys(note)),
        each.evidence.sha256,
        "|".join(judgement.packs),
        json.dumps(judgement.wire(), ensure_ascii=False),
        actor,
    )


async def _standing(
    tx: Transaction, claims: Sequence[tuple[str, str, int]]
) -> Mapping[tuple[str, str, int], DuplicateNote]:
    if not claims:
        return {}
    return {
        (row["seller_id"], row["number_key"], row["issue_year"]): DuplicateNote(
            credit_note_id=row["credit_note_id"], number=row["number"], issue_year=row["issue_year"], state=row["state"]
        )
        for row in await tx.pg.fetch(_STANDING, *by_column(claims, width=3))
    }


def _with(each: TakenNote, made: Placed | Waits) -> TakenNote:
    if isinstance(made, Placed):
        return replace(each, state="applied", parts=made.parts)
    return replace(each, reasons=made.reasons)


def _taken(each: TakenNote) -> CreditNoteTaken:
    note = each.note
    return CreditNoteTaken(
        credit_note_id=each.credit_note_id,
        seller_id=note.seller_id,
        obligor_id=note.obligor_id,
        number=note.number,
        amount=Amount(**note.amount.wire()),
        issue_date=each.invoice.issue_date,
        state=each.state,
        reasons=list(each.reasons),
        parts=_told(each.parts),
    )


def _told(parts: Sequence[Part]) -> list[NotePart]:
    return [NotePart(receivable_id=each.receivable_id, by=Amount(**each.by.wire())) for each in parts]


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
