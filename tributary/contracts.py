"""The contracts as documents: a JSON schema an event, one AsyncAPI 3 document, an OpenAPI document a service.

`python -m tributary.contracts` writes them.

A version of an event only ever grows by optional fields. What would break a reader of an older or newer release is
refused here and by the contract tests; it needs a new type, `….v2`.
"""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

import shared.events
from shared.events.envelope import EVENT_TYPES, Event
from shared.events.topics import TOPICS
from tributary.openapi import OPENAPI, api_breaks, documents

_ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = _ROOT / "shared" / "events" / "schemas"
ASYNCAPI = _ROOT / "docs" / "asyncapi.json"
_SHAPE = ("type", "format", "const", "enum", "pattern", "maxLength", "additionalProperties")
_REFUSED = "These break who relies on them: make a new version of the event, or a new path beside the old one."
_COMPONENT = "#/components/schemas/{model}"

Schema = Mapping[str, Any]


def event_types() -> dict[str, type[Event]]:
    """Return every event of `shared/events` by its type, sorted."""
    for module in pkgutil.iter_modules(shared.events.__path__):
        import_module(f"shared.events.{module.name}")
    return {name: EVENT_TYPES[name] for name in sorted(EVENT_TYPES) if _is_ours(EVENT_TYPES[name])}


def _is_ours(event: type[Event]) -> bool:
    return event.__module__.startswith("shared.events.")


def schema_of(event: type[Event]) -> dict[str, Any]:
    """Return the schema of an event's body, with where it is published."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"tributary:{event.topic}:{event.type}",
        **event.model_json_schema(),
    }


def breaks(*, old: Schema, new: Schema) -> list[str]:
    """Return what of the new schema would break who reads or wrote by the old one."""
    return list(_breaks(old, new, old_root=old, new_root=new, where=""))


def _breaks(old: Schema, new: Schema, *, old_root: Schema, new_root: Schema, where: str) -> Iterator[str]:
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    at = where or "the event"
    for key in _SHAPE:
        if old.get(key) != new.get(key):
            yield f"{at}: {key} was {old.get(key)!r}, is {new.get(key)!r}"
    before, now = old.get("properties", {}), new.get("properties", {})
    for name in before.keys() - now.keys():
        yield f"{where}/{name}: removed"
    for name in set(new.get("required", [])) - set(old.get("required", [])):
        yield f"{where}/{name}: required, and was not"
    for name in sorted(before.keys() & now.keys()):
        yield from _breaks(before[name], now[name], old_root=old_root, new_root=new_root, where=f"{where}/{name}")
    if "items" in old and "items" in new:
        items = f"{where}/[]"
        yield from _breaks(old["items"], new["items"], old_root=old_root, new_root=new_root, where=items)
    for key in ("anyOf", "oneOf"):
        these, those = old.get(key, []), new.get(key, [])
        if len(these) != len(those):
            yield f"{at}: {key} had {len(these)} choices, has {len(those)}"
        for this, that in zip(these, those, strict=False):
            yield from _breaks(this, that, old_root=old_root, new_root=new_root, where=f"{where}/{key}")


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = root["$defs"][reference.rpartition("/")[2]]
    return found


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document: a channel a topic, a message an event, who sends it."""
    events = event_types()
    by_topic: dict[str, list[type[Event]]] = {topic: [] for topic in TOPICS}
    for event in events.values():
        for topic in event.topics():
            by_topic[topic].append(event)
    references, definitions = models_json_schema(
        [(event, "validation") for event in events.values()], ref_template=_COMPONENT
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tributary's events",
            "version": "1",
            "description": (
                "CloudEvents 1.0 in Kafka's binary mode. The record key is the subject; per subject ce_sequence "
                "counts 1, 2, 3 …; a record may come twice, with the same ce_id. Within a version only optional "
                "fields are added: ignore what you do not know."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, published) for topic, published in by_topic.items() if published},
        "operations": {
            f"{topic.split('.')[1]}-sends-{topic.split('.')[2]}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic}"},
            }
            for topic, published in by_topic.items()
            if published
        },
        "components": {
            "messages": {
                name: {
                    "name": name,
                    "title": event.__name__,
                    "summary": (event.__doc__ or "").strip(),
                    "headers": {"$ref": _COMPONENT.format(model="CloudEventHeaders")},
                    "payload": references[event, "validation"],
                }
                for name, event in events.items()
            },
            "schemas": {"CloudEventHeaders": _headers(), **definitions["$defs"]},
        },
    }


def _channel(topic: str, events: list[type[Event]]) -> dict[str, Any]:
    return {
        "address": topic,
        "messages": {event.type: {"$ref": f"#/components/messages/{event.type}"} for event in events},
        "bindings": {"kafka": {"topic": topic, "partitions": TOPICS[topic], "bindingVersion": "0.5.0"}},
    }


def _headers() -> dict[str, Any]:
    always = ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_sequence", "content-type"]
    properties = {name: {"type": "string"} for name in [*always, "traceparent"]}
    return {"type": "object", "required": always, "properties": properties}


def text(document: Mapping[str, Any]) -> str:
    """Return a document as it is committed."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def incompatible_apis() -> list[str]:
    """Return every break between the committed OpenAPI documents and the services, removed services included."""
    made, found = documents(), []
    for path in sorted(OPENAPI.glob("*.json")):
        if path.stem not in made:
            found.append(f"{path.stem}: the service is gone")
            continue
        old = json.loads(path.read_text(encoding="utf-8"))
        found += [f"{path.stem} {each}" for each in api_breaks(old=old, new=made[path.stem])]
    return found


def incompatible() -> list[str]:
    """Return every break between the committed schemas and the models, removed events included."""
    events, found = event_types(), []
    for path in sorted(SCHEMAS.glob("*.json")):
        if path.stem not in events:
            found.append(f"{path.stem}: the event is gone")
            continue
        old = json.loads(path.read_text(encoding="utf-8"))
        found += [f"{path.stem}{each}" for each in breaks(old=old, new=schema_of(events[path.stem]))]
    return found


def main(arguments: list[str]) -> int:
    """Write every document; refuse what breaks, unless told that nothing was ever released."""
    found = [*incompatible(), *incompatible_apis()]
    if found and "--unreleased" not in arguments:
        sys.stderr.write("\n".join([*found, _REFUSED, ""]))
        return 1
    events = event_types()
    SCHEMAS.mkdir(exist_ok=True)
    for path in SCHEMAS.glob("*.json"):
        path.unlink()
    for name, event in events.items():
        (SCHEMAS / f"{name}.json").write_text(text(schema_of(event)), encoding="utf-8")
    ASYNCAPI.write_text(text(asyncapi()), encoding="utf-8")
    OPENAPI.mkdir(exist_ok=True)
    for name, document in documents().items():
        (OPENAPI / f"{name}.json").write_text(text(document), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
