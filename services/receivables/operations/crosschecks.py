"""Compare claims with another bank's without either telling the other its own: ask, answer, compare.

Who asks learns which of its own claims the other bank has financed, and about how many that bank has; who answers
learns about how many were asked about. An answer leaves only when a second person releases it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

import asyncpg

from services.receivables.domain.blinding import NotAPoint, blind, fill_up, points_of, secret_of
from services.receivables.domain.crosscheck_file import (
    Header,
    Keys,
    UnreadableCrosscheck,
    digest_of,
    read_file,
    write_file,
)
from services.receivables.domain.crosschecks import (
    Claimed,
    CrosscheckTooLarge,
    TooManyAnswers,
    by_point,
    check_period,
    texts_of,
)
from services.receivables.domain.receivables import NotPossible
from services.receivables.operations.locking import Row
from shared.runtime.offload import offload
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.values.ids import InvalidId, new_id, parse_id
from shared.values.policies import policy_on

KIND = "crosscheck_answer"

# Who asks names all that it has or may finance; who answers only what it finances or has financed, or what a voucher
# replaced: what was paid without is nobody's business.
_CLAIMS = """
SELECT r.receivable_id, r.number_key, r.issue_date, r.currency, r.payable_minor,
    array(SELECT p.identifier_key FROM party_identifier p WHERE p.enterprise_id = r.seller_id ORDER BY 1) AS seller,
    array(SELECT p.identifier_key FROM party_identifier p WHERE p.enterprise_id = r.obligor_id ORDER BY 1) AS obligor
FROM receivable r WHERE r.issue_date BETWEEN $1 AND $2 AND r.state NOT IN ('rejected', 'cancelled')
    AND ($3 OR r.vouchered OR r.drawdown_id IS NOT NULL)
