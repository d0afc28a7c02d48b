"""Take invoices in: a batch in one transaction, each document answered on its own."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from services.receivables.domain.documents import (
    EInvoice,
    NotFinanceable,
    SellerIsObligor,
    check_financeable,
    due_date_of,
)
from services.receivables.domain.duplicates import (
    DuplicateDocument,
    Standing,
    number_key,
    same_claim,
    stated_reasons,
    why_refer,
)
from services.receivables.domain.near_duplicates import Guise, Stated
from services.receivables.domain.parties import Directory, UnknownParty
from services.receivables.domain.trade_lines import TradeLine
from services.receivables.operations.match_orders import UNMATCHED, Citation, cite_orders
from services.receivables.operations.originals import Evidence, keep_originals
from services.receivables.operations.parties import directory_of
from services.receivables.operations.refer_near_duplicates import (
    NEAR_DUPLICATE,
    amounts_to_lock,
    refer_near_duplicates,
    twins_of,
)
from shared.events.receivables import ReceivableRegistered
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction, packed, unpacked
from shared.values.ids import new_id
from shared.values.money import Money
from shared.values.policies import policy_on
from shared.web.auth import ForeignParty

SOURCE = "receivables"

# One lock per seller and number, and per seller and amount: whoever takes in the same waits here, so that the look-ups
# of namesakes and near duplicates and the insertion see each other. Claims are guarded even without it, by the unique
# indexes: whoever meets them has passed it by, and nothing of the batch is stored.
_LOCK = f"""
SELECT pg_advisory_xact_lock(k) FROM (
    SELECT DISTINCT hashtextextended(name, 8) AS k FROM unnest({unpacked(1)}) AS d(name) ORDER BY 1) x
"""  # noqa: S608 - constants only
_NAMESAKES = f"""
SELECT r.receivable_id, r.seller_id, r.number_key, r.obligor_id, r.issue_year, r.number, r.syntax
FROM receivable r JOIN unnest({unpacked(1)}, {unpacked(2)}) AS d(seller_id, number_key) USING (seller_id, number_key)
WHERE r.state <> 'rejected' ORDER BY r.receivable_id
"""  # noqa: S608 - constants only
_INSERT = f"""
INSERT INTO receivable (receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax,
    profile, file, issue_date, due_date, currency, payable_minor, financeable_minor, order_reference, state, reasons,
    guards, policy_version, original_sha256, rules, findings)
SELECT d.receivable_id, d.seller_id, d.obligor_id, d.number, d.number_key, d.issue_year, d.document_type, d.syntax,
    d.profile, d.file, d.issue_date, d.due_date, d.currency, d.payable, d.payable, d.order_reference, d.state,
    string_to_array(d.reasons, ','), d.guards, d.policy_version, d.original, string_to_array(d.rules, '|'),
    d.findings::jsonb
FROM unnest({unpacked(1)}, {unpacked(2)}, {unpacked(3)}, {unpacked(4)}, {unpacked(5)}, {unpacked(6, "int")},
    {unpacked(7)}, {unpacked(8)}, {unpacked(9)}, {unpacked(10)}, {unpacked(11, "date")}, {unpacked(12, "date")},
    {unpacked(13)}, {unpacked(14, "bigint")}, {unpacked(15)}, {unpacked(16)}, {unpacked(17)}, {unpacked(18, "bool")},
    {unpacked(19)}, {unpacked(20)}, {unpacked(21)}, {unpacked(22)}) WITH ORDINALITY
    AS d(receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax, profile, file,
        issue_date, due_date, currency, payable, order_reference, state, reasons, guards, policy_version, original,
        rules, findings, nth)
