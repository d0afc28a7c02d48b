"""The `tributary` command. Exit status: 0 all is well, 1 something is not as it should be, 2 wrong use."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from shared.runtime.settings import Settings

app = typer.Typer(
    name="tributary",
    help="Supply-chain finance for banks, self-hosted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")]


@app.callback()
def tributary() -> None:
    """Do what one of the commands says."""


@app.command()
def up(
    *,
    with_demo: Annotated[bool, typer.Option(help="Drive the demo's story first on a new data folder.")] = False,
) -> None:
    """Start PostgreSQL, Kafka and all six services, and serve until Ctrl-C."""
    from tributary.up import up as run

    raise typer.Exit(run(_settings(), story=_demo("tell") if with_demo else None))


def _demo(name: str) -> Any:
    return getattr(importlib.import_module("tributary.demo.command"), name)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        sys.stderr.write(f"{name}: {first['msg']}\n")
        raise typer.Exit(2) from None


def main() -> None:
    """Run the command; an error that has a name is one sentence and status 1, not a traceback."""
    try:
        app()
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
