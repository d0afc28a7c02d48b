"""Let what may be a standing claim in another guise wait for a person, and name the other one (R8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.receivables.domain.duplicates import number_key
from services.receivables.domain.near_duplicates import Guise, Stated, Tolerance, near_duplicates
from services.receivables.operations.locking import Row
from shared.storage.database import Transaction, by_column, packed, unpacked
from shared.values.money import Money
from shared.values.policies import policy_on

NEAR_DUPLICATE = "near_duplicate"

# Registrations that share an identifier, or a name, are taken for one firm where a claim could be sold twice.
TWINS = """
SELECT p.enterprise_id, q.enterprise_id AS twin_id, p.identifier_key AS mark
FROM party_identifier p JOIN party_identifier q USING (identifier_key)
WHERE p.enterprise_id = ANY($1) AND q.enterprise_id <> p.enterprise_id
UNION
SELECT e.enterprise_id, t.enterprise_id, e.name_key FROM enterprise e JOIN enterprise t USING (name_key)
WHERE e.enterprise_id = ANY($1) AND t.enterprise_id <> e.enterprise_id
"""
# What stands of each seller and amount, the nearest issue dates first, and of those what came last: in a run of numbers
# that is the one before. Of what is stored together ($9) only what comes before counts.
STANDING = f"""
SELECT d.nth, r.* FROM unnest({unpacked(1, "int")}, {unpacked(2)}, {unpacked(3)}, {unpacked(4)},
    {unpacked(5, "bigint")}, {unpacked(6, "date")}, {unpacked(7, "int")}, {unpacked(8, "int")})
    AS d(nth, receivable_id, seller_id, currency, payable_minor, issue_date, days, at_most)
CROSS JOIN LATERAL (
    SELECT f.receivable_id, f.seller_id, f.obligor_id, f.number_key, f.issue_date, f.due_date, f.syntax,
        f.order_reference
    FROM receivable f WHERE f.seller_id = d.seller_id AND f.currency = d.currency
        AND f.payable_minor = d.payable_minor AND f.issue_date BETWEEN d.issue_date - d.days AND d.issue_date + d.days
        AND f.state <> 'rejected' AND (f.receivable_id < d.receivable_id OR NOT f.receivable_id = ANY($9::text[]))
    ORDER BY abs(f.issue_date - d.issue_date), f.receivable_id DESC LIMIT d.at_most) AS r
"""  # noqa: S608 - constants only
_REFER = """
UPDATE receivable SET state = 'referred', reasons = array_append(reasons, $2) WHERE receivable_id = ANY($1)
"""
_KEEP = """
INSERT INTO near_duplicate (receivable_id, other_id, guise, policy_version)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
"""
Near = Mapping[str, list[tuple[str, Guise]]]


@dataclass(frozen=True, slots=True)
class Twins:
    """The other registrations of each firm that has any, and what they have in common with it."""

    others: Mapping[str, frozenset[str]]
    marks: Mapping[str, frozenset[str]]


async def twins_of(tx: Transaction, firms: Collection[str]) -> Twins:
    """Return the other registrations of firms."""
    others: dict[str, set[str]] = defaultdict(set)
    marks: dict[str, set[str]] = defaultdict(set)
    for row in await tx.pg.fetch(TWINS, sorted(set(firms))):
        others[row["enterprise_id"]].add(row["twin_id"])
        marks[row["enterprise_id"]].add(row["mark"])
    return Twins(*({firm: frozenset(each) for firm, each in found.items()} for found in (others, marks)))


def amounts_to_lock(stated: Sequence[tuple[Stated, Money]], *, twins: Twins) -> list[str]:
    """Return the names of the locks under which two near duplicates see each other: of each seller and amount.

    Twins meet at what they have in common: however many there are, each takes a lock or two.
    """
    return [
        f"{mark} {payable.currency} {payable.amount_minor}"
        for each, payable in stated
        for mark in twins.marks.get(each.seller_id, (each.seller_id,))
    ]


async def refer_near_duplicates(tx: Transaction, stored: Sequence[tuple[Stated, Money]], *, twins: Twins) -> Near:
    """Refer what was stored just now and may stand already; return by receivable which others it may be.

    Of two that were stored together the later one waits.
    """
    policies = [policy_on("near_duplicates", on=each.issue_date) for each, _ in stored]
    tolerances = [Tolerance.of(policy.values) for policy in policies]
    asked = [
        (
            *(str(nth), each.receivable_id, seller, owed.currency, str(owed.amount_minor)),
            *(each.issue_date.isoformat(), str(near.days), str(near.at_most)),
        )
        for nth, ((each, owed), near) in enumerate(zip(stored, tolerances, strict=True))
        for seller in (each.seller_id, *sorted(twins.others.get(each.seller_id, ())))
    ]
    place = {each.receivable_id: nth for nth, (each, _) in enumerate(stored)}
    standing: dict[int, list[Stated]] = defaultdict(list)
    for row in await tx.pg.fetch(STANDING, *map(packed, by_column(asked, width=8)), list(place)):
        standing[row["nth"]].append(_stated(row))
    found = {
        stored[nth][0].receivable_id: near
        for nth, others in standing.items()
        if (near := near_duplicates(stored[nth][0], others, tolerance=tolerances[nth], twins=twins.others))
    }
    if found:
        await tx.pg.execute(_REFER, list(found), NEAR_DUPLICATE)
        rows = [
            (receivable_id, other_id, guise, policies[place[receivable_id]].version)
            for receivable_id, near in found.items()
            for other_id, guise in near
        ]
        await tx.pg.execute(_KEEP, *by_column(rows, width=4))
    return found


def _stated(row: Row) -> Stated:
    return Stated(
        receivable_id=row["receivable_id"],
        seller_id=row["seller_id"],
        obligor_id=row["obligor_id"],
        number_key=row["number_key"],
        issue_date=row["issue_date"],
        due_date=row["due_date"],
        syntax=row["syntax"],
        order_key=number_key(row["order_reference"]),
    )
