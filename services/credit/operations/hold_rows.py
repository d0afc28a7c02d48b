"""The two statements of a batch of holds: one that locks and reads, one that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from services.credit.domain.eligibility import Financeable
from services.credit.domain.limits import Node
from services.credit.domain.offers import Offer, Quoted, Terms
from shared.events.topics import shard_of
from shared.messaging.outbox import wake_after_commit
from shared.storage.database import Transaction
from shared.storage.idempotency import Key
from shared.values.ids import new_id

ROUTE = "POST /credit/v1/drawdowns"
_TOPIC, _TYPE = "scf.credit.drawdown.v1", "drawdown.held.v1"

# The nodes come as they stand under the lock; what else is read may be a moment older, and the write's own
# constraints (a key, a document's use) catch whatever came between. Each row is looked up by a LATERAL with a LIMIT:
# a join's plan, made when the tables were empty and kept, would scan them whole as they grow.
_LOCK = """
WITH locked AS MATERIALIZED (
    SELECT node_id, sanctioned_minor, held_minor, utilised_minor, version FROM limit_node
    WHERE node_id = ANY($1) ORDER BY level, node_id FOR NO KEY UPDATE)
SELECT clock_timestamp() AS now, coalesce((SELECT open_date FROM book), current_date) AS today,
    ARRAY(SELECT ROW(node_id, sanctioned_minor, held_minor, utilised_minor, version) FROM locked) AS nodes,
    ARRAY(SELECT ROW(k.client, k.key, i.body_hash, i.body) FROM unnest($2::text[], $3::text[]) AS k(client, key)
        CROSS JOIN LATERAL (SELECT body_hash, body FROM idempotency
            WHERE (client, route, key) = (k.client, $4, k.key) LIMIT 1) AS i) AS known,
    ARRAY(SELECT ROW(d.kind, d.document_id, d.owner_id, d.obligor_id, d.eligible_minor, d.currency, d.due_date,
            d.state, d.confirmed_by, u.drawdown_id IS NOT NULL)
        FROM unnest($5::text[]) AS w(document_id)
        CROSS JOIN LATERAL (SELECT f.kind, f.document_id, f.owner_id, f.obligor_id, f.eligible_minor, f.currency,
            f.due_date, document_state(f) AS state, f.confirmed_by
            FROM document f WHERE f.document_id = w.document_id LIMIT 1) AS d
        LEFT JOIN LATERAL (SELECT drawdown_id FROM document_use
            WHERE document_id = w.document_id LIMIT 1) AS u ON true) AS documents,
    ARRAY(SELECT ROW(q.quote_id, q.line_id, q.documents, q.principal_minor, q.rate, q.penalty_rate, q.fee_minor,
            q.policy_version, q.valid_until, q.product, q.tenor_days, q.plan)
        FROM unnest($6::text[]) AS w(quote_id)
        CROSS JOIN LATERAL (SELECT * FROM quote WHERE quote_id = w.quote_id LIMIT 1) AS q) AS quotes
"""
# What is the same for every hold of a product on a line is sent once: `offer` names both.
_WRITE = """
WITH lines AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[]) AS l(offer, enterprise_id, obligor_id, form, path, line_id, product, product_version)),
given AS MATERIALIZED (
    SELECT * FROM unnest($9::held[]) WITH ORDINALITY AS g(drawdown_id, offer, principal, face, fee, rate, penalty_rate,
        due_date, maturity_date, documents, purpose, policy_version, client, key, body_hash, answer, event_id, event,
        shard, traceparent, payment, plan, nth)),
moved AS (
    UPDATE limit_node n SET held_minor = n.held_minor + m.held
    FROM unnest($10::text[], $11::bigint[]) AS m(node_id, held) WHERE n.node_id = m.node_id),
claimed AS (
    INSERT INTO idempotency (client, route, key, body_hash, status, body)
    SELECT client, $12, key, body_hash, 201, answer FROM given ORDER BY client, key),
drawn AS (
    INSERT INTO drawdown (drawdown_id, line_id, programme_id, enterprise_id, obligor_id, state, form, currency,
        principal_minor, face_minor, exposure_minor, fee_minor, rate, penalty_rate, day_count, start_date, due_date,
        maturity_date, documents, path, purpose, policy_version, expires_at, command_client, command_key, product,
        product_version, payment, plan)
    SELECT drawdown_id, line_id, $13, enterprise_id, obligor_id, 'held', form, $14, principal, face,
        CASE form WHEN 'purchase' THEN face ELSE principal END, fee, rate, penalty_rate, $15, $16, due_date,
        maturity_date, documents::jsonb, path::jsonb, purpose, policy_version, $17, client, key, product,
        product_version, payment::jsonb, plan::jsonb
    FROM given JOIN lines USING (offer)),
taken AS (
    INSERT INTO document_use (document_id, drawdown_id)
    SELECT * FROM unnest($18::text[], $19::text[]) AS u(document_id, drawdown_id) ORDER BY 1),
headed AS (
    INSERT INTO outbox_head (topic, subject, sequence) SELECT $20, drawdown_id, 1 FROM given),
