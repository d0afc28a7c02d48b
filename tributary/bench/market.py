"""One hot anchor to draw on: its programme, suppliers, lines and free documents in credit's database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.credit.consumers import HANDLERS
from shared.events.envelope import Event, Received
from shared.events.onboarding import (
    EnterpriseRegistered,
    LineAgreementSigned,
    LinkRecorded,
    MemberAdmitted,
    ProgrammeActivated,
)
from shared.events.risk import RatingRecorded
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.values.ids import new_id
from shared.values.money import Amount
from shared.web.issuer import Issuer
from tributary.bench.terms import programme_terms

SUPPLIERS = 20
BATCH_ITEMS = 1_000
_CURRENCY = "CNY"
_PRINCIPAL, _ELIGIBLE_MINOR = "10.00", 10_000
_TENOR_DAYS = 60
_COLUMNS = ("document_id", "kind", "owner_id", "obligor_id", "eligible_minor", "currency", "due_date", "state")


@dataclass(frozen=True, slots=True)
class Supplier:
    """A supplier with its line, and the token of somebody who draws for it."""

    enterprise_id: str
    line_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Market:
    """What is there to draw on."""

    programme_id: str
    suppliers: list[Supplier]
    documents: Iterator[tuple[Supplier, str]]
    batches: Iterator[tuple[Supplier, list[str]]]

    def next_batch(self) -> bytes:
        """Return the next batch of drawdowns of one supplier, as it goes over a connection."""
        supplier, documents = next(self.batches)
        body = "".join(
            f'{{"idempotency_key":"{document_id}",{_draw(supplier, document_id)}}}\n' for document_id in documents
        )
        return (
            f"POST /credit/v1/drawdowns/batch HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {supplier.token}\r\n"
            f"content-type: application/x-ndjson\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def next_request(self) -> bytes:
        """Return one drawdown over the next free document, as it goes over a connection."""
        supplier, document_id = next(self.documents)
        body = f"{{{_draw(supplier, document_id)}}}"
        return (
            f"POST /credit/v1/drawdowns HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {supplier.token}\r\n"
            f"idempotency-key: {document_id}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}"
        ).encode()


def _draw(supplier: Supplier, document_id: str) -> str:
    return (
        f'"line_id":"{supplier.line_id}","documents":[{{"kind":"receivable","document_id":"{document_id}"}}],'
        f'"principal":{{"amount":"{_PRINCIPAL}","currency":"{_CURRENCY}"}},"purpose":"wages"'
    )


async def open_market(database: Database, *, settings: Settings, documents: int, batches: int = 0) -> Market:
    """Feed credit's own handlers with an anchor, its programme and its suppliers; copy in free documents.

    So many documents are to be drawn on one by one, and so many batches of them together.
    """
    anchor, programme_id = new_id(), new_id()
    firms = [new_id() for _ in range(SUPPLIERS)]
    await _hear(database, _facts(anchor, programme_id, firms))
    async with database.reader() as tx:
        lines = {row["enterprise_id"]: row["line_id"] for row in await tx.pg.fetch("SELECT * FROM line")}
    issuer = Issuer(home=settings.home, issuer=settings.issuer, audience=settings.audience)
    suppliers = [
        Supplier(firm, lines[firm], issuer.issue(subject=new_id(), roles=["sme"], party=firm, client_id=f"erp-{firm}"))
        for firm in firms
    ]
    owners = [suppliers[n % SUPPLIERS] for n in range(documents)]
    owners += [suppliers[n % SUPPLIERS] for n in range(batches) for _ in range(BATCH_ITEMS)]
    named = [(owner, f"{n:08x}-0000-7000-8000-000000000000") for n, owner in enumerate(owners)]
    due = datetime.now(UTC).date() + timedelta(days=_TENOR_DAYS)
    async with database.transaction() as tx:
        await tx.pg.copy_records_to_table(
            "document",
            records=[
                (document_id, "receivable", owner.enterprise_id, anchor, _ELIGIBLE_MINOR, _CURRENCY, due, "confirmed")
                for owner, document_id in named
            ],
            columns=_COLUMNS,
        )
    return Market(programme_id, suppliers, iter(named[:documents]), _batches(named[documents:]))


def _batches(named: Sequence[tuple[Supplier, str]]) -> Iterator[tuple[Supplier, list[str]]]:
    for first in range(0, len(named), BATCH_ITEMS):
        batch = named[first : first + BATCH_ITEMS]
        yield batch[0][0], [document_id for _, document_id in batch]


async def _hear(database: Database, facts: list[Event]) -> None:
    for fact in facts:
        said = Received(new_id(), fact.type, fact.topic, fact.subject, 1, datetime.now(UTC), "bench", None, fact)
        async with database.transaction() as tx:
            await HANDLERS[type(fact)](tx, [said])


def _facts(anchor: str, programme_id: str, firms: list[str]) -> list[Event]:
    large = Amount(amount="1000000000.00", currency=_CURRENCY)
    facts: list[Event] = [_registered(anchor, "anchor"), _rated(anchor, large)]
    facts.append(
        ProgrammeActivated(
            programme_id=programme_id,
            name="hot",
            anchor_id=anchor,
            group_head_id=anchor,
            terms=programme_terms(large),
        )
    )
    for n, firm in enumerate(firms):
        facts += [
            _registered(firm, f"supplier {n}"),
            _rated(firm, large),
            LinkRecorded(link_id=new_id(), supplier_id=firm, buyer_id=anchor, traded=large, contract="bench"),
            LineAgreementSigned(
                enterprise_id=firm,
                programme_id=programme_id,
                signed_date=date(2020, 1, 1),
                expiry_date=date(2099, 1, 1),
                committed=Amount(amount="0.00", currency=_CURRENCY),
            ),
            MemberAdmitted(
                programme_id=programme_id, enterprise_id=firm, direction="upstream", anchor_support="0.000000"
            ),
        ]
    return facts


def _registered(firm: str, name: str) -> EnterpriseRegistered:
    return EnterpriseRegistered(
        enterprise_id=firm,
        name=name,
        country="CN",
        legal_identifiers={},
        group_head_id=firm,
        size_class="small",
        industry="",
        account=f"account {name}",
    )


def _rated(firm: str, cap: Amount) -> RatingRecorded:
    return RatingRecorded(
        enterprise_id=firm,
        grade="A",
        cap=cap,
        multiplier="1.000000",
        risk_spread="0.010000",
        reasons=["bench"],
        valid_until=date(2099, 1, 1),
        policy_version="officer",
    )
