"""The HTTP contracts: each service's OpenAPI document, and what of a new one would break who uses the old one.

What a client sends must stay accepted, what it reads must stay there: a field more is nothing to a reader, and a field
that must be sent is everything to a writer. Whoever could call an operation still can.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from shared.runtime.settings import Settings
from tributary.services import builds

OPENAPI = Path(__file__).resolve().parents[1] / "docs" / "openapi"
_METHODS = ("get", "put", "post", "patch", "delete")
_SHAPE = ("type", "format", "const", "pattern", "minLength", "maxLength", "minimum", "maximum", "additionalProperties")

Document = Mapping[str, Any]
Direction = Literal["sent", "read"]


def documents() -> dict[str, Document]:
    """Return every service's document, from its app as it is built; no server is needed."""
    found: dict[str, Document] = {}
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.model_construct(server_url="postgresql://none", bootstrap_servers="none:1", home=Path(home))
        for name, build in builds().items():
            found[name] = build(settings).fastapi.openapi()
    return found


def api_breaks(*, old: Document, new: Document) -> list[str]:
    """Return what of the new document would break a client of the old one."""
    return list(_breaks(old, new))


def _breaks(old: Document, new: Document) -> Iterator[str]:
    for path, methods in old["paths"].items():
        for method in _METHODS:
            if method not in methods:
                continue
            at = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{at}: removed"
            else:
                for each in _operation_breaks(methods[method], now, roots=(old, new)):
                    yield f"{at} {each}"


def _operation_breaks(old: Document, new: Document, *, roots: tuple[Document, Document]) -> Iterator[str]:
    before, now = set(old.get("x-roles", [])), set(new.get("x-roles", []))
    # No role at all is everybody.
    if now and (not before or before - now):
        yield f"roles: {', '.join(sorted(before - now)) or 'everybody'} could call it, and no longer can"
    yield from _parameter_breaks(old, new, roots=roots)
    yield from _body_breaks(old, new, roots=roots)
    for status, answer in old["responses"].items():
        if status not in new["responses"]:
            yield f"answer {status}: removed"
            continue
        answers = new["responses"][status].get("content", {})
        for media, content in answer.get("content", {}).items():
            if media not in answers:
                yield f"answer {status}: {media} removed"
                continue
            pair = (content.get("schema", {}), answers[media].get("schema", {}))
            yield from _schema_breaks(*pair, roots=roots, where=f"answer {status}", direction="read")


def _parameter_breaks(old: Document, new: Document, *, roots: tuple[Document, Document]) -> Iterator[str]:
    before = {(each["in"], each["name"]): each for each in old.get("parameters", [])}
    now = {(each["in"], each["name"]): each for each in new.get("parameters", [])}
    for key in before.keys() - now.keys():
        yield f"{' '.join(key)}: removed"
    for key, parameter in now.items():
        where = " ".join(key)
        if parameter.get("required") and not before.get(key, {}).get("required"):
            yield f"{where}: required, and was not"
        if key in before:
            pair = (before[key].get("schema", {}), parameter.get("schema", {}))
            yield from _schema_breaks(*pair, roots=roots, where=where, direction="sent")


def _body_breaks(old: Document, new: Document, *, roots: tuple[Document, Document]) -> Iterator[str]:
    before, now = old.get("requestBody", {}), new.get("requestBody", {})
    if now.get("required") and not before.get("required"):
        yield "body: required, and was not"
    for media, content in before.get("content", {}).items():
        accepted = now.get("content", {}).get(media)
        if accepted is None:
            yield f"body: {media} is no longer accepted"
            continue
        pair = (content.get("schema", {}), accepted.get("schema", {}))
        yield from _schema_breaks(*pair, roots=roots, where="body", direction="sent")


def _schema_breaks(
    old: Document, new: Document, *, roots: tuple[Document, Document], where: str, direction: Direction
) -> Iterator[str]:
    old, new = _resolve(old, roots[0]), _resolve(new, roots[1])
    for key in _SHAPE:
        if old.get(key) != new.get(key):
            yield f"{where}: {key} was {old.get(key)!r}, is {new.get(key)!r}"
    yield from _enum_breaks(old, new, where=where, direction=direction)
    yield from _field_breaks(old, new, where=where, direction=direction)
    before, now = old.get("properties", {}), new.get("properties", {})
    parts = [(before[name], now[name], f"{where}/{name}") for name in sorted(before.keys() & now.keys())]
    if "items" in old and "items" in new:
        parts.append((old["items"], new["items"], f"{where}/[]"))
    for key in ("anyOf", "oneOf", "allOf"):
        these, those = old.get(key, []), new.get(key, [])
        if len(these) != len(those):
            yield f"{where}: {key} had {len(these)} choices, has {len(those)}"
        parts += [(this, that, f"{where}/{key}") for this, that in zip(these, those, strict=False)]
    for this, that, place in parts:
        yield from _schema_breaks(this, that, roots=roots, where=place, direction=direction)


def _field_breaks(old: Document, new: Document, *, where: str, direction: Direction) -> Iterator[str]:
    now, required = new.get("properties", {}), (set(old.get("required", [])), set(new.get("required", [])))
    for name in sorted(old.get("properties", {}).keys() - now.keys()):
        yield f"{where}/{name}: removed"
    if direction == "sent":
        for name in sorted(required[1] - required[0]):
            yield f"{where}/{name}: required, and was not"
    else:
        for name in sorted((required[0] - required[1]) & now.keys()):
            yield f"{where}/{name}: was always there, and may be missing"


def _enum_breaks(old: Document, new: Document, *, where: str, direction: Direction) -> Iterator[str]:
    before, now = old.get("enum"), new.get("enum")
    if direction == "sent" and now is not None:
        gone = sorted(map(str, set(before or ["anything else"]) - set(now)))
        if gone:
            yield f"{where}: {', '.join(gone)} is no longer accepted"
    if direction == "read" and before is not None:
        more = sorted(map(str, set(now or ["anything else"]) - set(before)))
        if more:
            yield f"{where}: may be {', '.join(more)} now"


def _resolve(schema: Document, root: Document) -> Document:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Document = root["components"]["schemas"][reference.rpartition("/")[2]]
    return found
