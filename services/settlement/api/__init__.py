"""Settlement's routes: the book, loans and the ledger; netting."""

from __future__ import annotations

from services.settlement.api.netting import netting
from services.settlement.api.routes import router

router.include_router(netting)

__all__ = ["router"]
