"""Pass slices on down the tiers: a holder offers a part, the transferee accepts, citing a real trade.

Concurrent commands share a transaction whose statements are set-wise; each is decided and answered on its own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from services.receivables.domain.parties import UnknownParty
from services.receivables.domain.receivables import NotPossible
from services.receivables.domain.slices import (
    InvalidSlice,
    SliceState,
    VoucherSlice,
    check_movable,
    check_unmatured,
    split,
)
from services.receivables.operations.locking import Row, UnknownVoucher, lock_slices, slice_of
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import Slice, VoucherTransferred
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.storage.group_commit import GroupCommit
from shared.storage.idempotency import Answer, IdempotencyConflict, Key, claim, complete, give_back
from shared.values.ids import new_id
from shared.values.money import CurrencyMismatch, Money
from shared.web.auth import ForeignParty

_LOCK = "SELECT * FROM transfer WHERE transfer_id = ANY($1) ORDER BY transfer_id FOR NO KEY UPDATE"
_FIRMS = "SELECT enterprise_id FROM enterprise WHERE enterprise_id = ANY($1)"
_MOVE = """
UPDATE slice s SET state = d.state FROM unnest($1::text[], $2::text[]) AS d(slice_id, state)
WHERE s.slice_id = d.slice_id
"""
_MADE = """
INSERT INTO slice (slice_id, root_id, start_minor, end_minor, holder_id, state)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
"""
_ANSWERED = """
UPDATE transfer t SET state = d.state FROM unnest($1::text[], $2::text[]) AS d(transfer_id, state)
WHERE t.transfer_id = d.transfer_id
"""
_OFFERED = """
INSERT INTO transfer (transfer_id, root_id, slice_id, amount_minor, transferor_id, transferee_id, trade_reference,
    state)
SELECT d.*, 'offered' FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])
    AS d(transfer_id, root_id, slice_id, amount_minor, transferor_id, transferee_id, trade_reference)
"""
_ASKED = {"accept": "be accepted", "decline": "be declined"}
_REFUSALS = (UnknownVoucher, UnknownParty, ForeignParty, NotPossible, InvalidSlice, CurrencyMismatch)


@dataclass(frozen=True, slots=True)
class Offer:
    """A holder offers a part of a slice; until it is answered the whole slice stands still."""

    key: Key
    party: str
    actor: str
    root_id: str
    slice_id: str
    amount: Money
    transferee_id: str
    trade_reference: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The transferee accepts an offered part; or declines it, as its holder may who takes it back."""

    key: Key
    party: str
    actor: str
    root_id: str
    transfer_id: str
    answer: Literal["accept", "decline"]


Command = Offer | Reply


class Transfers:
    """Gathers offers and replies and commits each batch in one transaction."""

    def __init__(self, database: Database) -> None:
        """Prepare; nothing is read yet."""
        self._database = database
        self._group: GroupCommit[Command, Answer] = GroupCommit(
            self._commit, service="receivables", command="transfer_slices"
        )

    async def submit(self, command: Command) -> Answer:
        """Do the command, or return what was answered when it was done before; or raise why not."""
        return await self._group.submit(command, root="")

    async def submit_together(self, commands: Sequence[Command]) -> list[Answer | Exception]:
        """Do commands one behind the other; return each one's answer or why not, in order."""
        return await self._group.submit_together(commands, root="")

    async def aclose(self) -> None:
        """Wait until every gathered command is answered."""
        await self._group.aclose()

    async def _commit(self, commands: list[Command]) -> list[Answer | Exception]:
        async with self._database.transaction() as tx:
            return await transfer_slices(tx, commands)


async def transfer_slices(tx: Transaction, commands: Sequence[Command]) -> list[Answer | Exception]:
    """Do every command that its key has not done before; a refused one claims no key (R19) and hurts no other."""
    first: dict[tuple[str, str, str], Command] = {}
    for command in commands:
        first.setdefault(command.key.name, command)
    claims = await claim(tx, keys=[command.key for command in first.values()])
    fresh = [command for name, command in first.items() if name in claims.mine]
    found: dict[tuple[str, str, str], Answer | Exception] = dict(claims.known)
    found |= {command.key.name: answer for command, answer in zip(fresh, await _decide(tx, fresh), strict=True)}
    done = [(command.key, answer) for command in fresh if isinstance(answer := found[command.key.name], Answer)]
    await complete(tx, answers=done)
    await give_back(tx, keys=[each.key for each in fresh if not isinstance(found[each.key.name], Answer)])
    return [
        found[command.key.name]
        if command.key.body_hash == first[command.key.name].key.body_hash
        else IdempotencyConflict(key=command.key.key)
        for command in commands
    ]


async def _decide(tx: Transaction, commands: Sequence[Command]) -> list[Answer | Exception]:
    replies = [each for each in commands if isinstance(each, Reply)]
    offers = [each for each in commands if isinstance(each, Offer)]
    transfers = {row["transfer_id"]: row for row in await tx.pg.fetch(_LOCK, [each.transfer_id for each in replies])}
    slices = await lock_slices(
        tx, {*(row["slice_id"] for row in transfers.values()), *(each.slice_id for each in offers)}
    )
    firms = {row[0] for row in await tx.pg.fetch(_FIRMS, [each.transferee_id for each in offers])}
    desk = _Desk(transfers, slices, firms, await tx.pg.fetchval("SELECT open_date FROM book"))
    answers: list[Answer | Exception] = []
    for command in commands:
        try:
            answers.append(desk.offer(command) if isinstance(command, Offer) else desk.reply(command))
        except _REFUSALS as error:
            answers.append(error)
    await desk.write(tx)
    return answers


