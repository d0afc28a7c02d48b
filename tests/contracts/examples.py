"""One event of each type, made from its own schema, on topics that no other test uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from shared.events.envelope import Event
from shared.events.topics import TOPICS
from tributary.contracts import event_types, schema_of

_TEXTS = {"date": "2026-11-24", "date-time": "2026-11-24T12:00:00.123456Z"}
_PLAIN = {"string": "例 7", "integer": 7, "boolean": True}


def example_of(event: type[Event]) -> dict[str, Any]:
    """Return a body with every field of an event, optional ones too."""
    schema = schema_of(event)
    made: dict[str, Any] = _example(schema, root=schema)
    return made


def _example(schema: Mapping[str, Any], *, root: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _example(root["$defs"][schema["$ref"].rpartition("/")[2]], root=root)
    for key in ("examples", "enum"):
        if key in schema:
            return schema[key][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], root=root)
    if schema["type"] == "object":
        return {name: _example(each, root=root) for name, each in schema.get("properties", {}).items()}
    if schema["type"] == "array":
        return [_example(schema["items"], root=root)]
    return _PLAIN[schema["type"]] if "format" not in schema else _TEXTS[schema["format"]]


@contextmanager
def one_of_each(service: str) -> Iterator[list[Event]]:
    """Return an event of each type as this service would publish it, on topics of its own while the block runs."""
    made: list[Event] = []
    for name, event in event_types().items():
        topic = f"scf.{service}.{name.split('.')[0]}.v1"
        # Its type is inherited, so that the registry keeps the real event.
        body = {"topic": topic, "channel": property(lambda self: self.topic), "__module__": __name__}
        elsewhere: type[Event] = type(event.__name__, (event,), body)
        TOPICS[topic] = 3
        made.append(elsewhere.model_validate(example_of(event)))
    try:
        yield made
    finally:
        for each in made:
            TOPICS.pop(each.topic, None)
