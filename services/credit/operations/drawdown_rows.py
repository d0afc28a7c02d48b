"""Drawdowns in the database: nodes locked root first, then the drawdowns; moves of a batch summed, written once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal

from services.credit.domain.drawdowns import AlreadyApplied, Executed, Input, State, step
from services.credit.domain.limits import Move, Node
from services.credit.domain.paths import Step, stored_path
from services.credit.operations.nodes import lock_nodes, move, note_overuse
from shared.events.credit import (
    DrawdownCancellationRequested,
    DrawdownReleased,
    DrawdownRepaid,
    DrawdownUtilised,
)
from shared.events.envelope import Event
from shared.messaging.outbox import append
from shared.storage.database import Transaction
from shared.values.money import Amount

_SAVE = """
UPDATE drawdown w SET state = n.state, disbursed_minor = n.disbursed, outstanding_minor = n.outstanding,
    used_minor = n.used, expires_at = n.expires_at, reason = n.reason, incident = n.incident
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::text[], $8::text[])
    AS n(drawdown_id, state, disbursed, outstanding, used, expires_at, reason, incident)
WHERE w.drawdown_id = n.drawdown_id
"""


class UnknownDrawdown(LookupError):
    """No drawdown has this id."""

    code: ClassVar[str] = "unknown_drawdown"

    def __init__(self, *, drawdown_id: str) -> None:
        """Keep the id asked for."""
        self.drawdown_id = drawdown_id
        super().__init__(f"There is no drawdown {drawdown_id}.")


@dataclass(slots=True)
class Drawdown:
    """A locked drawdown; what may change is saved with `Locked.save`."""

    drawdown_id: str
    line_id: str
    programme_id: str
    enterprise_id: str
    obligor_id: str
    state: State
    form: Literal["loan", "purchase"]
    currency: str
    principal_minor: int
    face_minor: int
    exposure_minor: int
    disbursed_minor: int
    outstanding_minor: int
    used_minor: int
    fee_minor: int
    rate: int
    penalty_rate: int
    day_count: str
    due_date: date
    maturity_date: date
    documents: list[dict[str, Any]]
    path: tuple[Step, ...]
    purpose: str
    policy_version: str
    product: str
    product_version: str
    payment: dict[str, Any] | None
    plan: dict[str, Any] | None
    expires_at: datetime | None
    reason: str | None
    incident: str | None

    def amount(self, minor: int) -> Amount:
        """Return the wire shape of minor units of the drawdown's currency."""
        return Amount.of(amount_minor=minor, currency=self.currency)

    @property
    def payee(self) -> dict[str, str] | None:
        """Return who is paid, if the drawdown named somebody."""
        return self.payment["payee"] if self.payment else None

    @property
    def evidence(self) -> list[dict[str, str]]:
        """Return what shows that the payee is owed."""
        return self.payment["evidence"] if self.payment else []

    @property
    def document_ids(self) -> list[str]:
        """Return the ids of the documents that it stands on."""
        return [document["document_id"] for document in self.documents]


