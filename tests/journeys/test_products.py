"""A firm draws on its rating alone, through every service: refused by the rail, drawn again, paid to a named payee."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.micro_town import Town, cny, line_of, play, reached
from tributary.demo.client import Refused
from tributary.demo.people import people_of

pytestmark = pytest.mark.timeout(300)
_DIGEST = "5e" * 32


async def _story(http: httpx.AsyncClient, home: Path) -> None:
    people = await people_of(http, home=home)
    maker, risk = await people.bank("maker", "bank_maker"), await people.bank("risk", "risk_officer")
    town = Town(people, maker, risk, datetime.now(UTC).date())
    await maker.post("/settlement/v1/book", {"opening_date": town.today.isoformat()})
    anchor, mill = await town.firm("anchor"), await town.firm("mill")
    with pytest.raises(Refused) as refused:
        await town.programme(anchor, products=["moon_finance"])
    assert (refused.value.code, refused.value.document["term"]) == ("invalid_terms", "products")
    sme = await town.supplier(anchor, await town.programme(anchor))
    line = await line_of(sme)
    asked: Mapping[str, Any] = {
        "line_id": line["line_id"],
        "documents": [],
        "principal": cny("3000000.00"),
        "tenor_days": 60,
        "purpose": "materials",
        "payee": {"enterprise_id": mill, "account": "ACC-mill"},
        "evidence": [{"kind": "contract", "reference": "C-9", "digest": _DIGEST}],
    }
    # The quota of a small firm in the services, of the product's policy file.
    with pytest.raises(Refused) as refused:
        await sme.command("/credit/v1/drawdowns", {**asked, "principal": cny("3000000.01")})
    assert refused.value.document["binding_node"] == f"product/{line['line_id']}/revolving_micro"
    await people.administrator.put("/settlement/v1/rail/behaviours", {"account": "ACC-mill", "outcome": "refuse"})
    first = await sme.command("/credit/v1/drawdowns", asked)
    await reached(sme, first["drawdown_id"], "released")
    assert (await line_of(sme))["held"]["amount"] == "0.00"
    second = await sme.command("/credit/v1/drawdowns", asked)
    assert second["drawdown_id"] != first["drawdown_id"]
    used = await reached(sme, second["drawdown_id"], "utilised")
    assert (used["product"], used["outstanding"]["amount"]) == ("revolving_micro", "3000000.00")
    loan = await maker.get(f"/settlement/v1/loans/{second['drawdown_id']}")
    assert (loan["payee_id"], loan["state"]) == (mill, "disbursed")
    assignment = await maker.get(f"/receivables/v1/assignments/{second['drawdown_id']}")
    assert (assignment["state"], assignment["documents"]) == ("nothing", [])
    entry = {
        "entry_id": "E-1",
        "amount": cny("3000000.00"),
        "direction": "credit",
        "value_date": town.today.isoformat(),
        "reference": second["drawdown_id"],
    }
    await maker.command("/settlement/v1/statements", {"account": "COLLECT", "entries": [entry]})
    await reached(sme, second["drawdown_id"], "repaid")
    assert (await line_of(sme))["utilised"]["amount"] == "0.00"


def test_on_the_rating_alone_from_the_request_to_the_repayment_every_invariant_holds(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    figures = asyncio.run(play(_story, home=tmp_path))
    assert len(figures) >= 11
    assert all(figure["violations"] == 0 for figure in figures.values()), json.dumps(figures, indent=1)
