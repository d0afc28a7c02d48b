"""Hold drawdowns: the hot path. Concurrent commands on one programme share a transaction of two statements.

Decisions are pure and one by one; a refused or repeated command never touches its neighbours.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

import asyncpg

from services.credit.domain.eligibility import Financeable, NotEligible
from services.credit.domain.instructions import NO_INSTRUCTION, Instruction, check_payee
from services.credit.domain.limits import hold
from services.credit.domain.offers import DocumentInUse, Offer, Quoted, Terms, offer
from services.credit.domain.paths import line_node
from services.credit.domain.support import Support
from services.credit.operations.approve_drawdowns import review_held
from services.credit.operations.hold_rows import Hold, Situation, expiry, lock_and_read, write
from services.credit.operations.hold_texts import path_text, payment_text, texts_of
from services.credit.operations.line_terms import LineTerms, UnknownLine, read_lines
from services.credit.operations.plan_texts import plan_name, plan_text
from services.credit.operations.price_policies import price_policy
from services.credit.operations.purposes import purpose_rules
from shared.storage.database import Database, Transaction
from shared.storage.group_commit import GroupCommit, QueueFull
from shared.storage.idempotency import IdempotencyConflict, Key
from shared.values.ids import new_id
from shared.values.money import Money
from shared.web.auth import ForeignParty

_ATTEMPTS = 3
# What a repeated key or a document taken meanwhile by another process violates: read again, then it is known.
_KNOWN_MEANWHILE = frozenset({"idempotency_pkey", "document_use_pkey"})


class QuoteExpired(Exception):
    """The quote bound the bank until an instant that has passed."""

    code: ClassVar[str] = "quote_expired"

    def __init__(self, *, quote_id: str) -> None:
        """Keep the quote."""
        self.quote_id = quote_id
        super().__init__("The quote has expired; ask for another.")


class UnknownQuote(LookupError):
    """No quote has this id."""

    code: ClassVar[str] = "unknown_quote"

    def __init__(self, *, quote_id: str) -> None:
        """Keep the id asked for."""
        self.quote_id = quote_id[:40]
        super().__init__("There is no such quote.")


class QuoteMismatch(Exception):
    """The command asks for something else than was quoted."""

    code: ClassVar[str] = "quote_mismatch"

    def __init__(self, *, quote_id: str) -> None:
        """Keep the quote."""
        self.quote_id = quote_id
        super().__init__("Line, product, documents, tenor, principal and plan must be those of the quote.")


class _TermsMoved(Exception):
    """A line's terms changed between their reading and the lock."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A command: an SME draws a principal on a line over documents."""

    key: Key
    party: str | None
    line_id: str
    documents: tuple[tuple[Literal["receivable", "slice", "order", "goods"], str], ...]
    principal: Money
    purpose: str
    quote_id: str | None = None
    traceparent: str | None = None
    instruction: Instruction = NO_INSTRUCTION


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as it is remembered: what it offers, each product's path as text, every node of its paths."""

    offers: LineTerms
    paths: dict[str, str]
    node_ids: frozenset[str]
    own_id: str
    support: Support | None

    @classmethod
    def of(cls, offers: LineTerms) -> _Line:
        paths = {terms.product.name: path_text(terms.path) for terms in offers.terms}
        node_ids = frozenset(step.node_id for terms in offers.terms for step in terms.path)
        support = offers.usual.support
        node_ids = node_ids | support.node_ids if support else node_ids
        return cls(offers, paths, node_ids, line_node(line_id=offers.usual.line_id), support)