@dataclass(slots=True)
class Locked:
    """Locked drawdowns and the nodes of their paths; it gathers what happens to them."""

    drawdowns: dict[str, Drawdown]
    nodes: dict[str, Node]
    events: list[Event] = field(default_factory=list)
    _moves: dict[str, tuple[int, int]] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _freed: set[str] = field(default_factory=set)

    def find(self, drawdown_id: str) -> Drawdown:
        """Return a drawdown; UnknownDrawdown when there is none."""
        found = self.drawdowns.get(drawdown_id)
        if found is None:
            raise UnknownDrawdown(drawdown_id=drawdown_id)
        return found

    def advance(self, drawdown: Drawdown, happened: Input, *, reason: str | None = None) -> Executed | AlreadyApplied:
        """Let something happen to a drawdown: its state, its nodes, and what the others hear of it."""
        done = step(drawdown.state, happened, exposure_minor=drawdown.exposure_minor)
        if isinstance(done, AlreadyApplied):
            return done
        drawdown.state = done.state
        drawdown.reason = reason or drawdown.reason
        drawdown.incident = done.incident or drawdown.incident
        self.move(drawdown, done.move)
        if done.state is State.RELEASED:
            self._freed.add(drawdown.drawdown_id)
        if done.state in {State.RELEASED, State.APPROVED, State.CANCELLING}:
            drawdown.expires_at = None
        self._tell(drawdown, reason or "")
        return done

    def move(self, drawdown: Drawdown, by: Move) -> None:
        """Move exposure on the drawdown's path."""
        self._changed.add(drawdown.drawdown_id)
        for node_id, (held, utilised) in by.changes(drawdown.path).items():
            before = self._moves.get(node_id, (0, 0))
            self._moves[node_id] = before[0] + held, before[1] + utilised
            self.nodes[node_id].held += held
            self.nodes[node_id].utilised += utilised

    def report(self, drawdown: Drawdown, incident: str) -> None:
        """Note what a person must look at."""
        self._changed.add(drawdown.drawdown_id)
        drawdown.incident = incident

    def _tell(self, drawdown: Drawdown, reason: str) -> None:
        drawdown_id = drawdown.drawdown_id
        match drawdown.state:
            case State.RELEASED:
                self.events.append(DrawdownReleased(drawdown_id=drawdown_id, reason=reason))
            case State.CANCELLING:
                self.events.append(DrawdownCancellationRequested(drawdown_id=drawdown_id, reason=reason))
            case State.UTILISED:
                principal = drawdown.amount(drawdown.disbursed_minor)
                self.events.append(DrawdownUtilised(drawdown_id=drawdown_id, principal=principal))
            case State.REPAID:
                self.events.append(DrawdownRepaid(drawdown_id=drawdown_id))
            case _:
                pass  # approvals and referrals say more, so their operation tells it

    async def save(self, tx: Transaction, *, cause: str) -> None:
        """Write the moves, the drawdowns and their events."""
        await move(tx, self._moves)
        if any(held + utilised for held, utilised in self._moves.values()):
            await note_overuse(tx, node_ids=self._moves, cause=cause)
        changed = [self.drawdowns[drawdown_id] for drawdown_id in sorted(self._changed)]
        if changed:
            await tx.pg.execute(
                _SAVE,
                [each.drawdown_id for each in changed],
                [each.state for each in changed],
                [each.disbursed_minor for each in changed],
                [each.outstanding_minor for each in changed],
                [each.used_minor for each in changed],
                [each.expires_at for each in changed],
                [each.reason for each in changed],
                [each.incident for each in changed],
            )
        if self._freed:
            await tx.pg.execute("DELETE FROM document_use WHERE drawdown_id = ANY($1)", sorted(self._freed))
        await append(tx, self.events, source="credit")


# The end of a drawdown ends its deficiency and delay, and that propagates: programmes are locked before nodes, always.
_PROGRAMMES = """
SELECT p.programme_id FROM programme p WHERE p.programme_id IN (
    SELECT w.programme_id FROM deficiency f JOIN drawdown w USING (drawdown_id)
    WHERE f.drawdown_id = ANY($1) AND f.deficiency_minor + f.claim_minor > 0
    UNION ALL
    SELECT w.programme_id FROM overdue_loan o JOIN drawdown w USING (drawdown_id) WHERE o.drawdown_id = ANY($1))
ORDER BY p.programme_id FOR UPDATE OF p
"""


async def lock_drawdowns(tx: Transaction, *, drawdown_ids: Collection[str], node_ids: Collection[str] = ()) -> Locked:
    """Lock the nodes of the drawdowns' paths, root first, then the drawdowns by id, and read them under the locks.

    Whatever other nodes the caller writes are locked with them, in the one order.
    """
    names = sorted(set(drawdown_ids))
    await tx.pg.execute(_PROGRAMMES, names)
    rows = await tx.pg.fetch("SELECT path FROM drawdown WHERE drawdown_id = ANY($1)", names)
    wanted = _on_paths(rows) | set(node_ids)
    nodes = await lock_nodes(tx, node_ids=sorted(wanted))
    rows = await tx.pg.fetch(
        "SELECT * FROM drawdown WHERE drawdown_id = ANY($1) ORDER BY drawdown_id FOR NO KEY UPDATE", names
    )
    # A limit that was set between the two readings is on the path now; its level is the last, so it is locked last.
    late = _on_paths(rows) - nodes.keys()
    if late:
        nodes |= await lock_nodes(tx, node_ids=sorted(late))
    return Locked({row["drawdown_id"]: _read(row) for row in rows}, nodes)


def _on_paths(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {step[1] for row in rows for step in row["path"]}


def _read(row: Mapping[str, Any]) -> Drawdown:
    columns = {name: row[name] for name in Drawdown.__slots__}
    return Drawdown(**{**columns, "state": State(row["state"]), "path": stored_path(row["path"])})
