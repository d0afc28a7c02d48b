"""Chapter two: the invoices come in, the obligors confirm them, the lines appear."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from tributary.demo.client import Person, Refused, until
from tributary.demo.plan import MAIN_DUE_DAYS, STORY_DAYS, InvoiceFile
from tributary.demo.stage import Step, expect, minor, money, wire
from tributary.demo.story.world import Receivable, Slots, Taken, World

_DOCUMENTS = "/receivables/v1/documents"
_INTERNAL = 500
_EARLIEST_DUE = timedelta(days=10)
_LATEST_MAIN_DUE = timedelta(days=MAIN_DUE_DAYS + 2)
_LATEST_DUE = timedelta(days=170)
_SMALLEST = 10
_FOR = {
    "main": "followed to its end",
    "voucher": "for the voucher",
    "again": "for the draw after repayment",
    "rail": "for the rail's timeout",
    "sale": "for the distributor",
}
_SUSPECT = {
    "payee_is_not_the_seller": "perhaps assigned already",
    "factored_invoice": "perhaps assigned already",
    "totals_disagree": "its totals contradict what is payable",
}


async def take_in(world: World) -> None:
    """Upload, look at what waits for a person, confirm, and see the lines."""
    async with world.stage.step("the book moves to the day of the story") as step:
        days = await world.close_days(up_to=world.plan.story_date - timedelta(days=1))
        step.say(f"{days} days closed by two people; open is {await world.open_date()}")
    files = world.plan.files(world.ids)
    async with world.stage.step("the folder of invoices is uploaded") as step:
        await _upload(world, step, files)
    async with world.stage.step("a person decides on what was referred") as step:
        await _decide_referrals(world, step)
    async with world.stage.step("the story's invoices are chosen") as step:
        await _choose(world, step)
    async with world.stage.step("the obligors' makers and checkers confirm") as step:
        await _confirm(world, step)
    async with world.stage.step("every line appears by propagation") as step:
        await _see_lines(world, step)


async def _upload(world: World, step: Step, files: Iterable[InvoiceFile]) -> None:
    for file in files:
        who = await world.people.of(world.ids[file.by], "erp") if file.by else world.maker
        named = dict(zip(("seller_id", "obligor_id"), (world.ids[key] for key in file.parties or ()), strict=False))
        world.intake.append(await send(who, file, **named))
    await _read_receivables(world)
    stored = sum(taken.stored for taken in world.intake)
    expect(stored == len(world.receivables), f"stored is what was accepted: {stored}, not {len(world.receivables)}")
    counts = Counter(taken.outcome for taken in world.intake)
    step.say(", ".join(f"{counts[name]} {name}" for name in ("accepted", "duplicate", "refused")))
    refused = Counter(taken.code for taken in world.intake if taken.outcome == "refused")
    if refused:
        step.say(f"refused: {', '.join(f'{code} ({count})' for code, count in sorted(refused.items()))}")
    failed = [taken.file for taken in world.intake if taken.code == "internal_error"]
    expect(not failed, f"no file makes the platform fail: {failed[:3]}")


async def send(who: Person, file: InvoiceFile, **named: str) -> Taken:
    """Upload one file and return what became of it."""
    try:
        answer = await who.send_file(_DOCUMENTS, name=file.name, body=file.body, media_type=file.media_type, **named)
    except Refused as refused:
        code = "internal_error" if refused.status >= _INTERNAL else refused.code
        outcome = "duplicate" if refused.code == "duplicate_document" else "refused"
        return Taken(file.name, outcome, code, refused.detail)
    if "items" in answer:
        return _rows(file.name, answer["items"])
    if "credit_note_id" in answer:
        message = ", ".join([f"credit note {answer['number']}", money(answer["amount"]), *answer["reasons"]])
        return Taken(file.name, "accepted", answer["state"], message)
    message = ", ".join([answer["number"], money(answer["payable"]), *answer["reasons"]])
    return Taken(file.name, "accepted", answer["state"], message, stored=1)


def _rows(name: str, rows: list[dict[str, Any]]) -> Taken:
    """A file of many rows is accepted when one of its rows is; a duplicate when all that could be are."""
    by = defaultdict(list)
    for row in rows:
        by[row["outcome"]].append(row)
    accepted = len(by["accepted"])
    message = f"{accepted} of {len(rows)} rows"
    if accepted:
        stored = sum("receivable_id" in row for row in by["accepted"])
        return Taken(name, "accepted", "validated", message, stored=stored)
    outcome = "duplicate" if by["duplicate"] else "refused"
    first = (by[outcome] or [{"code": "no_rows", "message": "the file has no rows"}])[0]
    return Taken(name, outcome, first["code"], f"{message}: {first['message']}")


async def _read_receivables(world: World) -> None:
    found = await world.maker.every("/receivables/v1/receivables")
    world.receivables = {each["receivable_id"]: each for each in found}


async def _choose(world: World, step: Step) -> None:
    roles = world.plan.roles
    first = _candidates(world, world.ids[roles.first], world.anchor_id)
    second = _candidates(world, world.ids[roles.second], world.anchor_id)
    sales = _candidates(world, world.anchor_id, world.ids[roles.distributor])
    wanted = {
        "main": (first, roles.first, world.plan.main.anchor),
        "voucher": (first, roles.first, world.plan.main.anchor),
        "again": (first, roles.first, world.plan.main.anchor),
        "rail": (second, roles.second, world.plan.main.anchor),
        "sale": (sales, world.plan.main.anchor, roles.distributor),
    }
    chosen: dict[str, Receivable] = {}
    for name, (candidates, seller, buyer) in wanted.items():
        if candidates:
            chosen[name] = candidates.pop(0)
        else:
            chosen[name] = await _make_up(world, step, name, seller, buyer)
        step.say(f"{_FOR[name]}: {chosen[name]['number']}, {money(chosen[name]['payable'])}")
    world.chosen = Slots(**chosen)


def _candidates(world: World, seller_id: str, obligor_id: str) -> list[Receivable]:
    """Return what these two have between them and what can be financed, the largest first."""
    found = [
        each
        for each in world.receivables.values()
        if (each["seller_id"], each["obligor_id"], each["state"]) == (seller_id, obligor_id, "validated")
        and each["payable"]["currency"] == world.currency
        and minor(each["payable"]) >= world.major(_SMALLEST)
    ]
    return sorted(found, key=lambda each: (-minor(each["payable"]), each["receivable_id"]))


async def _make_up(world: World, step: Step, name: str, seller: str, buyer: str) -> Receivable:
    """Make and upload an invoice that the folder lacks."""
    issued = world.plan.story_date - timedelta(days=1)
    amount_minor = max(world.major(1_000), min(world.major(400_000), world.plan.main.total_minor // 4))
    # Two of one amount, day and obligor would be taken for one claim in two guises.
    amount_minor += world.major(list(_FOR).index(name))
    document = {
        "seller_id": world.ids[seller],
        "obligor_id": world.ids[buyer],
        "number": f"DEMO-{name}",
        "document_type": "380",
        "issue_date": issued.isoformat(),
        "due_date": (world.plan.main_due if name == "main" else world.plan.later_due).isoformat(),
        "payable": wire(amount_minor, world.currency),
        "order_reference": "PO-DEMO",
    }
    erp = await world.people.of(world.anchor_id, "erp")
    body = json.dumps(document).encode()
    sent = await erp.send_file(_DOCUMENTS, name=f"made-{name}.json", body=body, media_type="application/json")
    step.lack(f"an invoice from {world.name(seller)} to {world.name(buyer)} that can be financed ({_FOR[name]})")
    found: Receivable = await world.maker.get(f"/receivables/v1/receivables/{sent['receivable_id']}")
    world.receivables[sent["receivable_id"]] = found
    return found


async def _decide_referrals(world: World, step: Step) -> None:
    """Turn down what may be assigned already or contradicts itself; a number used again may be another claim (R8)."""
    waiting = [each for each in world.receivables.values() if each["state"] == "referred"]
    for each in waiting:
        reasons = ", ".join(each["reasons"])
        suspect = [_SUSPECT[reason] for reason in each["reasons"] if reason in _SUSPECT]
        decision, why = ("reject", suspect[0]) if suspect else ("accept", "another claim")
        body = {"decision": decision, "reason": f"{why}: {reasons}"[:500]}
        await world.checker.post(f"/receivables/v1/receivables/{each['receivable_id']}/referral-decisions", body)
        step.say(f"{each['number']}: {decision}, {why} ({reasons})")
    if not waiting:
        step.say("nothing waits")
    await _read_receivables(world)


async def _confirm(world: World, step: Step) -> None:
    slots, plan = world.slots, world.plan
    stated = {slots.main["receivable_id"]: _due(world, slots.main, plan.main_due, _LATEST_MAIN_DUE)}
    for each in (slots.voucher, slots.again, slots.rail, slots.sale):
        stated[each["receivable_id"]] = _due(world, each, plan.later_due, _LATEST_DUE)
    batches: dict[tuple[str, date | None], list[str]] = defaultdict(list)
    anchors = {world.ids[programme.anchor] for programme in world.all_programmes}
    for receivable_id, each in world.receivables.items():
        mine = each["obligor_id"] in anchors or receivable_id in stated
        if each["state"] == "validated" and mine:
            batches[each["obligor_id"], stated.get(receivable_id)].append(receivable_id)
    for (obligor_id, due), receivable_ids in batches.items():
        await _confirm_batch(world, obligor_id, due, receivable_ids)
        if due:
            step.say(f"{len(receivable_ids)} with the due date stated: {due}")
    step.say(f"{sum(map(len, batches.values()))} invoices confirmed")
    await _read_receivables(world)
    for name, each in vars(slots).items():
        setattr(slots, name, world.receivables[each["receivable_id"]])
        state = world.receivables[each["receivable_id"]]["state"]
        expect(state == "confirmed", f"{each['number']} is confirmed, not {state}")


def _due(world: World, receivable: Receivable, wanted: date, latest: timedelta) -> date | None:
    """Return the due date that the obligor states, None when the invoice's own fits the story."""
    own = date.fromisoformat(receivable["due_date"])
    earliest = _EARLIEST_DUE if latest == _LATEST_MAIN_DUE else timedelta(days=STORY_DAYS + 5)
    fits = world.plan.story_date + earliest <= own <= world.plan.story_date + latest
    return None if fits else wanted


async def _confirm_batch(world: World, obligor_id: str, due: date | None, receivable_ids: list[str]) -> None:
    maker = await world.people.of(obligor_id, "anchor_maker")
    checker = await world.people.of(obligor_id, "anchor_checker")
    body = {"receivable_ids": receivable_ids, "undertaking": "none", "due_date": due.isoformat() if due else None}
    proposal = await maker.post("/receivables/v1/confirmations", body)
    await checker.post(f"/receivables/v1/approvals/{proposal['approval_id']}/approve")


async def _see_lines(world: World, step: Step) -> None:
    for programme in world.all_programmes:
        members = {world.ids[key] for key, _ in programme.members}

        async def drawable(currency: str = programme.currency, wanted: set[str] = members) -> list[Any] | None:
            lines = await world.lines(currency)
            ready = {line["enterprise_id"] for line in lines if line["drawable"] and minor(line["cap"]) > 0}
            return lines if wanted <= ready else None

        lines = await until(drawable, awaited=f"a drawable line for every member in {programme.currency}")
        for line in sorted(lines, key=lambda each: (each["direction"], each["tier"])):
            where = f"{line['direction']} tier {line['tier']}"
            step.say(f"{line['enterprise_name']} ({where}): {money(line['cap'])}")
