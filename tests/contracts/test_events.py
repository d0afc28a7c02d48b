"""The event contracts: committed, current, and never broken within a version."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.events.envelope import Sent, read_record
from shared.events.risk import RatingRecorded
from shared.events.topics import TOPICS
from shared.values.money import Amount
from tributary.contracts import ASYNCAPI, SCHEMAS, asyncapi, breaks, event_types, incompatible, schema_of, text

_REMEDY = "run `python -m tributary.contracts` and commit what it writes"


def test_no_event_breaks_its_committed_schema() -> None:
    assert incompatible() == []


def test_the_committed_schemas_are_those_of_the_models() -> None:
    committed = {path.stem: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*.json")}
    assert committed == {name: text(schema_of(event)) for name, event in event_types().items()}, _REMEDY


def test_the_asyncapi_document_is_current() -> None:
    assert ASYNCAPI.read_text(encoding="utf-8") == text(asyncapi()), _REMEDY


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [each for value in part.values() for each in references(value)]
        return [each for value in part for each in references(value)] if isinstance(part, list) else []

    for reference in references(document):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in target, reference
            target = target[step]


def test_every_event_has_a_topic_that_its_publisher_owns_and_a_versioned_name_in_the_past_tense() -> None:
    for name, event in event_types().items():
        assert set(event.topics()) <= set(TOPICS)
        noun = event.topic.split(".")[2]
        publisher = event.topic.split(".")[1]
        # What every service says, each on its own topic, is one file; what one says of an aggregate may be another.
        files = {noun, f"{noun}s"} if publisher == "*" else {publisher, noun, f"{noun}s"}
        assert event.__module__.removeprefix("shared.events.") in files
        assert name.startswith(f"{noun}.")
        assert name.endswith(event.topic.rpartition(".")[2])
        assert (event.__doc__ or "").startswith("Trigger: "), f"{name} does not say its trigger"
        assert "Consumers: " in (event.__doc__ or ""), f"{name} does not say who consumes it"


_OLD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["a", "b"], "type": "string"},
        "price": {"$ref": "#/$defs/Amount"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Amount"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    },
    "required": ["name", "kind", "price"],
    "$defs": {"Amount": {"type": "object", "properties": {"amount": {"type": "string"}}, "required": ["amount"]}},
}


def _changed(**changes: Any) -> dict[str, Any]:
    new: dict[str, Any] = json.loads(json.dumps(_OLD))
    for path, value in changes.items():
        *steps, last = path.split("__")
        target = new
        for step in steps:
            target = target[step]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return new


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"properties__name": None}, "/name: removed"),
        ({"required": ["name", "kind", "price", "note"]}, "/note: required"),
        ({"properties__new": {"type": "string"}, "required": ["name", "kind", "price", "new"]}, "/new: required"),
        ({"properties__name": {"type": "integer"}}, "/name: type"),
        ({"properties__kind": {"enum": ["a"], "type": "string"}}, "/kind: enum"),
        ({"properties__price": {"type": "string"}}, "/price: type"),
        ({"$defs__Amount__properties": {}}, "/price/amount: removed"),
        ({"properties__parts": {"type": "array", "items": {"type": "string"}}}, "/parts/[]: type"),
        ({"properties__note": {"anyOf": [{"type": "string"}]}}, "/note: anyOf"),
        ({"properties__note": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}, "/note/anyOf: type"),
    ],
)
def test_a_change_that_breaks_readers_is_found(changes: dict[str, Any], where: str) -> None:
    assert any(each.startswith(where) for each in breaks(old=_OLD, new=_changed(**changes)))


def test_an_optional_field_more_breaks_nobody() -> None:
    assert breaks(old=_OLD, new=_OLD) == []
    assert breaks(old=_OLD, new=_changed(properties__more={"type": "string", "default": ""})) == []


def _rating() -> RatingRecorded:
    return RatingRecorded(
        enterprise_id="01a20f4a-a1e1-723b-a766-66d2f9d8b035",
        grade="A",
        cap=Amount(amount="1000.00", currency="CNY"),
        multiplier="1.000000",
        risk_spread="0.010000",
        reasons=["评分"],
        valid_until=date(2027, 11, 24),
        policy_version="2026-01",
    )


def test_the_cloudevents_sdk_reads_what_the_relay_sends() -> None:
    event = _rating()
    sent = Sent(
        id="01a20f4a-a1e2-71ed-9238-bd20d185b82b",
        type=event.type,
        source="risk",
        subject=event.subject,
        sequence=7,
        time=datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC),
        traceparent="00-9d10ef49779dfbc29c7fc7fe0be45535-09297192883efb28-01",
    )
    body = event.model_dump_json().encode()
    message = KafkaMessage(headers=dict(sent.headers()), key=event.subject.encode(), value=body)
    read = from_binary(message, JSONFormat(), CloudEvent)
    assert (read.get_id(), read.get_type(), read.get_source()) == (sent.id, sent.type, "risk")
    assert (read.get_subject(), read.get_time(), read.get_specversion()) == (event.subject, sent.time, "1.0")
    assert read.get_extension("sequence") == "7"
    assert read.get_data() == json.loads(body)
    received = read_record(topic=event.topic, headers=sent.headers(), body=body)
    assert (received.event, received.sequence, received.time) == (event, 7, sent.time)
