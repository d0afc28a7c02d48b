"""What intake takes in: UBL with every rule of EN 16931 and of Peppol BIS Billing, CSV rows, vouchers split.

Of e-documents the limit is what the rules themselves take: a bare parser and the sheets as published, without our
schema, reading, findings and bounds. Both run in turn in this process; a figure is the rounds' median of documents a
second of processor time, so that whoever else uses the machine does not count. The way through the confined process,
the rows and the splits are by the clock; each of them has its own limit beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from lxml import etree

from services.receivables.domain.profiles import EN16931_UBL, PEPPOL_UBL
from services.receivables.operations.judging.judge import judge
from services.receivables.operations.judging.sheets import bare
from services.receivables.operations.read_upload import read_one
from shared.runtime.offload import close_offload
from tributary.bench.machine import machine
from tributary.bench.rows import rows_a_second
from tributary.bench.splits import splits_a_second
from tributary.demo.plan import Firm
from tributary.demo.samples import Invoice, ubl_invoice

_ROUNDS, _DOCUMENTS, _CONFINED, _LINES = 7, 40, 100, 5
_LINE_NET_MINOR = 20_000
_SELLER = Firm("seller", "Seller", "CN", {"uscc": "91230100MA1AAA0021"})
_BUYER = Firm("buyer", "Buyer", "CN", {"uscc": "91230100MA1AAA0030"})
_BIS = b"urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
_PROCESS = b"<cbc:ProfileID>urn:fdc:peppol.eu:2017:poacc:billing:01:1.0</cbc:ProfileID>"


class NotAsItShould(RuntimeError):
    """The document of the figure breaks a rule: what was measured would be something else."""

    code = "not_as_it_should"


async def measure(home: Path) -> dict[str, Any]:
    """Return the figures with their baselines; NotAsItShould when the document is not judged to be without fault."""
    data = document(lines=_LINES)
    judged = judge(data)
    if judged.invoice is None or judged.judgement.findings or judged.judgement.xsd != "valid":
        raise NotAsItShould(str([finding.rule for finding in judged.judgement.findings]))
    parser = bare([EN16931_UBL, PEPPOL_UBL])

    def limit() -> None:
        parser(etree.tostring(etree.fromstring(data), encoding="unicode"))

    limit()
    rounds = [(_rate(lambda: judge(data)), _rate(limit)) for _ in range(_ROUNDS)]
    value, baseline = (median(rates) for rates in zip(*rounds, strict=True))
    waits = await _confined(data)
    return {
        "figure": "intake",
        "value": round(value, 1),
        "unit": f"UBL invoices of {_LINES} lines judged by XSD, EN 16931 and Peppol BIS and read, a second of one core",
        "baseline": round(baseline, 1),
        "baseline_name": "the bare parser and the rule sheets as published, their reports unread",
        "ratio": round(value / baseline, 2),
        "p50_ms": round(1000 * median(waits), 1),
        "p99_ms": round(1000 * quantiles(waits, n=100)[98], 1),
        "latency_of": "one document through the confined process, one at a time, by the clock",
        "rules": list(judged.judgement.packs),
        "machine": machine(),
        "rounds": [round(rate, 1) for rate, _ in rounds],
        "baseline_rounds": [round(rate, 1) for _, rate in rounds],
        "rows": await rows_a_second(home / "rows"),
        "splits": await splits_a_second(home / "splits"),
    }


def document(*, lines: int) -> bytes:
    """Return an invoice of so many lines that keeps every rule of Peppol BIS Billing."""
    net_minor = lines * _LINE_NET_MINOR
    made = ubl_invoice(Invoice("B-1", _SELLER, _BUYER, date(2026, 9, 1), date(2026, 12, 1), net_minor, "CNY"))
    made = made.replace(b"<cbc:CustomizationID>urn:cen.eu:en16931:2017</cbc:CustomizationID>", _HEAD, 1)
    for nth in (1, 2):
        endpoint = b'<cbc:EndpointID schemeID="0225">%d</cbc:EndpointID>' % nth
        made = made.replace(b"<cac:Party><cac:PostalAddress>", b"<cac:Party>" + endpoint + b"<cac:PostalAddress>", 1)
    start, end = made.index(b"<cac:InvoiceLine>"), made.index(b"</Invoice>")
    whole, part = (f"{minor // 100}.00<".encode() for minor in (net_minor, _LINE_NET_MINOR))
    line = made[start:end].replace(whole, part)
    body = b"".join(line.replace(b"<cbc:ID>1<", b"<cbc:ID>%d<" % (nth + 1), 1) for nth in range(lines))
    return made[:start] + body + made[end:]


_HEAD = b"<cbc:CustomizationID>" + _BIS + b"</cbc:CustomizationID>" + _PROCESS


def _rate(work: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(_DOCUMENTS):
        work()
    return _DOCUMENTS / (time.process_time() - started)


async def _confined(data: bytes) -> list[float]:
    waits = []
    try:
        for _ in range(5):
            await read_one(data, name="warm")
        for _ in range(_CONFINED):
            started = time.perf_counter()
            await read_one(data, name="a")
            waits.append(time.perf_counter() - started)
    finally:
        close_offload()
    return waits
