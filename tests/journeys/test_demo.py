"""`tributary demo --json`, once, as a person runs it; its figures are computed again here, rule by rule."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shared.values.money import round_half_even
from shared.values.rates import parse_rate
from tributary.demo.stage import minor

DRAW = ["drawdown.held", "assignment.documents_assigned", "drawdown.approved", "loan.instructed", "loan.disbursed"]
_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("TRIBUTARY_", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


@dataclass(frozen=True)
class Told:
    """What a run printed, and its steps by a part of their name."""

    status: int
    document: dict[str, Any]
    errors: str
    left_behind: list[str]

    def step(self, part: str) -> dict[str, Any]:
        found = [step for step in self.document["steps"] if part in step["name"]]
        assert len(found) == 1, (part, [step["name"] for step in self.document["steps"]])
        return dict(found[0])

    def facts(self, part: str) -> dict[str, Any]:
        return dict(self.step(part)["facts"])

    def change(self, part: str, level: str) -> dict[str, Any]:
        return next(dict(each) for each in self.step(part)["changes"] if each["level"] == level)

    @property
    def draw_date(self) -> date:
        """The business day on which the story's first draws are made."""
        return date.fromisoformat(self.facts("documents assigned")["loan"]["disbursed_date"])

    @property
    def main_payable(self) -> int:
        """What the anchor owes on the invoice that is followed to its end."""
        return 452_000_00


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    temporary = tmp_path_factory.mktemp("demo")
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    command = [sys.executable, "-c", "from tributary.cli import main; main()", "demo", "--json"]
    done = subprocess.run(
        command, cwd=_ROOT, env={**env, "TMPDIR": str(temporary)}, capture_output=True, text=True, check=False
    )
    assert done.stdout.count("\n") == 1, done.stderr[-2000:]
    left_behind = [path.name for path in temporary.iterdir()]
    return Told(done.returncode, json.loads(done.stdout), done.stderr, left_behind)


pytestmark = pytest.mark.timeout(300)


def _simple(principal: int, rate: int, days: int) -> int:
    return round_half_even(numerator=principal * rate * days, denominator=360 * 1_000_000)


def test_every_step_has_its_effect_and_nothing_is_left_behind(told: Told) -> None:
    assert told.status == 0, told.errors
    assert len(told.document["steps"]) == 27
    assert all(step["ok"] and step["what"] and not step["error"] for step in told.document["steps"])
    assert told.document["processes"] == 1
    assert told.left_behind == []


def test_nothing_is_parked_and_no_invariant_is_violated(told: Told) -> None:
    figures = told.document["events"]
    assert figures["parked"] == 0
    assert figures["consumed"] >= figures["published"] > 100
    assert told.document["invariants"] == {f"I{n}": 0 for n in range(1, 12)}


def test_r8_the_twin_is_a_duplicate_and_what_is_no_invoice_is_refused_by_name(told: Told) -> None:
    outcomes = {each["file"]: (each["outcome"], each["code"]) for each in told.document["intake"]["files"]}
    assert outcomes["bearings-HB-7001.cii.xml"] == ("accepted", "validated")
    assert outcomes["bearings-HB-7001.ubl.xml"] == ("duplicate", "duplicate_document")
    assert outcomes["bearings-HB-7003-payee.ubl.xml"] == ("accepted", "referred")
    assert outcomes["castings-credit-note.ubl.xml"] == ("accepted", "referred")
    refused = {code for outcome, code in outcomes.values() if outcome == "refused"}
    assert refused == {
        "not_financeable",
        "not_an_invoice",
        "nothing_payable",
        "unknown_party",
        "unreadable_document",
        "hostile_document",
    }
    counts = told.document["intake"]
    assert (counts["accepted"], counts["duplicates"], counts["refused"]) == (11, 1, 6)


def test_every_sme_has_a_line_tier_two_and_the_distributor_included(told: Told) -> None:
    lines = {line["enterprise"]: line for line in told.document["lines"]}
    assert {(line["tier"], line["direction"]) for line in lines.values()} == {
        (1, "upstream"),
        (2, "upstream"),
        (1, "downstream"),
    }
    assert len(lines) == 5
    assert all(line["cap_minor"] > 0 for line in lines.values())
    assert sum(line["cap_minor"] for line in lines.values()) <= 10_000_000_00
    for line in lines.values():
        left = line["cap_minor"] - line["held_minor"] - line["utilised_minor"]
        assert 0 <= line["available_minor"] <= left


