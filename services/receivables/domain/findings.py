"""What judging a document finds, and what intake makes of it by policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from services.receivables.domain.documents import DocumentRefused
from services.receivables.domain.plain_words import plain_words

Severity = Literal["fatal", "warning", "information"]
Xsd = Literal["valid", "invalid", "not_checked"]
GRAMMAR = "xsd"
# What keeps a person from deciding in advance: the document breaks fatal rules that policy lets through to him.
BROKEN = "rules_broken"
BELOW = "profile_below_en16931"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: of which pack and version, how grave, where, and the pack's own message."""

    rule: str
    severity: Severity
    location: str
    message: str
    pack: str

    def wire(self) -> dict[str, Any]:
        """Return the finding as it is answered and kept, with our own words in English and Chinese."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "location": self.location,
            "message": self.message,
            "pack": self.pack,
            "plain": plain_words(self.rule, pack=self.pack),
        }


class RulesBroken(DocumentRefused):
    """The document breaks rules without which policy takes nothing in; its findings say which."""

    code: ClassVar[str] = "rules_broken"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the grammar and the rule sheets say of one document."""

    syntax: str | None = None
    document: str | None = None
    profile: str | None = None
    profile_name: str | None = None
    below_en16931: bool = False
    packs: tuple[str, ...] = ()
    xsd: Xsd = "not_checked"
    findings: tuple[Finding, ...] = ()

    def wire(self) -> list[dict[str, Any]]:
        """Return the findings as they are answered."""
        return [finding.wire() for finding in self.findings]


def decide(judgement: Judgement, *, policy: Mapping[str, Any]) -> list[str]:
    """Return why a person must look before anybody confirms; RulesBroken where policy refuses.

    `policy` is the findings part of the intake policy: what a broken grammar and a fatal finding come to
    (refuse, refer or accept), and the rules that come to something else.
    """
    refused, referred = [], []
    for finding in judgement.findings:
        answer = _answer(finding, policy)
        if answer == "refuse":
            refused.append(finding)
        elif answer == "refer":
            referred.append(finding)
    if refused:
        raise RulesBroken(_sentence(refused), rules=_names(refused))
    reasons = [BROKEN] if referred else []
    if judgement.below_en16931 and policy["below_en16931"] == "refer":
        reasons.append(BELOW)
    return reasons


def _answer(finding: Finding, policy: Mapping[str, Any]) -> str:
    if finding.severity != "fatal":
        return "accept"
    named: str | None = policy["rules"].get(finding.rule)
    return named or str(policy["grammar" if finding.rule == GRAMMAR else "fatal"])


def _names(findings: Sequence[Finding]) -> list[str]:
    return sorted({finding.rule for finding in findings})


def _sentence(findings: Sequence[Finding]) -> str:
    names = _names(findings)
    if names == [GRAMMAR]:
        return f"The document is not as the schema of its syntax demands ({len(findings)} places)."
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - as many as a sentence bears
    return f"The document breaks {', '.join(names[:3])}{more}."
