"""A tolerant reader of PromQL: enough to know which metrics and labels a query asks for, and to notice nonsense."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s+
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<duration>\[\s*\d+[smhd](?::\d*[smhd]?)?\s*\])
    | (?P<time>\d+[smhdwy]\b)
    | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
    | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<operator>=~|!~|==|!=|>=|<=|[-+*/%^><=,])
    | (?P<bracket>[(){}])
    """,
    re.VERBOSE,
)
_AGGREGATIONS = {"sum", "max", "min", "avg", "count", "topk", "bottomk", "group", "quantile"}
_FUNCTIONS = {
    *("rate", "increase", "irate", "deriv", "delta", "histogram_quantile", "absent", "time", "vector", "clamp_min"),
    *("label_replace", "max_over_time", "avg_over_time", "changes"),
}
_GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset"}
_CLOSING = {"(": ")", "{": "}"}


@dataclass
class Asked:
    """What a query asks for: metrics with the labels that select them, and labels that it groups by."""

    metrics: dict[str, set[str]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    is_aggregated: bool = False


def asked(expression: str) -> Asked:
    """Return what a query asks for; ValueError when it is none."""
    tokens = _tokens(expression)
    found, opened, latest = Asked(), [""], ""
    for nth, (kind, text) in enumerate(tokens):
        following = tokens[nth + 1][1] if nth + 1 < len(tokens) else ""
        if text in _CLOSING:
            before = tokens[nth - 1][1] if nth else ""
            opened.append("labels" + _CLOSING[text] if before in _GROUPINGS else _CLOSING[text])
        elif text in _CLOSING.values():
            if not opened.pop().endswith(text):
                message = f"unbalanced {text} in {expression}"
                raise ValueError(message)
        elif kind == "name":
            latest = _name(found, text, following, within=opened[-1], latest=latest)
    if opened != [""]:
        message = f"unbalanced brackets in {expression}"
        raise ValueError(message)
    return found


def _name(found: Asked, text: str, following: str, *, within: str, latest: str) -> str:
    """Take up a name; return the metric whose selector may follow."""
    if within.startswith("labels"):
        found.grouped.add(text)
    elif within == "}":
        found.metrics[latest].add(text)
    elif text in _AGGREGATIONS and following in {"(", "by", "without"}:
        found.is_aggregated = True
    elif following == "(" and text not in _FUNCTIONS | _GROUPINGS | _WORDS:
        message = f"no function is called {text}"
        raise ValueError(message)
    elif text not in _FUNCTIONS | _GROUPINGS | _WORDS:
        found.metrics.setdefault(text, set())
        return text
    return latest


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            message = f"unexpected {expression[at : at + 10]!r} in {expression}"
            raise ValueError(message)
        if match.lastgroup:
            found.append((match.lastgroup, match.group()))
        at = match.end()
    return found
