"""Credit's routes: the hot ones first, which stand apart, then FastAPI's."""

from __future__ import annotations

from services.credit.api.hot import HOT_ROUTES, TooManyItems, document_hot_routes
from services.credit.api.routes import router

__all__ = ["HOT_ROUTES", "TooManyItems", "document_hot_routes", "router"]