class HoldDrawdowns:
    """Gathers commands per programme and holds each batch in one transaction; remembers lines by version."""

    def __init__(self, database: Database, *, hold_seconds: int) -> None:
        """Prepare; nothing is read yet."""
        self._database = database
        self._hold_seconds = hold_seconds
        self._group: GroupCommit[Draw, str] = GroupCommit(self._commit, service="credit", command="hold_drawdowns")
        self._programme_of: dict[str, str] = {}
        self._lines: dict[str, dict[str, _Line]] = {}
        self._versions: dict[str, tuple[int, date]] = {}

    async def submit(self, draw: Draw) -> str:
        """Hold a drawdown and return the answer as JSON text, or raise why not."""
        if draw.line_id not in self._programme_of:
            await self._find_programmes([draw.line_id])
        root = self._programme_of.get(draw.line_id)
        if root is None:
            raise UnknownLine(line_id=draw.line_id)
        return await self._group.submit(draw, root=root)

    async def submit_together(self, draws: Sequence[Draw]) -> list[str | Exception]:
        """Hold drawdowns by the same path, programme by programme; return each one's answer or why not, in order."""
        unknown = {draw.line_id for draw in draws} - self._programme_of.keys()
        if unknown:
            await self._find_programmes(unknown)
        answers: list[str | Exception] = [""] * len(draws)
        together: dict[str, list[int]] = defaultdict(list)
        for nth, draw in enumerate(draws):
            root = self._programme_of.get(draw.line_id)
            if root is None:
                answers[nth] = UnknownLine(line_id=draw.line_id)
            else:
                together[root].append(nth)
        async with asyncio.TaskGroup() as group:
            for root, numbers in together.items():
                group.create_task(self._submit_some(draws, numbers, answers, root=root))
        return answers

    async def _submit_some(
        self, draws: Sequence[Draw], numbers: Sequence[int], answers: list[str | Exception], *, root: str
    ) -> None:
        try:
            found = await self._group.submit_together([draws[nth] for nth in numbers], root=root)
        except QueueFull as full:
            found = [full] * len(numbers)
        for nth, answer in zip(numbers, found, strict=True):
            answers[nth] = answer

    async def aclose(self) -> None:
        """Wait for what is gathered."""
        await self._group.aclose()

    async def _find_programmes(self, line_ids: Iterable[str]) -> None:
        async with self._database.reader() as tx:
            rows = await tx.pg.fetch("SELECT line_id, programme_id FROM line WHERE line_id = ANY($1)", list(line_ids))
        self._programme_of.update((row["line_id"], row["programme_id"]) for row in rows)

    async def _commit(self, batch: list[Draw]) -> list[str | Exception]:
        """Hold a batch of one programme; what came between reading and locking or writing is read again."""
        programme_id = self._programme_of[batch[0].line_id]
        for attempt in range(_ATTEMPTS):
            try:
                async with self._database.transaction() as tx:
                    return await self._hold(tx, programme_id, batch)
            except _TermsMoved:
                self._lines.pop(programme_id, None)
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name not in _KNOWN_MEANWHILE or attempt == _ATTEMPTS - 1:
                    raise
        raise asyncpg.SerializationError

    async def _hold(self, tx: Transaction, programme_id: str, batch: Sequence[Draw]) -> list[str | Exception]:
        lines = await self._lines_of(tx, programme_id, {draw.line_id for draw in batch})
        situation = await lock_and_read(
            tx,
            node_ids=list(frozenset().union(*(lines[draw.line_id].node_ids for draw in batch))),
            keys=[draw.key for draw in batch],
            document_ids=sorted({document_id for draw in batch for _, document_id in draw.documents}),
            quote_ids=sorted({draw.quote_id for draw in batch if draw.quote_id}),
        )
        version = situation.versions.get(f"programme/{programme_id}")
        if (version, situation.today) != self._versions[programme_id]:
            raise _TermsMoved
        for support in filter(None, (lines[draw.line_id].support for draw in batch)):
            if situation.versions.get(support.node_id) != support.version:
                raise _TermsMoved
        for line in {draw.line_id for draw in batch}:
            _apply_generation(lines[line], situation)
        held_before = {node.node_id: node.held for node in situation.nodes.values()}
        decisions = _decide_all(batch, lines, situation, hold_seconds=self._hold_seconds)
        holds = [each for each in decisions if isinstance(each, Hold)]
        if holds:
            moved = {node.node_id: node.held - held_before[node.node_id] for node in situation.nodes.values()}
            policy = price_policy(name=holds[0].terms.pricing_policy, on=situation.today)
            await write(
                tx,
                holds,
                moved={node_id: held for node_id, held in moved.items() if held},
                programme_id=programme_id,
                day_count=policy.day_count,
                situation=situation,
                hold_seconds=self._hold_seconds,
            )
            # Nothing is to be assigned where there is no document: it is approved, or referred, in the same commit.
            await review_held(tx, drawdown_ids=[each.drawdown_id for each in holds if not each.document_ids])
        return [each.answer if isinstance(each, Hold) else each for each in decisions]

    async def _lines_of(self, tx: Transaction, programme_id: str, line_ids: set[str]) -> dict[str, _Line]:
        known = self._lines.setdefault(programme_id, {})
        if not line_ids <= known.keys():
            found, versions = await read_lines(tx, line_ids=line_ids | known.keys())
            known.update({line_id: _Line.of(offers) for line_id, offers in found.items()})
            self._versions[programme_id] = versions[programme_id]
        return known


def _apply_generation(line: _Line, situation: Situation) -> None:
    """Sanction the line's node what a generation in force gives it that is not written there yet."""
    if line.offers.next_cap is not None:
        situation.nodes[line.own_id].sanctioned = line.offers.next_cap


