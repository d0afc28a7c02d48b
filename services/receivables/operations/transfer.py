"""Pass a slice on down the tiers: the holder offers a part, the transferee accepts, citing a real trade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.receivables.domain.parties import UnknownParty
from services.receivables.domain.receivables import NotPossible
from services.receivables.domain.slices import InvalidSlice, VoucherSlice, check_movable, split
from services.receivables.operations.locking import Row, UnknownVoucher, lock_slices, slice_of
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import Slice, VoucherTransferred
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.ids import new_id
from shared.values.money import Amount, CurrencyMismatch
from shared.web.auth import ForeignParty


async def offer_transfer(
    tx: Transaction,
    *,
    root_id: str,
    slice_id: str,
    amount: Amount,
    transferee_id: str,
    trade_reference: str,
    party: str,
    actor: str,
) -> dict[str, Any]:
    """Offer a part of a live slice; until it is answered the whole slice stands still."""
    money = amount.money()
    row = await _own_slice(tx, root_id=root_id, slice_id=slice_id)
    if row["holder_id"] != party:
        raise ForeignParty
    if money.currency != row["currency"]:
        raise CurrencyMismatch(expected=row["currency"], found=money.currency)
    if transferee_id == party:
        raise InvalidSlice(slice_id=slice_id, reason="is its holder's already")
    if not await tx.pg.fetchval("SELECT true FROM enterprise WHERE enterprise_id = $1", transferee_id):
        raise UnknownParty(which="seller", name=transferee_id, why="not_registered")
    today = await tx.pg.fetchval("SELECT open_date FROM book")
    piece = slice_of(row)
    check_movable(piece, amount_minor=money.amount_minor, maturity_date=row["maturity_date"], today=today)
    transfer_id = new_id()
    await tx.pg.execute("UPDATE slice SET state = 'offered' WHERE slice_id = $1", slice_id)
    await tx.pg.execute(
        """INSERT INTO transfer (transfer_id, root_id, slice_id, amount_minor, transferor_id, transferee_id,
            trade_reference, state) VALUES ($1, $2, $3, $4, $5, $6, $7, 'offered')""",
        *(transfer_id, root_id, slice_id, money.amount_minor, party, transferee_id, trade_reference),
    )
    facts = {"slice_id": slice_id, "amount": money.wire(), "transferee_id": transferee_id}
    await record(tx, [Entry(actor, "transfer.offered", transfer_id, facts)])
    return {"transfer_id": transfer_id, "slice_id": slice_id, "state": "offered"}


async def accept_transfer(tx: Transaction, *, root_id: str, transfer_id: str, party: str, actor: str) -> dict[str, Any]:
    """Accept an offered part: the slice is replaced by the transferee's and what remains with its holder (R13)."""
    transfer = await _open_transfer(tx, root_id=root_id, transfer_id=transfer_id, asked="be accepted")
    if transfer["transferee_id"] != party:
        raise ForeignParty
    row = await _own_slice(tx, root_id=root_id, slice_id=transfer["slice_id"])
    replaced, made = split(
        slice_of(row),
        amount_minor=transfer["amount_minor"],
        transferee_id=party,
        slice_ids=[new_id(), new_id()],
    )
    # Replaced first: the exclusion constraint lets no moment pass in which two slices of the root overlap.
    await tx.pg.execute("UPDATE slice SET state = 'replaced' WHERE slice_id = $1", replaced.slice_id)
    await tx.pg.execute(
        """INSERT INTO slice (slice_id, root_id, start_minor, end_minor, holder_id, state)
        SELECT slice_id, $2, start_minor, end_minor, holder_id, 'live'
        FROM unnest($1::text[], $3::bigint[], $4::bigint[], $5::text[])
            AS n(slice_id, start_minor, end_minor, holder_id)""",
        [each.slice_id for each in made],
        root_id,
        [each.start_minor for each in made],
        [each.end_minor for each in made],
        [each.holder_id for each in made],
    )
    await tx.pg.execute("UPDATE transfer SET state = 'accepted' WHERE transfer_id = $1", transfer_id)
    wire = slices_wire(made)
    event = VoucherTransferred(
        root_id=root_id,
        replaced_slice_id=replaced.slice_id,
        slices=wire,
        trade_reference=transfer["trade_reference"],
    )
    await append(tx, [event], source=SOURCE)
    await record(tx, [Entry(actor, "transfer.accepted", transfer_id, {"slice_id": replaced.slice_id})])
    return {"root_id": root_id, "slices": [each.model_dump() for each in wire]}


async def decline_transfer(
    tx: Transaction, *, root_id: str, transfer_id: str, party: str, actor: str
) -> dict[str, Any]:
    """Decline an offer, or take it back: the slice is live again."""
    transfer = await _open_transfer(tx, root_id=root_id, transfer_id=transfer_id, asked="be declined")
    if party not in {transfer["transferee_id"], transfer["transferor_id"]}:
        raise ForeignParty
    await _own_slice(tx, root_id=root_id, slice_id=transfer["slice_id"])
    await tx.pg.execute("UPDATE transfer SET state = 'declined' WHERE transfer_id = $1", transfer_id)
    await tx.pg.execute("UPDATE slice SET state = 'live' WHERE slice_id = $1", transfer["slice_id"])
    await record(tx, [Entry(actor, "transfer.declined", transfer_id, {"slice_id": transfer["slice_id"]})])
    return {"transfer_id": transfer_id, "slice_id": transfer["slice_id"], "state": "declined"}


def slices_wire(slices: Sequence[VoucherSlice]) -> list[Slice]:
    """Return slices as events and HTTP bodies carry them."""
    return [
        Slice(
            slice_id=each.slice_id,
            start_minor=each.start_minor,
            end_minor=each.end_minor,
            holder_id=each.holder_id,
            state=each.state.value,
        )
        for each in slices
    ]


async def _open_transfer(tx: Transaction, *, root_id: str, transfer_id: str, asked: str) -> Row:
    row: Row | None = await tx.pg.fetchrow(
        "SELECT * FROM transfer WHERE transfer_id = $1 AND root_id = $2 FOR UPDATE", transfer_id, root_id
    )
    if row is None:
        raise UnknownVoucher(document_id=transfer_id)
    if row["state"] != "offered":
        raise NotPossible(document_id=transfer_id, state=row["state"], asked=asked)
    return row


async def _own_slice(tx: Transaction, *, root_id: str, slice_id: str) -> Row:
    row = (await lock_slices(tx, [slice_id])).get(slice_id)
    if row is None or row["root_id"] != root_id:
        raise UnknownVoucher(document_id=slice_id)
    return row
