"""Several programmes that share firms: of one anchor, of its group, and of a stranger that the same trade leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shared.events.envelope import Event
from shared.events.onboarding import EnterpriseRegistered, LineAgreementSigned, MemberAdmitted, ProgrammeActivated
from shared.events.risk import RatingRecorded
from shared.values.ids import new_id
from shared.values.rates import rate_text
from tests.integration.credit.world import FAR, World, cny, terms

SEEN = ("tier", "cap", "reserved", "available", "shortfall", "drawable", "reasons")


@dataclass
class Basin:
    """The programmes by name: `first` and `second` of the anchor, `sister` of its sister, `far` of a stranger."""

    world: World
    sister: str = field(default_factory=new_id)
    stranger: str = field(default_factory=new_id)
    programmes: dict[str, str] = field(default_factory=dict)
    firms: dict[str, str] = field(default_factory=dict)

    async def begin(self) -> None:
        """Two suppliers in most programmes, some behind others, the sister as distributor, some of it drawn."""
        world = self.world
        await world.begin(limit=cny("900000.00"), upstream_limit=cny("800000.00"), max_tier=3)
        self.programmes["first"] = world.programme
        await world.hear(
            self.registered(self.sister, head=world.anchor),
            world.rating(self.sister, cap="2000000.00"),
            world.firm(self.stranger, name="Stranger", size="large"),
            world.rating(self.stranger, cap="3000000.00"),
        )
        for name, anchor, head in (
            ("second", world.anchor, world.anchor),
            ("sister", self.sister, world.anchor),
            ("far", self.stranger, self.stranger),
        ):
            self.programmes[name] = new_id()
            await world.hear(
                ProgrammeActivated(
                    programme_id=self.programmes[name],
                    name=name,
                    anchor_id=anchor,
                    group_head_id=head,
                    terms=terms(limit=cny("500000.00"), recourse=name != "second"),
                )
            )
        for name in ("upper", "other", "lower", "remote"):
            self.firms[name] = new_id()
            await world.hear(world.firm(self.firms[name], name=name), world.rating(self.firms[name], cap="300000.00"))
        upper, other, lower, remote = self.firms.values()
        await world.hear(
            world.link(upper, world.anchor, traded="500000.00"),
            world.link(upper, self.sister, traded="200000.00"),
            world.link(upper, self.stranger, traded="100000.00"),
            world.link(other, world.anchor, traded="400000.00"),
            world.link(lower, upper, traded="300000.00"),
            world.link(remote, upper, traded="50000.00"),
            world.link(world.anchor, self.sister, traded="150000.00"),
        )
        await self.admit("first", upper, other, lower)
        await self.admit("first", self.sister, support="0.400000")
        await self.admit("second", upper)
        await self.admit("sister", upper, lower)
        await self.admit("far", remote)
        line = {each["programme_id"]: each["line_id"] for each in await self.lines(enterprise_id=upper)}
        answer = await world.draw(upper, [await world.receivable(upper)], "30000.00", line_id=line[world.programme])
        paid = answer.json()["drawdown_id"]
        await world.hear(world.assigned(paid), world.disbursed(paid, "30000.00"))
        await world.held(other, "20000.00")

    def registered(self, firm: str, *, head: str) -> Event:
        """Say that a firm belongs to a group."""
        return EnterpriseRegistered(
            enterprise_id=firm,
            name="Sister",
            country="CN",
            legal_identifiers={},
            group_head_id=head,
            size_class="large",
            industry="",
            account="ACC-sister",
        )

    async def admit(self, name: str, *firms: str, support: str = "") -> None:
        """Admit firms to a programme, under signed agreements; with a support as distributors."""
        programme_id = self.programmes[name]
        for firm in firms:
            await self.world.hear(
                MemberAdmitted(
                    programme_id=programme_id,
                    enterprise_id=firm,
                    direction="downstream" if support else "upstream",
                    anchor_support=support or "0.000000",
                ),
                LineAgreementSigned(
                    enterprise_id=firm,
                    programme_id=programme_id,
                    signed_date=FAR.replace(year=2026),
                    expiry_date=FAR,
                    committed=cny("0.00"),
                ),
            )

    async def lines(self, **query: str) -> list[dict[str, Any]]:
        """Return lines as they are."""
        async with self.world.bench.caller("risk_officer") as bank:
            found: list[dict[str, Any]] = (await bank.get("/lines", params=query)).json()["items"]
        return found

    async def there(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what is seen of every line, by programme and line."""
        return {
            programme_id: {
                line["line_id"]: {name: line[name] for name in SEEN}
                for line in await self.lines(programme_id=programme_id)
            }
            for programme_id in self.programmes.values()
        }

    async def suppose(self, *changes: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Suppose changes everywhere."""
        async with self.world.bench.caller("risk_officer") as bank:
            answer = await bank.post("/what-if", json={"changes": list(changes), **more})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def rating(firm: str, grade: str, cap_minor: int, multiplier: int) -> Event:
    """Say how a firm is rated."""
    return RatingRecorded(
        enterprise_id=firm,
        grade=grade,
        cap=cny(f"{cap_minor // 100}.{cap_minor % 100:02}"),
        multiplier=rate_text(multiplier),
        risk_spread="0.010000",
        reasons=["test"],
        valid_until=FAR,
        policy_version="officer",
    )


async def everything(world: World) -> str:
    """Return all that the database holds."""
    async with world.database.snapshot() as tx:
        tables = await tx.pg.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        found = [
            await tx.pg.fetchval(f"SELECT coalesce(json_agg(t ORDER BY t::text)::text, '') FROM {row[0]} t")  # noqa: S608 - names of the catalogue
            for row in tables
        ]
    return "\n".join(found)
