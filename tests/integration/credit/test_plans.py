"""Every statement that a drawdown's life runs finds its rows by index, however large the tables have grown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import event

from services.credit.operations.close_drawdowns import expire_drawdowns
from shared.storage.database import Database
from shared.values.ids import new_id
from tests.integration.credit.pledging import registered
from tests.integration.credit.test_pair_limits import limit_pair
from tests.integration.credit.world import World, cny

ROWS = 20_000
# Of each row that the story left: what makes its copies differ, as expressions over n.
GROWN: dict[str, dict[str, str]] = {
    "cover": {"cover_id": "'c' || n", "asset": "'a' || n", "enterprise_id": "'o' || n % 500"},
    "cover_history": {"cover_id": "'c' || n"},
    "document": {"document_id": "'x' || n", "owner_id": "'o' || n % 500"},
    "document_use": {"document_id": "'x' || n", "drawdown_id": "'w' || n"},
    "drawdown": {
        "drawdown_id": "'w' || n",
        "command_key": "'k' || n",
        "enterprise_id": "'o' || n % 500",
        "line_id": "'l' || n % 500",
        "programme_id": "'p' || n % 50",
        "state": "'repaid'",
        "expires_at": "NULL",
    },
    "idempotency": {"key": "'k' || n"},
    "limit_node": {"node_id": "'line/l' || n"},
    "line": {"line_id": "'l' || n", "enterprise_id": "'o' || n", "programme_id": "'p' || n % 50"},
    "outbox": {"id": "'e' || n", "subject": "'w' || n", "sequence": "1"},
    "outbox_head": {"subject": "'w' || n"},
    "quote": {"quote_id": "'q' || n"},
    "reinstatement": {"event_id": "'e' || n", "drawdown_id": "'w' || n"},
}
# What the life of a drawdown must have run, or this test looks at nothing.
EXPECTED = (
    "FROM limit_node\n    WHERE node_id = ANY($1)",
    "INSERT INTO drawdown",
    "UPDATE drawdown w SET",
    "expires_at <= clock_timestamp()",
    "DELETE FROM document_use",
    "INSERT INTO reinstatement",
    "UPDATE limit_node n SET held_minor = n.held_minor + m.held, utilised_minor",
    "held_minor + n.utilised_minor > n.sanctioned_minor",
    "INSERT INTO quote",
    "AS charges",
    "AS pair_node",
    "WHERE n.level = 9 AND n.currency",
    "SET path = w.path || jsonb_build_array(jsonb_build_array(9",
    "SET path = w.path || jsonb_build_array(jsonb_set(",
    "FROM cover c JOIN cover o USING (asset, currency)",
    "FROM node_history k WHERE k.since",
)


@contextmanager
def _listening(*databases: Database) -> Iterator[set[str]]:
    """Collect the statements that run on these databases."""
    statements: set[str] = set()

    def heard(query: Any) -> None:
        statements.add(query.query)

    def checked_out(connection: Any, *_: object) -> None:
        connection.driver_connection.add_query_logger(heard)

    engines = [database._engine.sync_engine for database in databases]
    for engine in engines:
        event.listen(engine, "checkout", checked_out)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "checkout", checked_out)


async def _live(world: World, supplier: str, line: str) -> None:
    """Let drawdowns live: quoted, held, approved, paid out, repaid, closed; cancelled; expired."""
    documents = [await world.receivable(supplier) for _ in range(3)]
    async with world.bench.caller("sme", party=supplier) as sme:
        quoted = await sme.post(
            "/quotes",
            json={
                "line_id": line,
                "documents": [{"kind": "receivable", "document_id": documents[0]}],
                "principal": {"amount": "10.00", "currency": "CNY"},
            },
        )
        assert quoted.status_code == 201, quoted.text
        quote_id = quoted.json()["quote_id"]
        held = [
            await world.draw(supplier, [documents[0]], "10.00", line_id=line, quote_id=quote_id),
            await world.draw(supplier, [documents[1]], "10.00", line_id=line),
            await world.draw(supplier, [documents[2]], "10.00", line_id=line),
        ]
        assert [each.status_code for each in held] == [201] * 3
        paid, cancelled, _ = (each.json()["drawdown_id"] for each in held)
        answer = await sme.post(
            f"/drawdowns/{cancelled}/cancel", json={"reason": "not needed"}, headers={"idempotency-key": new_id()}
        )
        assert answer.status_code == 200, answer.text
    await world.hear(world.assigned(paid), world.disbursed(paid, "10.00"), world.repaid(paid, "4.00"))
    async with world.database.transaction() as tx:
        await tx.pg.execute("UPDATE drawdown SET expires_at = clock_timestamp() WHERE state = 'held'")
    assert await expire_drawdowns(world.database) == 2


async def _limit_and_secure(world: World, supplier: str, line: str) -> None:
    """Limit the pair of supplier and anchor, draw on cover, name the line in another cover, look back."""
    await registered(world, supplier)
    answer = await world.draw(supplier, [await world.receivable(supplier)], "80001.00", line_id=line)
    assert answer.status_code == 201, answer.text
    await registered(world, supplier, asset="PRESS-1", line_ids=[line])
    await limit_pair(world, supplier, "500000.00")
    async with world.bench.caller("risk_officer") as bank:
        now = (await bank.get(f"/lines/{line}/explanation")).json()["as_of"]
        for path in (f"/lines/{line}/explanation?as_of={quote(now)}", "/pair-limits", f"/enterprises/{supplier}/cover"):
            assert (await bank.get(path)).status_code == 200, path
        assert (await bank.get(f"/drawdowns/{answer.json()['drawdown_id']}")).json()["covers"]


async def _grow(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL session_replication_role = replica")
        for table, changed in GROWN.items():
            columns = [
                row["column_name"]
                for row in await tx.pg.fetch(
                    """SELECT column_name FROM information_schema.columns
                    WHERE table_name = $1 AND is_identity = 'NO'""",
                    table,
                )
            ]
            values = ", ".join(changed.get(column, f"t.{column}") for column in columns)
            found = await tx.pg.execute(
                f"""INSERT INTO {table} ({", ".join(columns)}) SELECT {values}
                FROM generate_series(1, {ROWS}) AS n CROSS JOIN (SELECT * FROM {table} LIMIT 1) AS t"""  # noqa: S608 - the test's own names
            )
            assert found == f"INSERT 0 {ROWS}", (table, found)
            await tx.pg.execute(f"ANALYZE {table}")


async def test_every_statement_of_a_drawdowns_life_reads_by_index(world: World) -> None:
    await world.begin(limit=cny("1000000.00"))
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    await world.held(supplier, "1.00")
    with _listening(world.database, world.bench.app.fastapi.state.database) as statements:
        await _live(world, supplier, line)
        await _limit_and_secure(world, supplier, line)
    hot = sorted(each for each in statements if any(table in each for table in GROWN))
    for part in EXPECTED:
        assert any(part in each for each in hot), part
    await _grow(world)
    whole = {}
    async with world.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for nth, statement in enumerate(hot):
            if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)", statement):
                continue
            arguments = max([0, *map(int, re.findall(r"\$(\d+)", statement))])
            await tx.pg.execute(f"PREPARE s{nth} AS {statement}")
            call = f"({', '.join(['NULL'] * arguments)})" if arguments else ""
            plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN EXECUTE s{nth}{call}"))
            if re.search(rf"Seq Scan on ({'|'.join(GROWN)})\b", plan):
                whole[statement] = plan
    assert whole == {}


async def test_a_hold_runs_the_same_statements_with_a_pair_s_limit_and_cover_as_without(world: World) -> None:
    await world.begin()
    plain, secured = await world.supplier(), await world.supplier()
    await registered(world, secured)
    await limit_pair(world, secured, "500000.00")
    ran = []
    for supplier, principal in ((plain, "80000.00"), (secured, "85000.00")):
        line = (await world.line_of(supplier))["line_id"]
        # The first draw reads the line's terms, which the second one remembers.
        await world.held(supplier, "1.00")
        document = await world.receivable(supplier)
        with _listening(world.bench.app.fastapi.state.database) as statements:
            assert (await world.draw(supplier, [document], principal, line_id=line)).status_code == 201
        ran.append({each for each in statements if "limit_node" in each or "INSERT" in each})
    assert ran[0] == ran[1]
    assert len(ran[0]) == 2
