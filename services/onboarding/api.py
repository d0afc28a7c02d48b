"""Onboarding's routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from services.onboarding import queries
from services.onboarding.operations import enterprises, identities, increases, programmes
from services.onboarding.schemas import (
    EnterpriseIn,
    IdentityIn,
    LimitChangeIn,
    LimitIncreaseIn,
    LineAgreementIn,
    LinkIn,
    MemberIn,
    ProgrammeIn,
    ReasonIn,
)
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.approvals import approvals_router
from shared.web.auth import BANK, COOKIE, PARTIES, Caller, access, own_party, public
from shared.web.serving import Db

router = APIRouter()
_LIFETIME_S = 3600
_Limit = Annotated[int, Query(ge=1, le=500)]
_ClientId = Annotated[str, Form(max_length=200, pattern=r"^[!-~]*$")]


@router.post("/token", dependencies=[public()])
async def token(  # noqa: PLR0917 - FastAPI passes each by name
    request: Request,
    database: Db,
    client_id: _ClientId,
    client_secret: Annotated[str, Form(max_length=200)],
    grant_type: Annotated[str, Form(pattern="^client_credentials$")] = "client_credentials",
    redirect: Annotated[str, Form(max_length=512, pattern="^/console/[A-Za-z0-9/?&=%._~-]*$")] = "",
) -> Response:
    """Exchange a client's credentials for an access token; a page gets it as a cookie that only reads."""
    found = await identities.authenticate(database, client_id=client_id, client_secret=client_secret)
    signed = request.app.state.issuer.issue(
        subject=found["identity_id"],
        roles=found["roles"],
        party=found["party"],
        client_id=client_id,
        lifetime_s=_LIFETIME_S,
    )
    if redirect:
        response = RedirectResponse(redirect, status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, signed, max_age=_LIFETIME_S, httponly=True, samesite="strict", secure=secure)
        return response
    body = {"access_token": signed, "token_type": "Bearer", "expires_in": _LIFETIME_S, "grant_type": grant_type}
    return JSONResponse(body, headers={"cache-control": "no-store"})


@router.get("/jwks", dependencies=[public()])
async def jwks(request: Request) -> dict[str, Any]:
    """Return the issuer's public keys."""
    keys: dict[str, Any] = request.app.state.issuer.jwks()
    return keys


@router.post("/identities", status_code=201)
async def register_identity(
    body: IdentityIn, database: Db, caller: Annotated[Caller, access("administrator")]
) -> dict[str, Any]:
    """Register a person or a client; the secret is shown this once."""
    return await identities.register_identity(
        database, name=body.name, roles=body.roles, party=body.party, actor=caller.subject
    )


