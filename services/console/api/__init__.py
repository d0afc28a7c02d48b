"""Console's routes: pages, the live stream, the JSON beneath them, and assets."""

from __future__ import annotations

from services.console.api.assets import router as asset_files
from services.console.api.data import router as data
from services.console.api.intake import router as intake
from services.console.api.pages import router as pages
from services.console.api.stream import router as stream
from services.console.api.today import router as today

ROUTERS = [data, pages, intake, today, stream, asset_files]
