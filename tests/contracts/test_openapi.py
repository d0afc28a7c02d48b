"""The HTTP contracts: committed, current, described in full, and never broken by a release."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.web.auth import ROLES
from tributary import contracts
from tributary.contracts import incompatible_apis, text
from tributary.openapi import OPENAPI, api_breaks, documents
from tributary.services import SERVICES

_REMEDY = "run `python -m tributary.contracts` and commit what it writes"
_METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return dict(documents())


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in methods.keys() & _METHODS:
            yield f"{method.upper()} {path}", methods[method]


def test_no_service_breaks_its_committed_contract() -> None:
    assert incompatible_apis() == []


def test_the_committed_documents_are_those_of_the_services(made: dict[str, Any]) -> None:
    committed = {path.stem: path.read_text(encoding="utf-8") for path in OPENAPI.glob("*.json")}
    assert committed == {name: text(document) for name, document in made.items()}, _REMEDY


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_says_what_it_does_who_may_call_it_and_how_it_refuses(
    service: str, made: dict[str, Any]
) -> None:
    document = made[service]
    names = []
    for at, operation in _operations(document):
        assert len(operation.get("description", "")) > 10, f"{at} does not say what it does"
        assert set(operation["x-roles"]) <= ROLES, at
        assert operation["security"] == ([{"token": []}] if operation["x-roles"] else []), at
        refusals = {status for status in operation["responses"] if status[0] != "2"}
        assert refusals >= ({"401", "403", "default"} if operation["x-roles"] else {"default"}), at
        for status in refusals:
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"], f"{at} {status}"
        names.append(operation["operationId"])
    assert len(set(names)) == len(names) > 3
    codes = document["x-problem-codes"]
    assert {"missing_token", "forbidden", "invalid_request", "unavailable"} <= {
        c for each in codes.values() for c in each
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_reference_leads_somewhere_and_everything_is_referred_to(service: str, made: dict[str, Any]) -> None:
    said = json.dumps(made[service])
    schemas = made[service]["components"]["schemas"]
    for name in schemas:
        assert f'"#/components/schemas/{name}"' in said, name
        assert "__" not in name, f"two shapes share the name {name}"
    referred = {part.split('"')[0] for part in said.split('"$ref": "#/components/schemas/')[1:]}
    assert referred <= schemas.keys()


def _document() -> dict[str, Any]:
    thing = {"$ref": "#/components/schemas/Thing"}
    return {
        "paths": {
            "/things": {
                "post": {
                    "x-roles": ["erp", "sme"],
                    "parameters": [
                        {"in": "query", "name": "dry", "required": False, "schema": {"type": "boolean"}},
                        {"in": "header", "name": "Idempotency-Key", "required": True, "schema": {"type": "string"}},
                    ],
                    "requestBody": {"required": True, "content": {"application/json": {"schema": thing}}},
                    "responses": {
                        "201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Made"}}}},
                        "default": {"content": {"application/problem+json": {"schema": {"type": "object"}}}},
                    },
                },
                "get": {"x-roles": [], "responses": {"200": {"description": "all"}}},
            }
        },
        "components": {
            "schemas": {
                "Thing": {
                    "type": "object",
                    "properties": {
                        "kind": {"type": "string", "enum": ["a", "b"]},
                        "parts": {"type": "array", "items": {"type": "string", "maxLength": 9}},
                    },
                    "required": ["kind"],
                },
                "Made": {
                    "type": "object",
                    "properties": {"id": {"type": "string"}, "state": {"type": "string", "enum": ["new"]}},
                    "required": ["id"],
                },
            }
        },
    }


Change = Callable[[dict[str, Any]], object]


def _post(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"]["/things"]["post"]
    return found


def _schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


_NEW = {"in": "query", "name": "mode", "required": True, "schema": {"type": "string"}}
_BREAKS: list[tuple[Change, str]] = [
    (lambda d: d["paths"].pop("/things"), "POST /things: removed"),
    (lambda d: d["paths"]["/things"].pop("get"), "GET /things: removed"),
    (lambda d: _post(d)["responses"].pop("201"), "POST /things answer 201: removed"),
    (lambda d: _post(d)["x-roles"].remove("sme"), "POST /things roles: sme could call it"),
    (lambda d: d["paths"]["/things"]["get"].update({"x-roles": ["erp"]}), "GET /things roles: everybody could call it"),
    (lambda d: _post(d)["parameters"].pop(0), "POST /things query dry: removed"),
    (lambda d: _post(d)["parameters"].append(_NEW), "POST /things query mode: required"),
    (lambda d: _post(d)["parameters"][0].update(required=True), "POST /things query dry: required"),
    (lambda d: _post(d)["requestBody"]["content"].clear(), "POST /things body: application/json is no longer accepted"),
    (lambda d: _schema(d, "Thing")["properties"].pop("parts"), "POST /things body/parts: removed"),
    (lambda d: _schema(d, "Thing")["required"].append("parts"), "POST /things body/parts: required"),
    (lambda d: _schema(d, "Thing")["properties"]["kind"]["enum"].remove("b"), "POST /things body/kind: b is no longer"),
    (
        lambda d: _schema(d, "Thing")["properties"]["parts"]["items"].update(maxLength=3),
        "POST /things body/parts/[]: maxLength was 9, is 3",
    ),
    (lambda d: _schema(d, "Made")["properties"].pop("id"), "POST /things answer 201/id: removed"),
    (lambda d: _schema(d, "Made")["required"].clear(), "POST /things answer 201/id: was always there"),
    (lambda d: _schema(d, "Made")["properties"]["id"].update(type="integer"), "POST /things answer 201/id: type was"),
    (
        lambda d: _schema(d, "Made")["properties"]["state"]["enum"].append("old"),
        "POST /things answer 201/state: may be",
    ),
]


@pytest.mark.parametrize(("change", "said"), _BREAKS)
def test_a_change_that_breaks_a_client_is_found(change: Change, said: str) -> None:
    new = _document()
    change(new)
    found = api_breaks(old=_document(), new=new)
    assert [each for each in found if each.startswith(said)], found


_HARMLESS: list[Change] = [
    lambda _: None,
    lambda d: d["paths"].update({"/more": {"get": {"responses": {}}}}),
    lambda d: _post(d)["x-roles"].append("bank_maker"),
    lambda d: _post(d)["parameters"].append({**_NEW, "required": False}),
    lambda d: _post(d)["responses"].update({"202": {"description": "later"}}),
    lambda d: _schema(d, "Thing")["properties"].update(note={"type": "string"}),
    lambda d: _schema(d, "Thing")["properties"]["kind"]["enum"].append("c"),
    lambda d: _schema(d, "Thing")["required"].clear(),
    lambda d: _schema(d, "Made")["properties"].update(note={"type": "string"}),
    lambda d: _schema(d, "Made")["required"].append("state"),
]


@pytest.mark.parametrize("change", _HARMLESS)
def test_what_only_adds_breaks_nobody(change: Change) -> None:
    new = _document()
    change(new)
    assert api_breaks(old=_document(), new=new) == []


def test_a_breaking_change_is_not_written_unless_nothing_was_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in (("OPENAPI", OPENAPI), ("SCHEMAS", contracts.SCHEMAS)):
        copy = tmp_path / name
        copy.mkdir()
        for each in path.glob("*.json"):
            (copy / each.name).write_text(each.read_text(encoding="utf-8"), encoding="utf-8")
        monkeypatch.setattr(contracts, name, copy)
    monkeypatch.setattr(contracts, "ASYNCAPI", tmp_path / "asyncapi.json")
    released = tmp_path / "OPENAPI" / "risk.json"
    document = json.loads(released.read_text(encoding="utf-8"))
    document["paths"]["/risk/v1/scores"] = {"get": {"x-roles": [], "responses": {}}}
    released.write_text(text(document), encoding="utf-8")
    assert contracts.main([]) == 1
    assert "risk GET /risk/v1/scores: removed" in capsys.readouterr().err
    assert json.loads(released.read_text(encoding="utf-8")) == document
    assert contracts.main(["--unreleased"]) == 0
    assert "/risk/v1/scores" not in released.read_text(encoding="utf-8")
    assert contracts.main([]) == 0


def test_writing_is_repeatable_in_another_process(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from tributary.contracts import text; from tributary.openapi import documents; "
        "[pathlib.Path(sys.argv[1], f'{n}.json').write_text(text(d), encoding='utf-8') for n, d in documents().items()]"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    for path in OPENAPI.glob("*.json"):
        assert (tmp_path / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), _REMEDY