@router.post("/enterprises", status_code=201)
async def register_enterprise(
    body: EnterpriseIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Register a firm."""
    enterprise_id = await enterprises.register_enterprise(
        database,
        name=body.name,
        country=body.country,
        legal_identifiers={str(scheme): text for scheme, text in body.legal_identifiers.items()},
        group_head_id=body.group_head_id,
        size_class=body.size_class,
        industry=body.industry,
        account=body.account,
        actor=caller.subject,
    )
    return await queries.enterprise(database, enterprise_id=enterprise_id)


@router.get("/enterprises")
async def list_enterprises(
    database: Db, _: Annotated[Caller, access(*BANK)], cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List firms."""
    return await queries.enterprises(database, after=read_cursor(cursor), limit=limit)


@router.get("/enterprises/{enterprise_id}")
async def read_enterprise(
    enterprise_id: str,
    database: Db,
    caller: Annotated[Caller, access(*BANK, *PARTIES)],
) -> dict[str, Any]:
    """Read a firm; a party reads its own (R23)."""
    own_party(caller, enterprise_id)
    return await queries.enterprise(database, enterprise_id=parse_id(enterprise_id))


@router.post("/enterprises/{enterprise_id}/suspensions", status_code=201)
async def suspend_enterprise(
    enterprise_id: str, body: ReasonIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose to suspend a firm."""
    proposal = await enterprises.propose_suspension(
        database, enterprise_id=parse_id(enterprise_id), reason=body.reason, actor=caller.subject
    )
    return proposal.wire()


@router.post("/enterprises/{enterprise_id}/reinstatements", status_code=201)
async def reinstate_enterprise(
    enterprise_id: str, body: ReasonIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose to lift a firm's suspension."""
    proposal = await enterprises.propose_reinstatement(
        database, enterprise_id=parse_id(enterprise_id), reason=body.reason, actor=caller.subject
    )
    return proposal.wire()


@router.post("/enterprises/{enterprise_id}/line-agreements", status_code=201)
async def sign_line_agreement(
    enterprise_id: str, body: LineAgreementIn, database: Db, caller: Annotated[Caller, access("sme")]
) -> dict[str, Any]:
    """Sign the line agreement, by the SME itself; an amount that it commits waits for the bank's own signature."""
    own_party(caller, enterprise_id)
    proposal = await programmes.sign_line_agreement(
        database,
        enterprise_id=parse_id(enterprise_id),
        programme_id=body.programme_id,
        signed_date=body.signed_date,
        expiry_date=body.expiry_date,
        committed=body.committed,
        actor=caller.subject,
    )
    approval_id = proposal.approval_id if proposal else None
    return {"enterprise_id": enterprise_id, **body.model_dump(mode="json"), "approval_id": approval_id}


@router.post("/links", status_code=201)
async def record_link(body: LinkIn, database: Db, caller: Annotated[Caller, access("bank_maker")]) -> dict[str, Any]:
    """Record who supplies whom."""
    link_id = await enterprises.record_link(
        database,
        supplier_id=body.supplier_id,
        buyer_id=body.buyer_id,
        traded=body.traded,
        contract=body.contract,
        actor=caller.subject,
    )
    return {"link_id": link_id, **body.model_dump(mode="json")}


@router.post("/programmes", status_code=201)
async def propose_programme(
    body: ProgrammeIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose a programme."""
    programme_id, proposal = await programmes.propose_programme(
        database, name=body.name, anchor_id=body.anchor_id, terms=body.terms, actor=caller.subject
    )
    return {"programme_id": programme_id, "state": "pending_approval", "approval_id": proposal.approval_id}


@router.get("/programmes/{programme_id}")
async def read_programme(
    programme_id: str, database: Db, caller: Annotated[Caller, access(*BANK, "anchor_maker", "anchor_checker")]
) -> dict[str, Any]:
    """Read a programme; an anchor reads its own."""
    found = await queries.programme(database, programme_id=parse_id(programme_id))
    own_party(caller, found["anchor_id"])
    return found


@router.post("/programmes/{programme_id}/limit-changes", status_code=201)
async def propose_limit_change(
    programme_id: str, body: LimitChangeIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose other limits."""
    proposal = await programmes.propose_limit_change(
        database,
        programme_id=parse_id(programme_id),
        limit=body.limit,
        upstream_limit=body.upstream_limit,
        downstream_limit=body.downstream_limit,
        reason=body.reason,
        actor=caller.subject,
    )
    return proposal.wire()


@router.post("/programmes/{programme_id}/limit-increases", status_code=201)
async def propose_limit_increase(
    programme_id: str, body: LimitIncreaseIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose to raise the limits for some days."""
    proposal = await increases.propose_increase(
        database,
        programme_id=parse_id(programme_id),
        limit=body.limit,
        upstream_limit=body.upstream_limit,
        downstream_limit=body.downstream_limit,
        valid_from=body.valid_from,
        valid_until=body.valid_until,
        reason=body.reason,
        actor=caller.subject,
    )
    return proposal.wire()


@router.post("/programmes/{programme_id}/suspensions", status_code=201)
async def suspend_programme(
    programme_id: str, body: ReasonIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose to suspend a programme."""
    proposal = await programmes.propose_suspension(
        database, programme_id=parse_id(programme_id), reason=body.reason, actor=caller.subject
    )
    return proposal.wire()


@router.post("/programmes/{programme_id}/members", status_code=201)
async def admit_member(
    programme_id: str, body: MemberIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Admit a firm."""
    await programmes.admit_member(
        database,
        programme_id=parse_id(programme_id),
        enterprise_id=body.enterprise_id,
        direction=body.direction,
        anchor_support=body.anchor_support,
        actor=caller.subject,
    )
    return {"programme_id": programme_id, **body.model_dump(mode="json")}


router.include_router(
    approvals_router(
        deciders=("bank_checker", "bank_maker"),
        approved={
            "programme": programmes.activate,
            "programme.limit": programmes.change_limit,
            "programme.increase": increases.increase,
            "programme.suspension": programmes.suspend,
            "enterprise.suspension": enterprises.suspend,
            "enterprise.reinstatement": enterprises.reinstate,
            "line_agreement": programmes.countersign,
        },
        declined={"programme": programmes.drop},
    )
)
