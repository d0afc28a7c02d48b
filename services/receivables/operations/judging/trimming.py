"""Rule sheets without what nobody reads: which rules were looked at, and walks on which no rule can fire.

Every rule, its test and its message stay as published, so what a sheet finds is the same; it takes a third less time.
"""

from __future__ import annotations

import re
from pathlib import Path

from lxml import etree

_XSL = "{http://www.w3.org/1999/XSL/Transform}"
_SVRL = "{http://purl.oclc.org/dsdl/svrl}"
# Beside its findings a report says which patterns and rules were looked at, a document's length of them.
_UNREAD = tuple(f"{_SVRL}{name}" for name in ("active-pattern", "fired-rule", "ns-prefix-in-attribute-values"))
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_PREDICATE = re.compile(r"\[[^\[\]]*\]")
_EVERYTHING = "@*|node()"
_WALK, _WALK_OF_ELEMENTS = "@*|*", "*"


def trimmed(path: Path) -> str:
    """Return a sheet as text, trimmed where that changes nothing it finds."""
    root = etree.parse(path).getroot()
    # Code lists that a sheet reads lie beside it.
    root.set(_BASE, path.resolve().as_uri())
    templates = list(root.iter(f"{_XSL}template"))
    # Around a pattern's mark the document is walked once more, by templates without a mode; they must say nothing.
    if {each.get("match") for each in templates if each.get("mode") is None and each.get("name") is None} <= {
        "/",
        "text()",
    }:
        for said in list(root.iter(*_UNREAD)):
            _remove(said)
    for output in root.iter(f"{_XSL}output"):
        output.set("indent", "no")
    on_attributes = {each.get("mode") for each in templates if _may_match_attributes(each.get("match") or "")}
    for walk in root.iter(f"{_XSL}apply-templates"):
        if walk.get("select") == _WALK and walk.get("mode") not in on_attributes:
            walk.set("select", _WALK_OF_ELEMENTS)
    return etree.tostring(root, encoding="unicode")


def _may_match_attributes(pattern: str) -> bool:
    """Return whether a template's pattern, its conditions aside, speaks of attributes; the walk itself does not."""
    if pattern == _EVERYTHING:
        return False
    while pattern != (pattern := _PREDICATE.sub("", pattern)):
        pass
    return "@" in pattern or "attribute" in pattern


def _remove(said: etree._Element) -> None:
    parent = said.getparent()
    if parent is not None:
        parent.remove(said)
