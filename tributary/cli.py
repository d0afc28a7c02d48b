"""The `tributary` command. Exit status: 0 all is well, 1 something is not as it should be, 2 wrong use.

What a command needs is imported when it runs: `tributary --help` should not wait for a database driver.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

if TYPE_CHECKING:
    from shared.runtime.settings import Settings

_PLAIN = {"no_args_is_help": True, "add_completion": False, "pretty_exceptions_enable": False}
app = typer.Typer(name="tributary", help="Supply-chain finance for banks, self-hosted.", **_PLAIN)  # type: ignore[arg-type] # one dictionary for three apps
events_app = typer.Typer(help="Watch, look at and send again what the services published.", **_PLAIN)  # type: ignore[arg-type] # see above
kafka_app = typer.Typer(help="The embedded broker alone; what a bank's own must allow.", **_PLAIN)  # type: ignore[arg-type] # see above
app.add_typer(events_app, name="events")
app.add_typer(kafka_app, name="kafka")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")]
_Processes = Annotated[bool, typer.Option("--processes", help="Each API and each worker in a process of its own.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def up(
    *,
    with_demo: Annotated[bool, typer.Option("--with-demo", help="First drive the story on a new data folder.")] = False,
    processes: _Processes = False,
) -> None:
    """Start PostgreSQL, Kafka and all six services, and serve until Ctrl-C."""
    from tributary.up import up as run

    story = _part("demo", "tell") if with_demo else None
    raise typer.Exit(run(_settings(), story=story, processes=processes))


@app.command()
def serve(service: str) -> None:
    """Serve one service's HTTP API on TRIBUTARY_PORT."""
    _run_one("serve", service)


@app.command()
def work(service: str) -> None:
    """Run one service's relay, consumers and timers; its health is on TRIBUTARY_PORT."""
    _run_one("work", service)


@app.command()
def migrate() -> None:
    """Create what is missing on the servers: databases, their newest tables, topics, the first administrator."""
    from tributary import one
    from tributary.addresses import connected
    from tributary.up import run_until_signal

    raise typer.Exit(run_until_signal(one.migrate(connected(_settings()))))


@app.command()
def demo(
    *,
    json_output: _Json = False,
    invoices: Annotated[Path | None, typer.Option(help="A folder of e-invoices instead of the made sample.")] = None,
    processes: _Processes = False,
) -> None:
    """Drive the whole story through the public HTTP APIs, and say how it went."""
    if invoices is not None and not invoices.is_dir():
        _wrong_use(f"{invoices} is not a folder.")
    raise typer.Exit(_part("demo", "run")(json_output=json_output, invoices=invoices, processes=processes))


@app.command()
def verify(*, json_output: _Json = False) -> None:
    """Check the invariants of the whole platform, figure by figure."""
    raise typer.Exit(_part("verify", "run")(json_output=json_output))


@app.command()
def bench(
    figure: Annotated[
        str, typer.Argument(help="Which figure: holds, depth, events, journey, propagation, netting or intake.")
    ],
    *,
    json_output: _Json = False,
) -> None:
    """Measure a figure beside its baseline."""
    raise typer.Exit(_part("bench", "run")(figure=figure, json_output=json_output))


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders.")], *, json_output: _Json = False
) -> None:
    """Judge e-documents as intake would, without storing anything."""
    from tributary.check import NoSuchPath, report
    from tributary.check import check as judge

    try:
        judged = judge(paths)
    except NoSuchPath as error:
        _wrong_use(str(error))
    if json_output:
        write_json(report(judged))
    else:
        for each in judged:
            why = f"{each.code}: {each.message}" if each.code else ", ".join(each.reasons)
            sys.stdout.write(f"{each.outcome:<8} xsd {each.xsd:<11} {each.file}  {why}\n")
    outcomes = Counter(each.outcome for each in judged)
    if outcomes["refused"]:
        sys.stderr.write(f"{outcomes['refused']} of {len(judged)} documents would be refused.\n")
        raise typer.Exit(1)


@events_app.command("tail")
def events_tail(
    *,
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be given again.")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="From the topics' start, not from now on.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
) -> None:
    """Print one line an event as it comes."""
    from tributary.addresses import connected
    from tributary.events import tail
    from tributary.up import run_until_signal

    settings = connected(_settings())
    raise typer.Exit(run_until_signal(tail(settings, topics=topic or [], from_start=from_start, count=count)))


@events_app.command("show")
def events_show(event_id: str) -> None:
    """Print one event: where it is, its headers, its body."""
    from tributary.addresses import connected
    from tributary.events import show

    write_json(asyncio.run(show(connected(_settings()), event_id=event_id)))


@events_app.command("parked")
def events_parked(
    service: Annotated[str | None, typer.Argument(help="Only this service.")] = None, *, json_output: _Json = False
) -> None:
    """List the events that wait in the inboxes; two persons decide on them over HTTP or they come by themselves."""
    from tributary.addresses import connected
    from tributary.parked import lines, parked
    from tributary.services import SERVICES

    if service is not None and service not in SERVICES:
        _wrong_use(f"{service} is none of the services: {', '.join(SERVICES)}.")
    chosen = SERVICES if service is None else (service,)
    found = asyncio.run(parked(connected(_settings()), services=chosen))
    if json_output:
        write_json({"parked": found})
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(found)))


