"""What a broken rule comes to is policy's to say; what it means is said in two languages; which sheets judge whom."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from services.receivables.domain.findings import Finding, Judgement, RulesBroken, Severity, decide
from services.receivables.domain.plain_words import plain_words
from services.receivables.domain.profiles import profile_of
from shared.values.money import InvalidAmount, UnknownCurrency

POLICY: dict[str, Any] = {
    "grammar": "refuse",
    "fatal": "refer",
    "below_en16931": "refer",
    "rules": {"BR-CO-15": "refuse", "BR-CL-25": "accept"},
}


def judgement(*rules: str, severity: Severity = "fatal", below: bool = False) -> Judgement:
    found = tuple(Finding(rule, severity, "/Invoice[1]", "why", "EN 16931 1.3.16") for rule in rules)
    return Judgement(findings=found, below_en16931=below)


@pytest.mark.parametrize(
    ("judged", "reasons"),
    [
        (judgement(), []),
        (judgement("BR-08", "BR-16"), ["rules_broken"]),
        (judgement("BR-CL-25"), []),
        (judgement("BR-CO-15", severity="warning"), []),
        (judgement("xsd", severity="information"), []),
        (judgement(below=True), ["profile_below_en16931"]),
        (judgement("BR-08", below=True), ["rules_broken", "profile_below_en16931"]),
    ],
)
def test_policy_says_for_which_findings_a_person_must_look(judged: Judgement, reasons: list[str]) -> None:
    assert decide(judged, policy=POLICY) == reasons


@pytest.mark.parametrize("rules", [("xsd",), ("BR-CO-15",), ("BR-08", "BR-CO-15", "xsd")])
def test_policy_says_which_findings_refuse_and_the_refusal_names_those_alone(rules: tuple[str, ...]) -> None:
    with pytest.raises(RulesBroken) as caught:
        decide(judgement(*rules), policy=POLICY)
    refused = sorted(set(rules) & {"xsd", "BR-CO-15"})
    assert vars(caught.value) == {"rules": refused}
    assert caught.value.code == "rules_broken"
    assert decide(judgement(*rules), policy={**POLICY, "grammar": "accept", "rules": {}, "fatal": "accept"}) == []


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("BR-16", "It has no line at all (BG-25)."),
        ("BR-CL-99", "A code is not in the list that the standard allows."),
        ("BR-DE-15", "It breaks a rule that German law adds."),
        ("BR-99", "It breaks a business rule of the standard."),
        ("XY-1", "It breaks the rule XY-1 of Pack 7."),
    ],
)
def test_a_rule_is_told_by_its_own_words_its_familys_or_by_its_name(rule: str, words: str) -> None:
    said = plain_words(rule, pack="Pack 7")
    assert said["en"] == words
    assert any("一" <= each <= "鿿" for each in said["zh"])


_EN = "urn:cen.eu:en16931:2017"


@pytest.mark.parametrize(
    ("claimed", "syntax", "packs"),
    [
        (_EN, "ubl", ["EN 16931 1.3.16"]),
        ("", "ubl", ["EN 16931 1.3.16"]),
        ("urn:somebody:else", "cii", ["EN 16931 1.3.16"]),
        (
            f"{_EN}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0",
            "ubl",
            ["EN 16931 1.3.16", "Peppol BIS Billing 2026.5"],
        ),
        (f"{_EN}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0", "cii", ["EN 16931 1.3.16"]),
        (
            f"{_EN}#compliant#urn:fdc:peppol.eu:2017:poacc:selfbilling:3.0",
            "ubl",
            ["EN 16931 1.3.16", "Peppol BIS Self-Billing 2026.5"],
        ),
        (f"{_EN}#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0", "cii", ["EN 16931 1.3.16", "XRechnung 3.0.2"]),
        (f"{_EN}#compliant#urn:xoev-de:kosit:standard:xrechnung_1.2", "ubl", ["EN 16931 1.3.16", "XRechnung 1.2.2"]),
        ("urn:factur-x.eu:1p0:minimum", "cii", ["Factur-X MINIMUM 1.09"]),
        ("urn:zugferd.de:2p0:basicwl", "cii", ["Factur-X BASIC WL 1.09"]),
        (f"{_EN}#conformant#urn:factur-x.eu:1p0:extended", "cii", ["EN 16931 1.3.16"]),
    ],
)
def test_a_document_is_judged_by_the_sheets_of_what_it_claims_to_be(
    claimed: str, syntax: Any, packs: list[str]
) -> None:
    profile = profile_of(claimed, syntax=syntax)
    assert [sheet.pack for sheet in profile.sheets] == packs
    assert profile.below_en16931 == packs[0].startswith("Factur-X")


def test_refusals_of_amounts_cross_processes_with_what_they_say() -> None:
    for error in (InvalidAmount(amount="1e5", reason="is not a decimal number"), UnknownCurrency(currency="ZZZ")):
        copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))
