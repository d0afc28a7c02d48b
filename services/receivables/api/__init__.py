"""Receivables' routes: documents and what stands on them; what two firms say of a debt between them."""

from __future__ import annotations

from services.receivables.api.obligations import obligations
from services.receivables.api.routes import router

router.include_router(obligations)

__all__ = ["router"]
