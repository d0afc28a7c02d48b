"""Risk's HTTP app."""

from __future__ import annotations

from services.risk.api import router
from services.risk.domain.ratings import InvalidRating
from services.risk.queries import Unrated
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.web.problems import ErrorStatuses
from shared.web.serving import ServiceApp, service_app

NAME = "risk"
STATUSES: ErrorStatuses = {InvalidRating: 422, Unrated: 404}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of risk."""
    database = Database(settings.database(NAME), pool_size=2)
    return service_app(NAME, settings=settings, database=database, routers=[router], statuses=STATUSES)
