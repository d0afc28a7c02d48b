"""What a run shows: the steps, the bank's income and exposure, the lines, the invariants; or one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tributary.demo.stage import Change, Step, minor, money
from tributary.demo.story.world import Taken

if TYPE_CHECKING:
    from rich.console import Console

_FACTS = ("file", "outcome", "code", "message")


@dataclass
class Result:
    """All that a run found."""

    title: str
    steps: Sequence[Step]
    intake: Sequence[Taken]
    lines: Sequence[Mapping[str, Any]] = ()
    income: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exposure: Sequence[Mapping[str, Any]] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    invariants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    processes: int = 1
    total_ms: int = 0

    @property
    def failures(self) -> list[str]:
        """Return what is not as it should be, a sentence each."""
        found = [f"step {step.name!r} failed: {step.error}" for step in self.steps if not step.ok]
        broken = {name: each["violations"] for name, each in self.invariants.items() if each["violations"]}
        found += [f"invariant {name} is violated {count} times" for name, count in broken.items()]
        if self.events.get("parked"):
            found.append(f"{self.events['parked']} events are parked")
        return found


def as_json(result: Result) -> dict[str, Any]:
    """Return the document of `--json`."""
    counts = {"accepted": "accepted", "refused": "refused", "duplicates": "duplicate"}
    return {
        "processes": result.processes,
        "steps": [{"name": step.name, "ok": step.ok, "ms": step.ms, **_more(step)} for step in result.steps],
        "intake": {
            **{key: sum(each.outcome == outcome for each in result.intake) for key, outcome in counts.items()},
            "files": [{name: getattr(each, name) for name in _FACTS} for each in result.intake],
        },
        "lines": [_line(line) for line in result.lines],
        "events": dict(result.events),
        "invariants": {name: each["violations"] for name, each in result.invariants.items()},
        "income": dict(result.income),
        "total_ms": result.total_ms,
    }


def _more(step: Step) -> dict[str, Any]:
    return {
        "what": step.text,
        "facts": step.facts,
        "error": step.error,
        "changes": [asdict(change) for change in step.changes],
        "hops": [str(hop) for hop in step.hops],
        "hops_ms": step.hops_ms,
    }


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {f"{name}_minor": minor(line[name]) for name in ("cap", "available", "held", "utilised")}
    facts = {"enterprise": line["enterprise_name"], "tier": line["tier"], "direction": line["direction"]}
    return {**facts, "currency": line["currency"], **amounts}


def show(result: Result, console: Console) -> None:
    """Print the run as tables."""
    show_steps(result, console)
    _show_intake(result.intake, console)
    _show_bank(result, console)
    _show_lines(result.lines, console)
    _show_end(result, console)


def show_steps(result: Result, console: Console) -> None:
    """Print the table of steps."""
    from rich.table import Table

    table = Table(title=f"The story on {result.title}", show_lines=True, expand=True)
    table.add_column("", width=2)
    table.add_column("step", ratio=3)
    table.add_column("what happened", ratio=6)
    table.add_column("available before → after", ratio=4)
    table.add_column("events", ratio=4)
    table.add_column("ms", justify="right", width=6)
    for step in result.steps:
        changes = "\n".join(_change(change, result.names) for change in step.changes)
        hops = " → ".join(map(str, step.hops))
        mark = "[green]✓[/]" if step.ok else "[red]✗[/]"
        table.add_row(
            mark, step.name, _escape("\n".join([*step.said, *_lacks(step), step.error])), changes, hops, str(step.ms)
        )
    console.print(table)


def _lacks(step: Step) -> list[str]:
    return [f"made up, because the folder lacks {text}" for text in step.lacked]


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text.strip())


def _change(change: Change, names: Mapping[str, str]) -> str:
    name = _escape(names.get(change.node_id, change.node_id.split("/", 1)[0]))
    before = money(change.before["available"]) if change.before else "–"
    after = money(change.after["available"])
    held = f", held {money(change.after['held'])}" if minor(change.after["held"]) else ""
    used = f", used {money(change.after['utilised'])}" if minor(change.after["utilised"]) else ""
    short = f", short {money(change.after['shortfall'])}" if minor(change.after["shortfall"]) else ""
    return f"{change.level} {name}: {before} → {after}{held}{used}{short}"


def _show_intake(intake: Sequence[Taken], console: Console) -> None:
    from rich.table import Table

    table = Table(title="Intake", expand=True)
    for name in _FACTS:
        table.add_column(name, overflow="fold")
    for each in intake:
        table.add_row(*(_escape(getattr(each, name)) for name in _FACTS))
    console.print(table)


def _show_bank(result: Result, console: Console) -> None:
    from rich.table import Table

    table = Table(title="The bank: income", expand=True)
    kinds = sorted({kind for each in result.income.values() for kind in each})
    for name in ("currency", *kinds):
        table.add_column(name, justify="left" if name == "currency" else "right")
    for currency, each in result.income.items():
        table.add_row(currency, *(_plain(each.get(kind)) for kind in kinds))
    console.print(table)
    table = Table(title="The bank: exposure", expand=True)
    columns = ("sanctioned", "held", "utilised", "available", "shortfall")
    for name in ("limit", *columns):
        table.add_column(name, justify="left" if name == "limit" else "right")
    for node in result.exposure:
        name = f"{node['node_id'].split('/', 1)[0]} {result.names.get(node['node_id'], '')}"
        table.add_row(_escape(name), *(money(node[column]) for column in columns))
    console.print(table)


def _plain(amount: Any) -> str:
    if isinstance(amount, Mapping):
        return money(amount)
    return "" if amount is None else str(amount)


def _show_lines(lines: Sequence[Mapping[str, Any]], console: Console) -> None:
    from rich.table import Table

    table = Table(title="Lines", expand=True)
    columns = ("cap", "available", "held", "utilised")
    for name in ("enterprise", "direction", "tier", *columns):
        table.add_column(name, justify="right" if name in columns else "left")
    for line in lines:
        facts = (line["enterprise_name"], line["direction"], str(line["tier"]))
        table.add_row(*map(_escape, facts), *(money(line[name]) for name in columns))
    console.print(table)


def _show_end(result: Result, console: Console) -> None:
    from rich.table import Table

    if result.invariants:
        table = Table(title="Invariants", expand=True)
        for name in ("invariant", "violations", "checked", "in flight"):
            table.add_column(name, justify="left" if name == "invariant" else "right")
        for name, each in result.invariants.items():
            flight = each.get("in_flight") or {}
            table.add_row(name, str(each["violations"]), str(each.get("checked", "")), str(flight.get("count", 0)))
        console.print(table)
    if result.events:
        console.print("events: " + ", ".join(f"{name} {count}" for name, count in result.events.items()))
    done = sum(step.ok for step in result.steps)
    console.print(f"{done} of {len(result.steps)} steps as expected, in {result.total_ms / 1000:.1f} s.")
