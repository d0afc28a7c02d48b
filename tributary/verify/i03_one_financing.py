"""I3: one active financing per claim; no more lent than was eligible; a root's slices are its face (R6, R8, R13).

What is open of a receivable is its face less every note and payment (R7). The register says who has which (R9).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.storage.database import Transaction
from shared.values.money import parse_minor
from shared.values.rates import parse_rate, share_of
from tributary.verify.result import Result
from tributary.verify.snapshots import World

NAME = "one financing; slices = face"

# A vouchered receivable is financed when a slice of its voucher is.
_CLAIMS = """
SELECT r.seller_id, r.number_key, r.issue_year, count(*) AS active FROM receivable r
WHERE r.state IN ('assigned', 'financed') OR EXISTS (
    SELECT FROM voucher v JOIN slice s USING (root_id)
    WHERE v.receivable_id = r.receivable_id AND s.state IN ('assigned', 'financed'))
GROUP BY r.seller_id, r.number_key, r.issue_year HAVING count(*) > 1
"""
_DOCUMENTS = """
SELECT document->>'document_id' AS document_id, count(*) AS financings
FROM assignment a CROSS JOIN LATERAL jsonb_array_elements(a.documents) AS document
WHERE a.state IN ('assigned', 'withdrawn', 'financed') GROUP BY 1 HAVING count(*) > 1
"""
_SLICES = """
WITH placed AS (
    SELECT root_id, slice_id, start_minor, end_minor,
        coalesce(lag(end_minor) OVER w, 0) AS expected, lead(start_minor) OVER w IS NULL AS is_last
    FROM slice WHERE state <> 'replaced' WINDOW w AS (PARTITION BY root_id ORDER BY start_minor, end_minor))
SELECT v.root_id, v.face_minor, coalesce(sum(p.end_minor - p.start_minor), 0)::bigint AS covered,
    coalesce(bool_and(p.start_minor = p.expected AND (NOT p.is_last OR p.end_minor = v.face_minor)), false) AS whole
FROM voucher v LEFT JOIN placed p USING (root_id) GROUP BY v.root_id, v.face_minor
"""
_OPEN = """
SELECT r.receivable_id, r.payable_minor, r.financeable_minor, r.paid_minor, coalesce(n.minor, 0) AS noted,
    coalesce(p.minor, 0) AS paid
FROM receivable r
LEFT JOIN (SELECT receivable_id, sum(amount_minor)::bigint AS minor FROM dilution GROUP BY 1) n USING (receivable_id)
LEFT JOIN (SELECT receivable_id, sum(amount_minor)::bigint AS minor FROM payment GROUP BY 1) p USING (receivable_id)
WHERE r.financeable_minor <> r.payable_minor - coalesce(n.minor, 0) - coalesce(p.minor, 0)
    OR r.paid_minor <> coalesce(p.minor, 0)
"""
# A loan over slices pays no more of their root than they are.
_OVERPAID = """
SELECT p.receivable_id, p.drawdown_id, p.minor, coalesce(s.minor, 0) AS most FROM (
    SELECT receivable_id, drawdown_id, sum(amount_minor)::bigint AS minor FROM payment
    WHERE drawdown_id IS NOT NULL GROUP BY 1, 2) AS p
JOIN voucher v USING (receivable_id)
LEFT JOIN LATERAL (SELECT sum(end_minor - start_minor)::bigint AS minor FROM slice
    WHERE root_id = v.root_id AND drawdown_id = p.drawdown_id) AS s ON true
WHERE p.minor > coalesce(s.minor, 0)
"""
# A credit note that is applied lowered something, by no more than it takes back; any other nothing (R6).
_NOTES = """
SELECT n.credit_note_id, n.state, n.amount_minor, coalesce(sum(d.amount_minor), 0)::bigint AS lowered
FROM credit_note n LEFT JOIN dilution d USING (credit_note_id) GROUP BY n.credit_note_id
HAVING coalesce(sum(d.amount_minor), 0) > n.amount_minor OR (n.state = 'applied') <> (count(d.receivable_id) > 0)
"""
# Who has documents stands in the register, and who gave them up does not.
_REGISTER = """
SELECT a.drawdown_id, a.state, r.stands FROM assignment a CROSS JOIN LATERAL (
    SELECT coalesce((SELECT e.kind <> 'discharge' FROM register_entry e WHERE e.drawdown_id = a.drawdown_id
        ORDER BY e.entry_id DESC LIMIT 1), false) AS stands) AS r
