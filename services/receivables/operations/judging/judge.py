"""Judge one document: what it is, whether its grammar holds, which rules it breaks, and the invoice in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lxml import etree

from services.receivables.domain import cii, ubl
from services.receivables.domain.documents import DocumentRefused, EInvoice
from services.receivables.domain.findings import Judgement
from services.receivables.domain.profiles import Syntax, profile_of
from services.receivables.domain.reading import parse_document, read_root
from services.receivables.operations.judging.grammars import judge_grammar
from services.receivables.operations.judging.sheets import run_sheets
from shared.values.money import InvalidAmount, UnknownCurrency

_REFUSALS = (DocumentRefused, InvalidAmount, UnknownCurrency)
_PROFILE = etree.XPath(
    "normalize-space(/*/*[local-name()='CustomizationID'][1]"
    " | /*/*[local-name()='ExchangedDocumentContext']"
    "/*[local-name()='GuidelineSpecifiedDocumentContextParameter'][1]/*[local-name()='ID'])"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """One document: what it was judged, and the invoice in it or why there is none."""

    judgement: Judgement
    invoice: EInvoice | None = None
    error: Exception | None = None


def judge(data: bytes) -> Judged:
    """Return what a document is; every refusal is in the answer, none is raised."""
    try:
        root = parse_document(data)
    except _REFUSALS as error:
        return Judged(Judgement(), error=error)
    judgement = judge_root(root)
    try:
        return Judged(judgement, invoice=read_root(root))
    except _REFUSALS as error:
        return Judged(judgement, error=error)


def judge_root(root: etree._Element) -> Judgement:
    """Return what grammar and rules say of a parsed document; of one that is no invoice only what it is."""
    name = etree.QName(root)
    claimed = str(_PROFILE(root))
    kind: dict[str, Any] = {
        "syntax": _syntax(name.namespace or ""),
        "document": name.localname,
        "profile": claimed or None,
    }
    if root.tag not in {ubl.INVOICE, ubl.CREDIT_NOTE, cii.INVOICE}:
        return Judgement(**kind)
    syntax: Syntax = "cii" if root.tag == cii.INVOICE else "ubl"
    profile = profile_of(claimed, syntax=syntax, credit=root.tag == ubl.CREDIT_NOTE)
    xsd, findings = judge_grammar(root)
    text = etree.tostring(root, encoding="unicode")
    findings += run_sheets(profile.sheets, text)
    return Judgement(
        **kind,
        profile_name=profile.name,
        below_en16931=profile.below_en16931,
        packs=tuple(sheet.pack for sheet in profile.sheets),
        xsd=xsd,
        findings=tuple(findings),
    )


def _syntax(namespace: str) -> str | None:
    if ":ubl:schema:" in namespace:
        return "UBL"
    return "CII" if "uncefact" in namespace or "CrossIndustry" in namespace else None