ORDER BY r.receivable_id LIMIT $4
"""
_KEEP = """
INSERT INTO crosscheck (crosscheck_id, role, partner, issued_from, issued_to, state, request_digest, file, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_KEEP_POINTS = """
INSERT INTO crosscheck_point (crosscheck_id, nth, receivable_id, kind)
SELECT $1, * FROM unnest($2::int[], $3::text[], $4::text[])
"""
_ANSWERED = """
SELECT count(*) FROM crosscheck WHERE partner = $1 AND state = 'released'
    AND ended_at > clock_timestamp() - interval '30 days'
"""
_SEE = """
INSERT INTO sighting (receivable_id, crosscheck_id, kind, partner)
SELECT p.receivable_id, p.crosscheck_id, p.kind, $3 FROM crosscheck_point p
WHERE p.crosscheck_id = $1 AND p.nth = ANY($2) ON CONFLICT DO NOTHING
RETURNING receivable_id
"""


class UnknownCrosscheck(LookupError):
    """No check has this id."""

    code: ClassVar[str] = "unknown_crosscheck"

    def __init__(self, *, crosscheck_id: str) -> None:
        """Keep the id asked for."""
        self.crosscheck_id = crosscheck_id[:40]
        super().__init__(f"There is no check {self.crosscheck_id} with another bank.")


class AnsweredBefore(RuntimeError):
    """This very request was taken in before."""

    code: ClassVar[str] = "answered_before"

    def __init__(self) -> None:
        """Say where the answer is."""
        super().__init__("This request was taken in before; its answer is under the same id.")


@dataclass(frozen=True, slots=True)
class Made:
    """A check that was made, and of how many points its file is."""

    crosscheck_id: str
    points: int


async def ask(database: Database, *, partner: str, issued_from: date, issued_to: date, keys: Keys, actor: str) -> Made:
    """Write a request about what this bank has or may finance of a period; InvalidPeriod or CrosscheckTooLarge."""
    check_period(issued_from=issued_from, issued_to=issued_to)
    crosscheck_id = new_id()
    values = await _policy(database)
    claims = await _claims(database, issued_from, issued_to, everything=True, most=values["most_points"])
    texts = [text for claimed in claims for text in texts_of(claimed)]
    secret = secret_of(own_secret=keys.own, exchange=crosscheck_id)
    blinded = await offload(_blinded, [text for _, text in texts], keys.shared, secret)
    stands_for = by_point(claims, texts, blinded)
    points = fill_up(list(stands_for), to_multiple_of=values["filled_up_to"])
    _check_size(len(points), most=values["most_points"])
    header = _header("request", crosscheck_id, keys, issued_from, issued_to, asked=len(points), request="")
    digest = digest_of(points)
    file = write_file(header, points, keys=keys)
    known = [
        (nth, receivable_id, kind)
        for nth, point in enumerate(points)
        for receivable_id, kind in sorted(stands_for.get(point, ()))
    ]
    async with database.transaction() as tx:
        await tx.pg.execute(
            _KEEP, crosscheck_id, "asked", partner, issued_from, issued_to, "asked", digest, file, actor
        )
        await tx.pg.execute(_KEEP_POINTS, crosscheck_id, *by_column(known, width=3))
        facts = {"partner": partner, "points": len(points), "digest": digest}
        await record(tx, [Entry(actor, "crosscheck.asked", crosscheck_id, facts)])
    return Made(crosscheck_id, len(points))


async def propose_answer(
    database: Database, *, partner: str, data: bytes, keys: Keys, actor: str
) -> tuple[Made, Approval]:
    """Compute the answer to another bank's request and propose to release it.

    UnreadableCrosscheck, InvalidPeriod, CrosscheckTooLarge, TooManyAnswers or AnsweredBefore otherwise.
    """
    header, asked = read_file(data, part="request", keys=keys)
    issued_from, issued_to = _period(header)
    values = await _policy(database)
    _check_size(len(asked), most=values["most_points"])
    claims = await _claims(database, issued_from, issued_to, everything=False, most=values["most_points"])
    own = list(dict.fromkeys(text for claimed in claims for _, text in texts_of(claimed)))
    secret = secret_of(own_secret=keys.own, exchange=f"answer {header.digest}")
    twice, once = await _blinded_points(asked, secret), await offload(_blinded, own, keys.shared, secret)
    filled = fill_up(once, to_multiple_of=values["filled_up_to"])
    answer = _header(
        "answer", header.crosscheck_id, keys, issued_from, issued_to, asked=len(asked), request=header.digest
    )
    file = write_file(answer, [*twice, *filled], keys=keys)
    content = {
        "partner": partner,
        "institution": header.institution,
        "request": header.digest,
        "asked": len(asked),
        "issued_from": header.issued_from,
        "issued_to": header.issued_to,
    }
    async with database.transaction() as tx:
        await _check_answers(tx, partner, most=values["answers_in_30_days"])
        try:
            async with tx.savepoint():
                await tx.pg.execute(
                    _KEEP,
                    *(header.crosscheck_id, "answering", partner, issued_from, issued_to, "proposed"),
                    *(header.digest, file, actor),
                )
        except asyncpg.UniqueViolationError as error:
            raise AnsweredBefore from error
        proposal = await propose(tx, kind=KIND, subject=header.crosscheck_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "crosscheck.answer_proposed", header.crosscheck_id, content)])
    return Made(header.crosscheck_id, len(asked)), proposal


async def release_answer(tx: Transaction, approval: Approval) -> None:
    """Let the answer leave, as a second person decided; TooManyAnswers when the partner has had its share meanwhile."""
    content = approval.content
    # One after the other: two releases at once must not both be the last one.
    await tx.pg.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 9))", content["partner"])
    most = policy_on("crosschecks", on=await _today(tx)).values["answers_in_30_days"]
    await _check_answers(tx, content["partner"], most=most)
    await _end(tx, approval, state="released")


async def decline_answer(tx: Transaction, approval: Approval) -> None:
    """Keep the answer here: nobody gets it."""
    await _end(tx, approval, state="declined")


async def compare(database: Database, *, crosscheck_id: str, data: bytes, keys: Keys, actor: str) -> list[str]:
    """Compare another bank's answer with what was asked; return which receivables it has as well, new ones only.

    UnknownCrosscheck, UnreadableCrosscheck, or NotPossible when it was compared before.
    """
    header, points = read_file(data, part="answer", keys=keys)
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(
            "SELECT * FROM crosscheck WHERE role = 'asked' AND crosscheck_id = $1", crosscheck_id
        )
    if row is None:
        raise UnknownCrosscheck(crosscheck_id=crosscheck_id)
    if (header.crosscheck_id, header.request) != (crosscheck_id, row["request_digest"]):
        raise UnreadableCrosscheck(why="it answers another request")
    _, asked = read_file(bytes(row["file"]), part="request", keys=keys)
    if header.asked != len(asked) or header.points < header.asked:
        raise UnreadableCrosscheck(why="it does not answer each point")
    twice, theirs = points[: header.asked], points[header.asked :]
    secret = secret_of(own_secret=keys.own, exchange=crosscheck_id)
    both = set(await _blinded_points(theirs, secret))
    places = [nth for nth, point in enumerate(twice) if point in both]
    async with database.transaction() as tx:
        await _compared(tx, row)
        seen = await tx.pg.fetch(_SEE, crosscheck_id, places, row["partner"])
        found = sorted({each["receivable_id"] for each in seen})
        await record(tx, [Entry(actor, "crosscheck.compared", crosscheck_id, {"seen": len(found)})])
    return found