WHERE CASE WHEN r.stands THEN a.state NOT IN ('assigned', 'withdrawn', 'financed')
    ELSE EXISTS (SELECT FROM receivable d WHERE d.drawdown_id = a.drawdown_id AND d.state IN ('assigned', 'financed'))
        OR EXISTS (SELECT FROM slice d WHERE d.drawdown_id = a.drawdown_id AND d.state IN ('assigned', 'financed')) END
"""
# What a drawdown stands on now: its documents, and the invoices that took an order's place.
_DRAWDOWNS = """
SELECT w.drawdown_id, w.state, w.currency, w.principal_minor, w.exposure_minor, w.outstanding_minor, w.documents,
    p.terms->>'advance_rate' AS advance_rate, coalesce(f.deficiency_minor, 0) AS deficiency,
    (SELECT jsonb_object_agg(d.document_id, jsonb_build_array(d.eligible_minor, d.irrevocable)) FROM document d
        WHERE d.document_id IN (SELECT x->>'document_id' FROM jsonb_array_elements(w.documents) AS x
            UNION SELECT u.document_id FROM document_use u WHERE u.drawdown_id = w.drawdown_id)) AS now
FROM drawdown w JOIN programme p USING (programme_id) LEFT JOIN deficiency f USING (drawdown_id)
WHERE w.state IN ('held', 'referred', 'approved', 'cancelling', 'utilised')
"""


async def check(world: World) -> Result:
    """Look at claims and slices in receivables' snapshot, at what was lent in credit's."""
    result, tx = Result(), world.state["receivables"]
    for table in ("receivable", "voucher", "assignment"):
        result.checked += await tx.pg.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - three fixed names
    async for row in tx.pg.cursor(_CLAIMS):
        claim = f"{row['number_key']} of {row['seller_id']} in {row['issue_year']}"
        result.violate(f"the claim {claim} is financed {row['active']} times")
    async for row in tx.pg.cursor(_DOCUMENTS):
        result.violate(f"document {row['document_id']} stands under {row['financings']} financings")
    async for row in tx.pg.cursor(_REGISTER):
        how = "and is registered still" if row["stands"] else "and its documents stand in no register"
        result.violate(f"drawdown {row['drawdown_id']} is {row['state']}, {how}")
    async for row in tx.pg.cursor(_SLICES):
        if not row["whole"]:
            result.violate(f"voucher {row['root_id']}: its slices cover {row['covered']} of {row['face_minor']}")
    await _check_paid(tx, result)
    async for row in world.state["credit"].pg.cursor(_DRAWDOWNS):
        result.checked += 1
        wrong = _what_is_wrong(row)
        if wrong:
            result.violate(f"drawdown {row['drawdown_id']}: {wrong}")
    return result


async def _check_paid(tx: Transaction, result: Result) -> None:
    async for row in tx.pg.cursor(_OPEN):
        result.violate(
            f"receivable {row['receivable_id']}: {row['financeable_minor']} is open of {row['payable_minor']}, of "
            f"which {row['noted']} was taken off and {row['paid']} paid"
        )
    async for row in tx.pg.cursor(_NOTES):
        result.violate(
            f"credit note {row['credit_note_id']} over {row['amount_minor']} is {row['state']} and lowered "
            f"{row['lowered']}"
        )
    async for row in tx.pg.cursor(_OVERPAID):
        result.violate(
            f"drawdown {row['drawdown_id']} paid {row['minor']} of receivable {row['receivable_id']}, of which its "
            f"slices are {row['most']}"
        )


def _what_is_wrong(row: Mapping[str, Any]) -> str | None:
    """Compare with what was eligible when held; what a dilution took since must be a recorded deficiency."""
    eligible = sum(
        parse_minor(amount=document["amount"]["amount"], currency=row["currency"]) for document in row["documents"]
    )
    if max(row["principal_minor"], row["exposure_minor"]) > eligible:
        return f"{row['exposure_minor']} financed on {eligible} that was eligible when it was held"
    known = row["now"] or {}
    if any(document["document_id"] not in known for document in row["documents"]):
        return "stands on a document that credit does not know"
    if any(irrevocable for _, irrevocable in known.values()):
        return None
    now = sum(amount for amount, _ in known.values())
    open_minor = row["outstanding_minor"] if row["state"] == "utilised" else row["principal_minor"]
    lacking = open_minor - share_of(amount=now, millionths=parse_rate(row["advance_rate"]))
    if now < eligible and lacking > 0 and not row["deficiency"]:
        return f"{lacking} is no longer covered since its documents were diluted, and no deficiency says so"
    return None
