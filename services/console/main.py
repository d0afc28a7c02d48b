"""Console's HTTP app."""

from __future__ import annotations

from services.console.api import ROUTERS
from services.console.api.pages import install_pages
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.web.problems import ErrorStatuses
from shared.web.serving import ServiceApp, service_app

NAME = "console"
STATUSES: ErrorStatuses = {}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of console."""
    database = Database(settings.database(NAME), pool_size=4)
    app = service_app(NAME, settings=settings, database=database, routers=ROUTERS, statuses=STATUSES)
    install_pages(app.fastapi)
    return app
