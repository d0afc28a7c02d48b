"""What the confined process does with one file: take it out of what carries it, judge it, read it."""

from __future__ import annotations

from services.receivables.domain.documents import DocumentRefused
from services.receivables.domain.findings import Judgement
from services.receivables.operations.judging.judge import Judged as Found
from services.receivables.operations.judging.judge import judge
from services.receivables.operations.judging.pdfs import invoice_in_pdf

__all__ = ["Found", "read_file"]
_PDF = b"%PDF"
_START = 1024


def read_file(data: bytes) -> Found:
    """Return what one file is and the invoice in it, a PDF's invoice in its XML."""
    if _PDF not in data[:_START]:
        return judge(data)
    try:
        return judge(invoice_in_pdf(data))
    except DocumentRefused as error:
        return Found(Judgement(), error=error)