def _decide_all(
    batch: Sequence[Draw], lines: dict[str, _Line], situation: Situation, *, hold_seconds: int
) -> list[Hold | str | Exception]:
    """Answer each command on its own: held, known already, or refused; the first of twins decides for both."""
    known = situation.known
    expires_at = expiry(situation, hold_seconds=hold_seconds).isoformat()
    decisions: list[Hold | str | Exception] = []
    for draw in batch:
        name = (draw.key.client, draw.key.key)
        before = known.get(name)
        if before is not None:
            same = before[0] == draw.key.body_hash
            decisions.append(before[1] if same else IdempotencyConflict(key=draw.key.key))
            continue
        try:
            decided = _decide(draw, lines[draw.line_id], situation, expires_at)
        except Exception as error:  # noqa: BLE001 - each command has its own answer, whatever it is
            decisions.append(error)
            continue
        situation.in_use.update(decided.document_ids)
        known[name] = (draw.key.body_hash, decided.answer)
        decisions.append(decided)
    return decisions


def _decide(draw: Draw, line: _Line, situation: Situation, expires_at: str) -> Hold:
    if draw.party != line.offers.usual.drawer.enterprise_id:
        raise ForeignParty
    asked = draw.instruction
    terms = line.offers.choose(named=asked.product, kinds=[kind for kind, _ in draw.documents])
    documents = _documents(draw, situation)
    policy = price_policy(name=terms.pricing_policy, on=situation.today)
    quoted, version = _quoted(draw, terms, situation, policy.version)
    offered = offer(
        terms,
        documents,
        principal=draw.principal,
        policy=policy,
        on=situation.today,
        quoted=quoted,
        tenor_days=asked.tenor_days,
        plan=asked.plan,
    )
    if draw.quote_id and situation.quotes[draw.quote_id].plan != plan_name(offered.repayment):
        raise QuoteMismatch(quote_id=draw.quote_id)
    rules = purpose_rules(on=situation.today)
    purpose = rules.code_of(draw.purpose)
    check_payee(
        rules,
        asked,
        product=terms.product,
        form=terms.form,
        drawer_id=terms.drawer.enterprise_id,
        principal=draw.principal,
    )
    path, text = terms.path, line.paths[terms.product.name]
    if offered.on_cover_minor and terms.support:
        above = offered.principal.amount_minor - offered.on_cover_minor
        path = (*path, *terms.support.steps(above=above))
        text = path_text(path)
        terms.support.check(situation.nodes, minor=offered.on_cover_minor, requested=offered.principal)
    row = _row(draw, terms, purpose, text, documents, offered, version, expires_at)
    # Last, because it changes the nodes: whatever fails before leaves no trace in the batch.
    hold(situation.nodes, path, exposure=offered.exposure)
    return row


def _documents(draw: Draw, situation: Situation) -> list[Financeable]:
    found = []
    for kind, document_id in draw.documents:
        document = situation.documents.get(document_id)
        if document is None or document.kind != kind:
            raise NotEligible(document_id=document_id, reason="unknown")
        if document_id in situation.in_use:
            raise DocumentInUse(document_id=document_id)
        found.append(document)
    return found


def _quoted(draw: Draw, terms: Terms, situation: Situation, version: str) -> tuple[Quoted | None, str]:
    if draw.quote_id is None:
        return None, version
    quote = situation.quotes.get(draw.quote_id)
    if quote is None:
        raise UnknownQuote(quote_id=draw.quote_id)
    if quote.valid_until <= situation.now:
        raise QuoteExpired(quote_id=draw.quote_id)
    documents = tuple(sorted(document_id for _, document_id in draw.documents))
    if (quote.line_id, quote.documents, quote.principal_minor, quote.product, quote.tenor_days) != (
        draw.line_id,
        documents,
        draw.principal.amount_minor,
        terms.product.name,
        draw.instruction.tenor_days,
    ):
        raise QuoteMismatch(quote_id=draw.quote_id)
    return quote.quoted, quote.policy_version


def _row(  # noqa: PLR0917 - a hold is made of all that was decided
    draw: Draw,
    terms: Terms,
    purpose: str,
    path: str,
    documents: Sequence[Financeable],
    offered: Offer,
    version: str,
    expires_at: str,
) -> Hold:
    drawdown_id, payment = new_id(), payment_text(draw.instruction)
    plan = plan_text(offered.repayment, currency=terms.drawer.currency)
    texts = texts_of(
        drawdown_id=drawdown_id,
        terms=terms,
        documents=documents,
        offered=offered,
        purpose=purpose,
        expires_at=expires_at,
        payment=payment,
        plan=plan,
    )
    return Hold(
        drawdown_id=drawdown_id,
        key=draw.key,
        terms=terms,
        offered=offered,
        document_ids=tuple([document.document_id for document in documents]),
        documents=texts.documents,
        path=path,
        purpose=purpose,
        payment=payment,
        plan=plan,
        policy_version=version,
        event=texts.event,
        answer=texts.answer,
        traceparent=draw.traceparent,
    )
