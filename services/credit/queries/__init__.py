"""What credit's API reads: lists and single things, and why a line can draw what it can."""

from __future__ import annotations

from services.credit.queries.blocks import blocks, blocks_named, reasons_in_force
from services.credit.queries.cash_needs import Named, cash_needs
from services.credit.queries.covers import cover, cover_of_firm, covers
from services.credit.queries.explaining import InstantToCome, explanation
from services.credit.queries.metering import pass_through
from services.credit.queries.pair_limits import pair_limits
from services.credit.queries.products import line_products, purposes
from services.credit.queries.reading import (
    UnknownProgramme,
    documents,
    drawdown,
    drawdowns,
    line,
    lines,
    nodes,
    programme,
    referrals,
)
from services.credit.queries.what_if_answer import WhatIfBusy, WhatIfTooSlow, Wish, what_if
from services.credit.queries.what_if_reading import Asked, WhatIfTooLarge

__all__ = [
    "Asked",
    "InstantToCome",
    "Named",
    "UnknownProgramme",
    "WhatIfBusy",
    "WhatIfTooLarge",
    "WhatIfTooSlow",
    "Wish",
    "blocks",
    "blocks_named",
    "cash_needs",
    "cover",
    "cover_of_firm",
    "covers",
    "documents",
    "drawdown",
    "drawdowns",
    "explanation",
    "line",
    "line_products",
    "lines",
    "nodes",
    "pair_limits",
    "pass_through",
    "programme",
    "purposes",
    "reasons_in_force",
    "referrals",
    "what_if",
]