async def _blinded_points(points: Sequence[bytes], secret: bytes) -> list[bytes]:
    found = await offload(_blind_or_place, points, secret)
    if isinstance(found, int):
        raise UnreadableCrosscheck(why=f"point {found + 1} is none of the curve")
    return found


def _blind_or_place(points: Sequence[bytes], secret: bytes) -> list[bytes] | int:
    """Return the points blinded, or the place of one that is none: an error of ours does not come back from a pool."""
    try:
        return blind(points, secret=secret)
    except NotAPoint as error:
        return error.place


def _blinded(texts: Sequence[str], shared: bytes, secret: bytes) -> list[bytes]:
    return blind(points_of(texts, shared_key=shared), secret=secret)


def _header(
    part: Any, crosscheck_id: str, keys: Keys, issued_from: date, issued_to: date, *, asked: int, request: str
) -> Header:
    return Header(
        part=part,
        crosscheck_id=crosscheck_id,
        institution=keys.institution,
        issued_from=issued_from.isoformat(),
        issued_to=issued_to.isoformat(),
        key_id=keys.key_id,
        points=0,
        asked=asked,
        request=request,
    )


def _period(header: Header) -> tuple[date, date]:
    try:
        parse_id(header.crosscheck_id)
        issued_from, issued_to = date.fromisoformat(header.issued_from), date.fromisoformat(header.issued_to)
    except (ValueError, InvalidId) as error:
        raise UnreadableCrosscheck(why="its header names no check or no dates") from error
    check_period(issued_from=issued_from, issued_to=issued_to)
    return issued_from, issued_to


async def _claims(
    database: Database, issued_from: date, issued_to: date, *, everything: bool, most: int
) -> list[Claimed]:
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_CLAIMS, issued_from, issued_to, everything, most + 1)
    _check_size(len(rows), most=most)
    return [
        Claimed(
            receivable_id=row["receivable_id"],
            seller_identifiers=tuple(row["seller"]),
            obligor_identifiers=tuple(row["obligor"]),
            number_key=row["number_key"],
            issue_date=row["issue_date"],
            currency=row["currency"],
            payable_minor=row["payable_minor"],
        )
        for row in rows
    ]


def _check_size(points: int, *, most: int) -> None:
    if points > most:
        raise CrosscheckTooLarge(points=points, most=most)


async def _policy(database: Database) -> dict[str, Any]:
    async with database.reader() as tx:
        return policy_on("crosschecks", on=await _today(tx)).values


async def _today(tx: Transaction) -> date:
    today: date = await tx.pg.fetchval("SELECT coalesce((SELECT open_date FROM book), current_date)")
    return today


async def _check_answers(tx: Transaction, partner: str, *, most: int) -> None:
    if await tx.pg.fetchval(_ANSWERED, partner) >= most:
        raise TooManyAnswers(partner=partner, most=most)


async def _end(tx: Transaction, approval: Approval, *, state: str) -> None:
    await tx.pg.execute(
        """UPDATE crosscheck SET state = $2, ended_at = clock_timestamp()
        WHERE role = 'answering' AND crosscheck_id = $1""",
        *(approval.subject, state),
    )


async def _compared(tx: Transaction, row: Row) -> None:
    done = await tx.pg.fetchval(
        """UPDATE crosscheck SET state = 'compared', ended_at = clock_timestamp()
        WHERE role = 'asked' AND crosscheck_id = $1 AND state = 'asked' RETURNING true""",
        row["crosscheck_id"],
    )
    if not done:
        raise NotPossible(document_id=row["crosscheck_id"], state="compared", asked="be compared")
