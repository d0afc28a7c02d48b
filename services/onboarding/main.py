"""Onboarding's HTTP app."""

from __future__ import annotations

from services.onboarding.api import router
from services.onboarding.domain.identities import InvalidRoles
from services.onboarding.domain.programmes import InvalidTerms
from services.onboarding.operations.enterprises import AlreadyRegistered, NotSuspended, SelfTrade, UnknownEnterprise
from services.onboarding.operations.identities import InvalidClient
from services.onboarding.operations.programmes import (
    DirectionFixed,
    NotAMember,
    ProgrammeNotActive,
    UnknownProgramme,
)
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.web.problems import ErrorStatuses
from shared.web.serving import ServiceApp, service_app

NAME = "onboarding"
STATUSES: ErrorStatuses = {
    InvalidTerms: 422,
    InvalidRoles: 422,
    SelfTrade: 422,
    UnknownEnterprise: 404,
    UnknownProgramme: 404,
    AlreadyRegistered: 409,
    ProgrammeNotActive: 409,
    NotAMember: 409,
    DirectionFixed: 409,
    NotSuspended: 409,
    InvalidClient: 401,
}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of onboarding."""
    database = Database(settings.database(NAME), pool_size=4)
    return service_app(NAME, settings=settings, database=database, routers=[router], statuses=STATUSES)