ORDER BY d.nth
"""  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class Taken:
    """A document that was stored."""

    receivable_id: str
    file: str
    seller_id: str
    obligor_id: str
    number: str
    number_key: str
    document_type: str
    syntax: str
    profile: str
    issue_date: date
    due_date: date
    payable: Money
    order_reference: str
    lines: tuple[TradeLine, ...]
    state: str
    reasons: tuple[str, ...]
    guards: bool
    policy_version: str
    evidence: Evidence
    near_duplicates: tuple[str, ...] = ()

    @property
    def claim(self) -> tuple[str, str]:
        """Return seller and number."""
        return self.seller_id, self.number_key


async def take_in(
    tx: Transaction,
    *,
    documents: Sequence[tuple[str, EInvoice]],
    party: str | None,
    actor: str,
    evidence: Sequence[Evidence] = (),
    audited: bool = True,
) -> list[Taken | Exception]:
    """Take in (file, invoice) pairs; answer each with what was stored or with why nothing was.

    UnknownParty, ForeignParty (a party may only bring what it sells or owes), SellerIsObligor, DuplicateDocument,
    NotFinanceable. What stands behind each is in the same place of `evidence`.

    Who takes many rows as one says so in the audit log itself (`audited` is false).
    """
    directory = await directory_of(tx, [each for _, invoice in documents for each in (invoice.seller, invoice.buyer)])
    behind = evidence or [Evidence()] * len(documents)
    answers: list[Taken | Exception] = []
    for (file, invoice), each in zip(documents, behind, strict=True):
        try:
            check_financeable(invoice)
            answers.append(_stated(invoice, file=file, directory=directory, party=party, evidence=each))
        except (NotFinanceable, UnknownParty, ForeignParty, SellerIsObligor) as error:
            answers.append(error)
    places = [place for place, answer in enumerate(answers) if isinstance(answer, Taken)]
    taken = [answer for answer in answers if isinstance(answer, Taken)]
    for place, answer in zip(places, await _store(tx, taken, actor=actor if audited else None), strict=True):
        answers[place] = answer
    return answers


def _stated(invoice: EInvoice, *, file: str, directory: Directory, party: str | None, evidence: Evidence) -> Taken:
    """Return what the document states, its parties resolved and its own reasons for a person to look."""
    seller_id = directory.resolve(invoice.seller, which="seller")
    obligor_id = directory.resolve(invoice.buyer, which="obligor")
    if seller_id == obligor_id:
        raise SellerIsObligor("Seller and obligor are the same enterprise.", enterprise_id=seller_id)
    if party is not None and party not in {seller_id, obligor_id}:
        raise ForeignParty
    policy = policy_on("intake", on=invoice.issue_date)
    due_date, said = due_date_of(invoice, default_days=policy.values["default_due_days"])
    whole = not evidence.judgement.below_en16931
    refer = [*stated_reasons(invoice, seller_id=seller_id, whole=whole), *evidence.reasons]
    return Taken(
        receivable_id=new_id(),
        file=file,
        seller_id=seller_id,
        obligor_id=obligor_id,
        number=invoice.number,
        number_key=number_key(invoice.number),
        document_type=invoice.document_type,
        syntax=invoice.syntax,
        profile=invoice.profile,
        issue_date=invoice.issue_date,
        due_date=due_date,
        payable=invoice.payable,
        order_reference=invoice.order_reference,
        lines=invoice.lines,
        state="referred" if refer else "validated",
        reasons=(*said, *refer),
        guards=True,
        policy_version=policy.version,
        evidence=evidence,
    )


async def _store(tx: Transaction, taken: Sequence[Taken], *, actor: str | None) -> list[Taken | DuplicateDocument]:
    """Insert what is new, under the locks of what it may be; answer each."""
    stated = {each.receivable_id: (_as_stated(each), each.payable) for each in taken}
    twins = await twins_of(tx, [firm for each in taken for firm in (each.seller_id, each.obligor_id)])
    names = [f"{seller} {number}" for seller, number in {each.claim for each in taken}]
    await tx.pg.execute(_LOCK, packed([*names, *amounts_to_lock(list(stated.values()), twins=twins)]))
    new, known = await _against_namesakes(tx, taken)
    await _insert(tx, new)
    near = await refer_near_duplicates(tx, [stated[each.receivable_id] for each in new], twins=twins)
    new = [_waiting(each, near.get(each.receivable_id, ())) for each in new]
    cited = await cite_orders(tx, [_citation(each) for each in new if each.order_reference])
    new = [_unmatched(each) if each.receivable_id in cited.referred else each for each in new]
    await keep_originals(tx, [each.evidence for each in new])
    await append(tx, [*(_registered(each) for each in new), *cited.said], source=SOURCE)
    if actor is not None:
        await record(tx, [Entry(actor, "document.taken", each.receivable_id, {"file": each.file}) for each in new])
    stored = {each.receivable_id: each for each in new}
    return [stored.get(each.receivable_id) or _duplicate(known[each.receivable_id]) for each in taken]


async def _against_namesakes(tx: Transaction, taken: Sequence[Taken]) -> tuple[list[Taken], dict[str, Standing]]:
    """Return what is new, with what its namesakes say of it, and of each other what it is already (R8)."""
    claims = list({each.claim for each in taken})
    columns = packed([seller for seller, _ in claims]), packed([number for _, number in claims])
    standing: dict[tuple[str, str], list[Standing]] = defaultdict(list)
    for row in await tx.pg.fetch(_NAMESAKES, *columns):
        standing[row["seller_id"], row["number_key"]].append(
            Standing(row["receivable_id"], row["obligor_id"], row["issue_year"], row["number"], row["syntax"])
        )
    new, known = [], {}
    for each in taken:
        namesakes, year = standing[each.claim], each.issue_date.year
        found = same_claim(namesakes, obligor_id=each.obligor_id, issue_year=year)
        if found is not None:
            known[each.receivable_id] = found
            continue
        new.append(_against(each, namesakes))
        namesakes.append(Standing(each.receivable_id, each.obligor_id, year, each.number, each.syntax))
    return new, known


def _duplicate(found: Standing) -> DuplicateDocument:
    return DuplicateDocument(
        receivable_id=found.receivable_id, number=found.number, issue_year=found.issue_year, syntax=found.syntax
    )


def _against(each: Taken, standing: Sequence[Standing]) -> Taken:
    """Return the document with what its namesakes say; to another obligor in the same year it only waits (R8)."""
    year = each.issue_date.year
    more = why_refer(standing, obligor_id=each.obligor_id, issue_year=year, document_type="", other_payee=False)
    if not more:
        return each
    waits = any(other.issue_year == year for other in standing)
    return replace(each, state="referred", reasons=(*each.reasons, *more), guards=not waits)


async def _insert(tx: Transaction, wanted: Sequence[Taken]) -> None:
    columns: list[list[str | None]] = [
        [each.receivable_id for each in wanted],
        [each.seller_id for each in wanted],
        [each.obligor_id for each in wanted],
        [each.number for each in wanted],
        [each.number_key for each in wanted],
        [str(each.issue_date.year) for each in wanted],
        [each.document_type for each in wanted],
        [each.syntax for each in wanted],
        [each.profile for each in wanted],
        [each.file for each in wanted],
        [each.issue_date.isoformat() for each in wanted],
        [each.due_date.isoformat() for each in wanted],
        [each.payable.currency for each in wanted],
        [str(each.payable.amount_minor) for each in wanted],
        [each.order_reference for each in wanted],
        [each.state for each in wanted],
        [",".join(each.reasons) for each in wanted],
        ["t" if each.guards else "f" for each in wanted],
        [each.policy_version for each in wanted],
        [each.evidence.sha256 for each in wanted],
        ["|".join(each.evidence.judgement.packs) for each in wanted],
        [_findings(each.evidence) for each in wanted],
    ]
    await tx.pg.execute(_INSERT, *map(packed, columns))


def _waiting(each: Taken, near: Sequence[tuple[str, Guise]]) -> Taken:
    if not near:
        return each
    others = tuple(other_id for other_id, _ in near)
    return replace(each, state="referred", reasons=(*each.reasons, NEAR_DUPLICATE), near_duplicates=others)


def _unmatched(each: Taken) -> Taken:
    return replace(each, state="referred", reasons=(*each.reasons, UNMATCHED))


def _as_stated(each: Taken) -> Stated:
    return Stated(
        receivable_id=each.receivable_id,
        seller_id=each.seller_id,
        obligor_id=each.obligor_id,
        number_key=each.number_key,
        issue_date=each.issue_date,
        due_date=each.due_date,
        syntax=each.syntax,
        order_key=number_key(each.order_reference) if each.order_reference else "",
    )


def _citation(each: Taken) -> Citation:
    claim = (each.obligor_id, each.seller_id, number_key(each.order_reference))
    return Citation(each.receivable_id, claim, each.lines)


def _findings(evidence: Evidence) -> str:
    found = evidence.judgement.wire()
    return json.dumps(found, ensure_ascii=False) if found else "[]"


def _registered(each: Taken) -> ReceivableRegistered:
    return ReceivableRegistered.model_validate(
        {
            "receivable_id": each.receivable_id,
            "seller_id": each.seller_id,
            "obligor_id": each.obligor_id,
            "number": each.number,
            "document_type": each.document_type,
            "syntax": each.syntax,
            "issue_date": each.issue_date,
            "due_date": each.due_date,
            "payable": each.payable.wire(),
            "state": "referred" if each.state == "referred" else "validated",
            "reasons": list(each.reasons),
            "near_duplicates": list(each.near_duplicates),
        }
    )
