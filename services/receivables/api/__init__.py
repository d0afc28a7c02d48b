"""Receivables' routes: documents and what stands on them; debts between two firms; orders; goods; uploads."""

from __future__ import annotations

from services.receivables.api.batches import batches
from services.receivables.api.cancellations import cancellations
from services.receivables.api.credit_notes import credit_notes
from services.receivables.api.crosschecks import crosschecks
from services.receivables.api.goods import goods
from services.receivables.api.life import life
from services.receivables.api.obligations import obligations
from services.receivables.api.orders import orders
from services.receivables.api.register import register
from services.receivables.api.routes import router
from services.receivables.api.transfers import transfers
from services.receivables.api.uploads import uploads

router.include_router(batches)
router.include_router(cancellations)
router.include_router(credit_notes)
router.include_router(goods)
router.include_router(life)
router.include_router(obligations)
router.include_router(orders)
router.include_router(register)
router.include_router(crosschecks)
router.include_router(transfers)
router.include_router(uploads)

__all__ = ["router"]
