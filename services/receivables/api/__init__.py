"""Receivables' routes: documents and what stands on them; what two firms say of a debt between them; orders."""

from __future__ import annotations

from services.receivables.api.obligations import obligations
from services.receivables.api.orders import orders
from services.receivables.api.routes import router

router.include_router(obligations)
router.include_router(orders)

__all__ = ["router"]