def test_the_price_names_its_components_its_fee_and_the_all_in_rate(told: Told) -> None:
    quote = told.facts("asks for a price")["quote"]
    rate = sum(parse_rate(each["rate"]) for each in quote["components"])
    assert rate == parse_rate(quote["rate"])
    days = (date.fromisoformat(quote["maturity_date"]) - told.draw_date).days
    interest = _simple(minor(quote["principal"]), rate, days)
    cost = interest + minor(quote["fee"])
    received = minor(quote["principal"]) - minor(quote["fee"])
    assert abs(parse_rate(quote["all_in_rate"]) - cost * 365 * 1_000_000 // (received * days)) <= 1


def test_a_draw_goes_through_the_services_in_order_and_every_limit_counts_it(told: Told) -> None:
    step = told.step("documents assigned")
    assert [hop.split(" ")[0] for hop in step["hops"]][: len(DRAW)] == DRAW
    principal = minor(step["facts"]["loan"]["principal"])
    assert {change["level"] for change in step["changes"]} == {"group", "programme", "obligor", "line"}
    for change in step["changes"]:
        assert change["before"] is not None
        assert minor(change["before"]["available"]) - minor(change["after"]["available"]) == principal
    assert step["facts"]["assignment"]["registry_reference"]


def test_the_second_financing_of_an_invoice_is_refused_and_changes_nothing(told: Told) -> None:
    step = told.step("second attempt")
    assert step["facts"]["refused"]["code"] in {"document_in_use", "document_not_eligible"}
    assert step["changes"] == []


def test_r13_the_slices_of_a_voucher_make_up_its_face_and_tier_one_is_not_used_by_tier_two(told: Told) -> None:
    slices = sorted((each["start_minor"], each["end_minor"]) for each in told.facts("passes a slice")["slices"])
    assert slices[0][0] == 0
    assert all(left[1] == right[0] for left, right in pairwise(slices))
    drawn = told.step("tier 2 draws")
    lines = [change["node_id"] for change in drawn["changes"] if change["level"] == "line"]
    assert len(lines) == 1
    assert lines[0] != told.change("documents assigned", "line")["node_id"]


def test_the_distributors_money_goes_to_the_anchor(told: Told) -> None:
    loan = told.facts("distributor draws")["loan"]
    assert loan["payee_id"] != loan["enterprise_id"] == loan["obligor_id"]
    assert told.change("distributor draws", "obligor")["node_id"].split("/")[1] == loan["obligor_id"]


def test_an_unknown_payment_stays_held_until_a_statement_proves_it(told: Told) -> None:
    unknown = told.step("rail timeout")
    assert (unknown["facts"]["loan"]["state"], unknown["facts"]["drawdown"]["state"]) == ("unknown", "approved")
    line = told.change("rail timeout", "line")["after"]
    assert minor(line["held"]) == minor(unknown["facts"]["drawdown"]["principal"])
    proven = told.change("statement proves", "line")["after"]
    assert (minor(proven["held"]), minor(proven["utilised"])) == (0, minor(line["held"]))


def test_r12_a_limit_cut_below_its_use_leaves_nothing_and_records_the_shortfall(told: Told) -> None:
    step = told.step("cut below its use")
    node = step["facts"]["node"]
    assert minor(node["available"]) == 0
    assert minor(node["shortfall"]) == minor(node["utilised"]) - minor(node["sanctioned"]) > 0
    assert step["facts"]["refused"]["code"] == "limit_exceeded"
    for change in step["changes"]:
        if change["level"] == "line":
            raised = next(each for each in told.step("raised again")["changes"] if each["node_id"] == change["node_id"])
            assert raised["after"] == change["before"]


def test_r2_r5_a_part_on_the_due_date_pays_interest_first_then_principal(told: Told) -> None:
    facts = told.facts("pays a part")
    entry, loan = facts["entry"], facts["before"]
    days = (date.fromisoformat(facts["value_date"]) - date.fromisoformat(loan["disbursed_date"])).days
    interest = _simple(minor(loan["principal"]), parse_rate(loan["rate"]), days)
    assert (minor(entry["interest"]), minor(entry["penalty"])) == (interest, 0)
    assert minor(entry["principal"]) > 0


def test_r15_r17_the_rest_after_grace_bears_a_penalty_and_the_surplus_is_the_sellers(told: Told) -> None:
    part, facts = told.facts("pays a part"), told.facts("rest comes late")
    entry, loan = facts["entry"], facts["before"]
    outstanding = minor(loan["outstanding"])
    assert outstanding == minor(loan["principal"]) - minor(part["entry"]["principal"])
    paid_until = date.fromisoformat(part["value_date"])
    penalty_from = date.fromisoformat(loan["maturity_date"]) + timedelta(days=loan["grace_days"])
    late = (date.fromisoformat(facts["value_date"]) - penalty_from).days
    assert minor(entry["penalty"]) == _simple(outstanding, parse_rate(loan["penalty_rate"]), late) > 0
    # Interest is rounded as a total from the first day, so a part of it may differ by the carried remainder.
    more = _simple(outstanding, parse_rate(loan["rate"]), (penalty_from - paid_until).days)
    assert abs(minor(entry["interest"]) - more) <= 1
    assert minor(entry["principal"]) == outstanding
    received = sum(minor(entry[name]) for name in ("costs", "penalty", "interest", "principal"))
    assert minor(entry["surplus"]) == told.main_payable - _received(part["entry"]) - received > 0


def _received(entry: dict[str, Any]) -> int:
    return sum(minor(entry[name]) for name in ("costs", "penalty", "interest", "principal", "surplus", "excess"))


def test_r11_repaid_principal_is_available_again_on_every_node(told: Told) -> None:
    principal = minor(told.facts("rest comes late")["entry"]["principal"])
    changes = told.step("rest comes late")["changes"]
    assert {change["level"] for change in changes} == {"group", "programme", "obligor", "line"}
    for change in changes:
        assert change["before"] is not None
        assert minor(change["after"]["available"]) - minor(change["before"]["available"]) == principal
    assert told.facts("revolves")["loan"]["state"] == "disbursed"


def test_the_income_is_what_the_loans_earned(told: Told) -> None:
    earned = told.document["income"]["CNY"]
    late = told.facts("rest comes late")["entry"]
    assert minor(earned["penalty"]) == minor(late["penalty"])
    assert minor(earned["interest"]) > minor(late["interest"])
    assert minor(earned["fees"]) > 0