told AS (
    INSERT INTO outbox (id, topic, subject, sequence, type, source, traceparent, body)
    SELECT event_id, $20, drawdown_id, 1, $21, 'credit', traceparent, event FROM given ORDER BY nth
    RETURNING id, position)
INSERT INTO outbox_pending (shard, position)
SELECT g.shard, t.position FROM told t JOIN given g ON g.event_id = t.id
"""


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote as it was given."""

    line_id: str
    documents: tuple[str, ...]
    principal_minor: int
    quoted: Quoted
    policy_version: str
    valid_until: datetime
    product: str
    tenor_days: int | None
    plan: str | None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a batch of holds finds, its nodes locked."""

    now: datetime
    today: date
    nodes: dict[str, Node]
    versions: dict[str, int]
    known: dict[tuple[str, str], tuple[bytes, str]]
    documents: dict[str, Financeable]
    in_use: set[str]
    quotes: dict[str, Quote]


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold that was decided, with everything that its rows say."""

    drawdown_id: str
    key: Key
    terms: Terms
    offered: Offer
    document_ids: tuple[str, ...]
    documents: str
    path: str
    purpose: str
    payment: str | None
    plan: str | None
    policy_version: str
    event: str
    answer: str
    traceparent: str | None

    @property
    def offer(self) -> str:
        """Return what names line, product and path: one that cover carries some of has a path of its own."""
        same = f"{self.terms.line_id}/{self.terms.product.name}"
        return f"{same}/{self.drawdown_id}" if self.offered.on_cover_minor else same


async def lock_and_read(
    tx: Transaction,
    *,
    node_ids: Sequence[str],
    keys: Sequence[Key],
    document_ids: Sequence[str],
    quote_ids: Sequence[str],
) -> Situation:
    """Lock the nodes, root first, and read what the batch needs."""
    clients, names = [key.client for key in keys], [key.key for key in keys]
    (row,) = await tx.pg.fetch(_LOCK, node_ids, clients, names, ROUTE, document_ids, quote_ids)
    return Situation(
        now=row["now"],
        today=row["today"],
        nodes={each[0]: Node(each[0], each[1], each[2], each[3]) for each in row["nodes"]},
        versions={each[0]: each[4] for each in row["nodes"]},
        known={(each[0], each[1]): (each[2], each[3]) for each in row["known"]},
        documents={each[1]: Financeable(*tuple(each)[:9]) for each in row["documents"]},
        in_use={each[1] for each in row["documents"] if each[9]},
        quotes={each[0]: _quote(each) for each in row["quotes"]},
    )


def _quote(row: Any) -> Quote:
    return Quote(row[1], tuple(row[2]), row[3], Quoted(row[4], row[5], row[6]), row[7], *tuple(row)[8:])


async def write(
    tx: Transaction,
    holds: Sequence[Hold],
    *,
    moved: Mapping[str, int],
    programme_id: str,
    day_count: str,
    situation: Situation,
    hold_seconds: int,
) -> None:
    """Write nodes, drawdowns, document uses, keys and events of a batch in one statement."""
    uses = sorted((document_id, hold.drawdown_id) for hold in holds for document_id in hold.document_ids)
    lines = {hold.offer: hold for hold in holds}
    await tx.pg.execute(
        _WRITE,
        list(lines),
        [line.terms.drawer.enterprise_id for line in lines.values()],
        [line.terms.obligor_id for line in lines.values()],
        [line.terms.form for line in lines.values()],
        [line.path for line in lines.values()],
        [line.terms.line_id for line in lines.values()],
        [line.terms.product.name for line in lines.values()],
        [line.terms.product.version for line in lines.values()],
        [_given(hold) for hold in holds],
        list(moved),
        list(moved.values()),
        ROUTE,
        programme_id,
        holds[0].terms.drawer.currency,
        day_count,
        situation.today,
        expiry(situation, hold_seconds=hold_seconds),
        [document_id for document_id, _ in uses],
        [drawdown_id for _, drawdown_id in uses],
        _TOPIC,
        _TYPE,
    )
    wake_after_commit(tx)


def _given(hold: Hold) -> tuple[object, ...]:
    """Return a hold as a row of the type `held`."""
    offered = hold.offered
    return (
        hold.drawdown_id,
        hold.offer,
        offered.principal.amount_minor,
        offered.face.amount_minor,
        offered.fee_minor,
        offered.price.rate,
        offered.price.penalty_rate,
        offered.due_date,
        offered.maturity_date,
        hold.documents,
        hold.purpose,
        hold.policy_version,
        hold.key.client,
        hold.key.key,
        hold.key.body_hash,
        hold.answer,
        new_id(),
        hold.event,
        shard_of(topic=_TOPIC, subject=hold.drawdown_id),
        hold.traceparent,
        hold.payment,
        hold.plan,
    )


def expiry(situation: Situation, *, hold_seconds: int) -> datetime:
    """Return when holds made now expire, by the database's clock."""
    return situation.now + timedelta(seconds=hold_seconds)