@events_app.command("republish")
def events_republish(
    service: str,
    *,
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic of the service; may be given again.")] = None,
    yes: _Yes = False,
) -> None:
    """Send a service's topics again from its outbox, for a topic that was lost; consumers skip what they have."""
    from tributary.addresses import connected
    from tributary.events import republish
    from tributary.services import SERVICES

    if service not in SERVICES:
        _wrong_use(f"{service} is none of the services: {', '.join(SERVICES)}.")
    settings = connected(_settings())
    what = ", ".join(topic) if topic else f"every topic of {service}"
    if not yes and not typer.confirm(f"Send {what} again from the start?", err=True):
        raise typer.Exit(1)
    done = asyncio.run(republish(settings, service=service, topics=topic or []))
    sys.stderr.write(
        f"{done.rows} events of {', '.join(done.topics)} will be sent again; "
        f"these read them from the start: {', '.join(done.rewound) or 'none'}. Restart whatever is unready.\n"
    )


@events_app.command("adopt")
def events_adopt(service: str, *, yes: _Yes = False, json_output: _Json = False) -> None:
    """Take back into a restored outbox what its topics still hold; before the service's API and worker start."""
    from tributary.addresses import connected
    from tributary.adopt import SequenceTaken, adopt
    from tributary.services import SERVICES

    if service not in SERVICES:
        _wrong_use(f"{service} is none of the services: {', '.join(SERVICES)}.")
    settings = connected(_settings())
    if not yes and not typer.confirm(f"Take back what {service} published and its database lost?", err=True):
        raise typer.Exit(1)
    try:
        adopted = asyncio.run(adopt(settings, service=service))
    except SequenceTaken as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error
    if json_output:
        write_json([asdict(each) for each in adopted])
    else:
        for each in adopted:
            sys.stdout.write(f"{each.type:<38} {each.subject} #{each.sequence}  {each.id}\n")
    sys.stderr.write(
        f"{len(adopted)} events taken back. The tables of {service} do not know what they say: "
        "enter it again, with `tributary events show` and `tributary verify` beside you.\n"
    )


@kafka_app.callback()
def kafka() -> None:
    """Run the broker without the platform, or print what another one must allow."""


@kafka_app.command("up")
def kafka_up(*, nodes: Annotated[int, typer.Option(help="1 or 3.")] = 1) -> None:
    """Start the embedded broker with the platform's topics, and run it until Ctrl-C."""
    from tributary.kafka import kafka_up as run
    from tributary.up import run_until_signal

    if nodes not in {1, 3}:
        _wrong_use("A cluster has 1 or 3 nodes.")
    raise typer.Exit(run_until_signal(run(_settings(), nodes=nodes)))


@kafka_app.command("grants")
def kafka_grants(
    identities: Annotated[list[str] | None, typer.Argument(help="Only these; all of them otherwise.")] = None,
    *,
    json_output: _Json = False,
) -> None:
    """Print what each service, `migrate` and an operator must be allowed on the bank's own broker."""
    from tributary.grants import IDENTITIES, commands, document

    chosen = identities or list(IDENTITIES)
    for each in chosen:
        if each not in IDENTITIES:
            _wrong_use(f"{each} is none of the identities: {', '.join(IDENTITIES)}.")
    if json_output:
        write_json(document(chosen))
    else:
        sys.stdout.write("".join(f"{line}\n" for each in chosen for line in commands(each)))


def _run_one(kind: str, service: str) -> NoReturn:
    from shared.runtime.telemetry import configure_logging
    from tributary import one
    from tributary.addresses import connected
    from tributary.services import SERVICES
    from tributary.up import run_until_signal

    if service not in SERVICES:
        _wrong_use(f"{service} is none of the services: {', '.join(SERVICES)}.")
    configure_logging()
    raise typer.Exit(run_until_signal(getattr(one, kind)(connected(_settings()), service=service)))


def write_json(document: object) -> None:
    """Write one JSON document to stdout, unwrapped and uncoloured."""
    sys.stdout.flush()
    sys.stdout.buffer.write(json.dumps(document, ensure_ascii=False, default=str).encode() + b"\n")
    sys.stdout.buffer.flush()


def _part(command: str, name: str) -> Any:
    """Return a function of a command that is a folder of its own."""
    return getattr(importlib.import_module(f"tributary.{command}.command"), name)


def _settings() -> Settings:
    from shared.runtime.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        _wrong_use(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _wrong_use(message: str) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    raise typer.Exit(2)


def main() -> None:
    """Run the command; an error that has a name is one sentence and status 1, not a traceback."""
    # Why the broker does not let us in is said once, below, not by its client at every attempt.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        sys.stderr.write(f"{sentence}\n")
        raise SystemExit(1) from None


def _sentence(error: Exception) -> str | None:
    """Return what to say of an error that an operator can understand; None for one that is a bug."""
    from aiokafka.errors import KafkaError
    from asyncpg import InterfaceError, PostgresError
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, KafkaError):
        return _told(error)
    if isinstance(error, SQLAlchemyError):
        return f"PostgreSQL does not answer as it should: {str(error).splitlines()[0]}"
    if isinstance(error, (PostgresError, InterfaceError)):
        return f"PostgreSQL does not answer as it should: {error}"
    if isinstance(error, OSError):
        return f"A server or file is not as it should be: {error}"
    return str(error) if hasattr(error, "code") else None


def _told(error: Exception) -> str:
    """Return what hinders us at the broker, where it says so when asked once more; else what its client said."""
    from shared.messaging.kafka import Kafka, explained
    from shared.runtime.jobs import Hindered
    from tributary.addresses import NoPlatform, connected

    async def again() -> None:
        async with explained(Kafka.of(connected(_settings()))):
            raise error

    try:
        asyncio.run(again())
    except (Hindered, NoPlatform) as told:
        return str(told)
    except type(error):
        pass
    return f"Kafka does not answer as it should: {error}"
