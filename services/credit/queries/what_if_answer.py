"""What if, of one programme or of all that the changes concern: bounded, in one snapshot, off the loop when large."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from services.credit.domain.risk_weights import RiskWeights
from services.credit.domain.what_if import (
    Covered,
    Line,
    NotSupposable,
    Side,
    expected_losses,
    frozen,
    liquidity,
    trapped,
)
from services.credit.operations.risk_weights import risk_weights
from services.credit.queries.comparing import Compared, compare
from services.credit.queries.securing import Securities, read_securities
from services.credit.queries.supposing import Supposed, suppose
from services.credit.queries.what_if_out import Comparison, told_all, told_line_by_line, told_one
from services.credit.queries.what_if_reading import Asked, Links, Read, Scope, read_programme, read_scope
from shared.runtime.offload import offload
from shared.storage.database import Database

# Beyond these, lines and links together, it takes more than a moment: another process reads and computes.
_INLINE = 500
_MOST_LINES, _MOST_PROGRAMMES = 50_000, 500
_WITHIN_S, _MOST_WAITING = 30.0, 4
_COUNT = """
SELECT (SELECT count(*) FROM (SELECT FROM line LIMIT $1) l) + (SELECT count(*) FROM (SELECT FROM link LIMIT $1) k)
"""
_waiting = 0


class WhatIfTooSlow(TimeoutError):
    """There was no answer within the time that one may take; nothing was touched."""

    code: ClassVar[str] = "what_if_too_slow"

    def __init__(self, *, within_s: float) -> None:
        """Keep how long it may take."""
        self.within_s = within_s
        super().__init__(f"There was no answer within {within_s:g} s: name fewer programmes, or ask again later.")


class WhatIfBusy(RuntimeError):
    """As many are being computed or wait as may; it can be asked again in a moment."""

    code: ClassVar[str] = "what_if_busy"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("Others are being computed just now: ask again in a moment.")


@dataclass(frozen=True)
class Wish:
    """In which form the answer is wanted: of one programme, of several as one document, or line by line (NDJSON)."""

    form: Literal["one", "all", "lines"]
    limit: int


async def what_if(database: Database, asked: Asked, wish: Wish) -> bytes:
    """Return every line before and after the changes, and what they would do, as the wire has it.

    No changes, no difference. UnknownProgramme, NotSupposable, CurrencyMismatch, WhatIfTooLarge, WhatIfTooSlow or
    WhatIfBusy say why there is no answer; nothing is touched.
    """
    async with database.reader() as tx:
        is_small = await tx.pg.fetchval(_COUNT, _INLINE + 1) <= _INLINE
    if is_small:
        return await _answer(database, asked, wish, within_s=_WITHIN_S)
    global _waiting  # noqa: PLW0603 - what waits for this process' one pool
    if _waiting >= _MOST_WAITING:
        raise WhatIfBusy
    _waiting += 1
    try:
        async with asyncio.timeout(_WITHIN_S * _MOST_WAITING):
            answered = await offload(_apart, database.url, asked, wish, within_s=_WITHIN_S)
    except TimeoutError as error:
        raise WhatIfTooSlow(within_s=_WITHIN_S) from error
    finally:
        _waiting -= 1
    if isinstance(answered, _Raised):
        raise answered.error()
    return answered


@dataclass(frozen=True)
class _Raised:
    """An error on its way from another process: ours are made by keyword, which pickle cannot."""

    kind: type[Exception]
    facts: Mapping[str, Any]
    text: str

    def error(self) -> Exception:
        found = self.kind.__new__(self.kind, self.text)
        found.__dict__.update(self.facts)
        return found


def _apart(url: str, asked: Asked, wish: Wish, *, within_s: float) -> bytes | _Raised:
    """Answer in a process and on a connection of its own, so that neither reading nor computing stops the loop."""

    async def answer() -> bytes:
        # Between two statements it computes; its snapshot locks nothing, so that it stands still harms nobody.
        database = Database(url, pool_size=1, answer_within_s=within_s, think_within_s=within_s)
        try:
            return await _answer(database, asked, wish, within_s=within_s)
        finally:
            await database.close()

    # Everything made here lives until the answer is there: looking for garbage meanwhile takes two fifths of the time.
    gc.disable()
    try:
        return asyncio.run(answer())
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        return _Raised(type(error), vars(error), str(error))
    finally:
        gc.enable()


async def _answer(database: Database, asked: Asked, wish: Wish, *, within_s: float) -> bytes:
    until = time.monotonic() + within_s
    try:
        async with asyncio.timeout(within_s):
            scope, reads, securities = await _read(database, asked)
    except TimeoutError as error:
        raise WhatIfTooSlow(within_s=within_s) from error
    found: dict[str, list[tuple[Read, Supposed]]] = defaultdict(list)
    refused: dict[int, Exception] = {}
    supposed: set[int] = set()
    for read in reads:
        if time.monotonic() > until:
            raise WhatIfTooSlow(within_s=within_s)
        weights = risk_weights(on=read.facts.programme["today"])
        changes = scope.changes_of(read.facts.programme["programme_id"])
        hypothetical = suppose(read.facts, changes, firms=read.firms, weights=weights, backing=scope.backing)
        refused |= hypothetical.refused
        supposed |= hypothetical.done
        found[read.facts.terms.currency].append((read, hypothetical))
    for nth, _ in scope.changes:
        if nth not in supposed:
            raise refused.get(nth) or NotSupposable(nth=nth, reason="it concerns no programme")
    compared = []
    for currency, each in sorted(found.items()):
        failed = frozenset().union(*(hypothetical.failed for _, hypothetical in each))
        covered = [change for _, change in scope.changes if isinstance(change, Covered)]
        both = securities[currency], securities[currency].supposed(covered, failed)
        compared.append(_comparison(currency, [compare(*one, covers=both) for one in each], both, weights))
    if wish.form == "one":
        return told_one(*compared, limit=wish.limit)
    return told_line_by_line(compared) if wish.form == "lines" else told_all(compared, limit=wish.limit)


async def _read(database: Database, asked: Asked) -> tuple[Scope, list[Read], dict[str, Securities]]:
    links, securities = Links(), {}
    async with database.snapshot() as tx:
        scope = await read_scope(tx, asked, links, most_lines=_MOST_LINES, most_programmes=_MOST_PROGRAMMES)
        reads = [await read_programme(tx, row, scope, links) for row in scope.programmes]
        for currency in {read.facts.terms.currency for read in reads}:
            drawn = [each for read in reads if read.facts.terms.currency == currency for each in read.drawdowns]
            firm_ids = {each.firm_id for each in drawn if each.is_loan and each.used} | scope.backing.firms(currency)
            today = reads[0].facts.programme["today"]
            securities[currency] = await read_securities(tx, firm_ids=firm_ids, currency=currency, today=today)
    return scope, reads, securities


def _comparison(
    currency: str, programmes: Sequence[Compared], covers: tuple[Securities, Securities], weights: RiskWeights
) -> Comparison:
    before = _merged([each.before for each in programmes], {})
    after = _merged([each.after for each in programmes], before.grades)
    drawdowns = sorted((each for one in programmes for each in one.read.drawdowns), key=lambda each: each.drawdown_id)
    today = programmes[0].programme["today"]
    stuck = frozen(drawdowns, before=before, after=after)
    sides = zip((before, after), covers, strict=True)
    losses = [expected_losses(drawdowns, side, weights, each.secured(side.failed)) for side, each in sides]
    return Comparison(
        currency=currency,
        today=today,
        risk_policy=weights.version,
        programmes=programmes,
        before=before,
        after=after,
        drawdowns=drawdowns,
        frozen=stuck,
        trapped=trapped(drawdowns, before=before, after=after),
        gaps=liquidity(drawdowns, before=before, after=after, stuck=stuck, today=today),
        losses=(losses[0], losses[1]),
    )


def _merged(sides: Sequence[Side], grades: Mapping[str, str]) -> Side:
    """Return programmes' sides as one; of grades those that are not what they were before."""
    if len(sides) == 1:
        return sides[0]
    lines = {line_id: line for side in sides for line_id, line in side.lines.items()}
    of_line = {line_id: side for side in sides for line_id in side.lines}

    def shared(line: Line) -> Mapping[str, int]:
        return of_line[line.line_id].shared(line)

    return Side(
        lines,
        frozenset().union(*(side.short for side in sides)),
        {**grades, **{firm: to for side in sides for firm, to in side.grades.items() if grades.get(firm) != to}},
        frozenset().union(*(side.failed for side in sides)),
        shared,
    )