@dataclass
class _Desk:
    """What a batch has locked, as each command leaves it to the next, and what is to be written of it."""

    transfers: dict[str, Row]
    slices: dict[str, Row]
    firms: Collection[str]
    today: date | None
    moved: dict[str, VoucherSlice] = field(default_factory=dict)
    made: list[tuple[str, VoucherSlice]] = field(default_factory=list)
    replied: dict[str, str] = field(default_factory=dict)
    offered: list[tuple[str, Offer]] = field(default_factory=list)
    events: list[VoucherTransferred] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def offer(self, asked: Offer) -> Answer:
        row, piece = self._slice(asked.slice_id, root_id=asked.root_id)
        if row["holder_id"] != asked.party:
            raise ForeignParty
        if asked.amount.currency != row["currency"]:
            raise CurrencyMismatch(expected=row["currency"], found=asked.amount.currency)
        if asked.transferee_id == asked.party:
            raise InvalidSlice(slice_id=asked.slice_id, reason="is its holder's already")
        if asked.transferee_id not in self.firms:
            raise UnknownParty(which="transferee", name=asked.transferee_id, why="not_registered")
        minor = asked.amount.amount_minor
        check_movable(piece, amount_minor=minor, maturity_date=row["maturity_date"], today=self.today)
        transfer_id = new_id()
        self.moved[asked.slice_id] = replace(piece, state=SliceState.OFFERED)
        self.offered.append((transfer_id, asked))
        facts = {"slice_id": asked.slice_id, "amount": asked.amount.wire(), "transferee_id": asked.transferee_id}
        self.entries.append(Entry(asked.actor, "transfer.offered", transfer_id, facts))
        return _answer(201, {"transfer_id": transfer_id, "slice_id": asked.slice_id, "state": "offered"})

    def reply(self, asked: Reply) -> Answer:
        transfer = self.transfers.get(asked.transfer_id)
        if transfer is None or transfer["root_id"] != asked.root_id:
            raise UnknownVoucher(document_id=asked.transfer_id)
        state: str = self.replied.get(asked.transfer_id) or transfer["state"]
        if state != "offered":
            raise NotPossible(document_id=asked.transfer_id, state=state, asked=_ASKED[asked.answer])
        row, piece = self._slice(transfer["slice_id"], root_id=asked.root_id)
        if asked.answer == "decline":
            return self._declined(asked, transfer, piece)
        return self._accepted(asked, transfer, piece, maturity_date=row["maturity_date"])

    def _accepted(self, asked: Reply, transfer: Row, piece: VoucherSlice, *, maturity_date: date) -> Answer:
        """Replace the slice by the transferee's and what remains with its holder (R13)."""
        if transfer["transferee_id"] != asked.party:
            raise ForeignParty
        check_unmatured(piece, maturity_date=maturity_date, today=self.today)
        ids = [new_id(), new_id()]
        replaced, made = split(piece, amount_minor=transfer["amount_minor"], transferee_id=asked.party, slice_ids=ids)
        self.moved[piece.slice_id] = replaced
        self.made += [(asked.root_id, each) for each in made]
        self._replied(asked, piece, "accepted")
        wire = _wire(made)
        self.events.append(
            VoucherTransferred(
                root_id=asked.root_id,
                replaced_slice_id=piece.slice_id,
                slices=wire,
                trade_reference=transfer["trade_reference"],
            )
        )
        return _answer(200, {"root_id": asked.root_id, "slices": [each.model_dump() for each in wire]})

    def _declined(self, asked: Reply, transfer: Row, piece: VoucherSlice) -> Answer:
        if asked.party not in {transfer["transferee_id"], transfer["transferor_id"]}:
            raise ForeignParty
        self.moved[piece.slice_id] = replace(piece, state=SliceState.LIVE)
        self._replied(asked, piece, "declined")
        return _answer(200, {"transfer_id": asked.transfer_id, "slice_id": piece.slice_id, "state": "declined"})

    def _replied(self, asked: Reply, piece: VoucherSlice, state: str) -> None:
        self.replied[asked.transfer_id] = state
        self.entries.append(Entry(asked.actor, f"transfer.{state}", asked.transfer_id, {"slice_id": piece.slice_id}))

    def _slice(self, slice_id: str, *, root_id: str) -> tuple[Row, VoucherSlice]:
        row = self.slices.get(slice_id)
        if row is None or row["root_id"] != root_id:
            raise UnknownVoucher(document_id=slice_id)
        return row, self.moved.get(slice_id) or slice_of(row)

    async def write(self, tx: Transaction) -> None:
        """Write everything, each table in one statement."""
        moved = [(piece.slice_id, piece.state.value) for piece in self.moved.values()]
        made = [
            (each.slice_id, root_id, each.start_minor, each.end_minor, each.holder_id, each.state.value)
            for root_id, each in self.made
        ]
        offered = [
            (
                transfer_id,
                *(each.root_id, each.slice_id, each.amount.amount_minor),
                *(each.party, each.transferee_id, each.trade_reference),
            )
            for transfer_id, each in self.offered
        ]
        # Replaced first: the exclusion constraint lets no moment pass in which two slices of the root overlap; and
        # answered before offered: of a slice one offer is open at most.
        for statement, rows in (
            (_MOVE, moved),
            (_MADE, made),
            (_ANSWERED, list(self.replied.items())),
            (_OFFERED, offered),
        ):
            if rows:
                await tx.pg.execute(statement, *by_column(rows, width=len(rows[0])))
        await append(tx, self.events, source=SOURCE)
        await record(tx, self.entries)


def _wire(slices: Iterable[VoucherSlice]) -> list[Slice]:
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


def _answer(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(body, ensure_ascii=False))
