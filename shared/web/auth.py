"""Who may call what: ES256 tokens, roles, the party claim; every route declares its access."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from shared.web.issuer import ALGORITHM
from shared.web.problems import Problem

ROLES = frozenset(
    {"administrator", "bank_maker", "bank_checker", "risk_officer", "anchor_maker", "anchor_checker", "sme", "erp"}
)
BANK = ("bank_maker", "bank_checker", "risk_officer", "administrator")
# Who speaks for a firm.
PARTIES = ("anchor_maker", "anchor_checker", "sme", "erp")
COOKIE = "tributary_token"
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a person or a client, its roles, and the enterprise it speaks for (None for the bank's people)."""

    subject: str
    roles: frozenset[str]
    party: str | None
    client_id: str

    @property
    def is_bank(self) -> bool:
        """Return whether the caller is one of the bank's people."""
        return self.party is None and not self.roles.isdisjoint(BANK)


class ForeignParty(PermissionError):
    """The caller speaks for another enterprise than the one the request is about (R23)."""

    code = "foreign_party"

    def __init__(self) -> None:
        """Tell nothing about the other party."""
        super().__init__("You may act only for your own enterprise.")


class Verifier:
    """Verifies tokens against the issuer's keys and remembers them until they expire."""

    def __init__(self, *, jwks: KeySetSerialization, issuer: str, audience: str) -> None:
        """Use these public keys, and accept only this issuer and audience."""
        self._keys = KeySet.import_key_set(jwks)
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            nbf={"essential": True},
            sub={"essential": True},
        )
        self._remembered: dict[str, tuple[float, Caller]] = {}

    def verify(self, token: str) -> Caller:
        """Return who a token speaks for; Problem 401 invalid_token or expired_token otherwise."""
        known = self._remembered.get(token)
        if known is not None:
            if known[0] > time.time():
                return known[1]
            del self._remembered[token]
        try:
            decoded = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
            if not decoded.header.get("kid"):
                raise _invalid("The token names no key.")
            self._claims.validate(decoded.claims)
            caller = _caller(decoded.claims)
        except ExpiredTokenError as error:
            raise Problem(status=401, code="expired_token", detail="The token has expired.") from error
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _invalid("The token is not one this platform accepts.") from error
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[token] = (float(decoded.claims["exp"]), caller)
        return caller

    def caller_of(self, request: Request, *, roles: frozenset[str]) -> Caller:
        """Return the caller of a request if it has one of the roles; Problem 401 or 403 otherwise."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            # A page's cookie reads; it never writes, so a foreign page cannot make it.
            token = request.cookies.get(COOKIE, "") if request.method == "GET" else ""
        if not token:
            raise Problem(status=401, code="missing_token", detail="Send an access token as Authorization: Bearer.")
        caller = self.verify(token)
        if caller.roles.isdisjoint(roles):
            detail = f"This needs one of the roles: {', '.join(sorted(roles))}."
            raise Problem(status=403, code="forbidden", detail=detail)
        return caller


class Access:
    """A route's declaration of who may call it, and the dependency that checks it."""

    def __init__(self, roles: Iterable[str]) -> None:
        """Allow these roles; none means that the route is public."""
        self.roles = frozenset(roles)
        unknown = self.roles - ROLES
        if unknown:
            message = f"unknown roles: {sorted(unknown)}"
            raise ValueError(message)

    async def __call__(self, request: Request) -> Caller | None:
        """Answer who calls, if its token has one of the roles; Problem otherwise."""
        if not self.roles:
            return None
        verifier: Verifier = request.app.state.verifier
        return verifier.caller_of(request, roles=self.roles)


def access(*roles: str) -> Any:
    """Return the dependency by which a route declares who may call it."""
    return Depends(Access(roles))


def public() -> Any:
    """Declare that anybody may call a route: `dependencies=[public()]`."""
    return Depends(Access(()))


def own_party(caller: Caller, enterprise_id: str) -> None:
    """Refuse a caller that speaks for another enterprise; ForeignParty. The bank's people may see all (R23)."""
    if caller.party is not None and caller.party != enterprise_id:
        raise ForeignParty


def accesses(app: FastAPI) -> dict[tuple[str, str], Access | None]:
    """Return what each route, by method and path, declares of who may call it; None for one that does not say.

    Only the app's own description needs no declaration.
    """
    found: dict[tuple[str, str], Access | None] = {}
    # An app's own list holds included routers whole: only this walk comes to every route.
    for route in iter_route_contexts(app.routes):
        if route.path != app.openapi_url:
            for method in route.methods or ("*",):
                found[method, str(route.path_format or route.path)] = _declared(route)
    return found


def unclassified_routes(app: FastAPI) -> list[str]:
    """Return the routes that do not say who may call them."""
    return sorted({path for (_, path), access in accesses(app).items() if access is None})


def _declared(route: RouteContext) -> Access | None:
    if not isinstance(route.original_route, APIRoute):
        return getattr(route.original_route, "access", None)
    return next((each.call for each in route.dependant.dependencies if isinstance(each.call, Access)), None)


def _caller(claims: dict[str, Any]) -> Caller:
    roles = frozenset(str(role) for role in claims["roles"]) & ROLES
    party = claims.get("party")
    return Caller(str(claims["sub"]), roles, str(party) if party else None, str(claims["client_id"]))


def _invalid(detail: str) -> Problem:
    return Problem(status=401, code="invalid_token", detail=detail)
