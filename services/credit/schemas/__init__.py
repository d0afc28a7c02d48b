"""The HTTP shapes of credit."""

from __future__ import annotations

from services.credit.schemas.around import BlockIn, CashNeedsIn, CoverIn, CoverStepIn, FlowIn, PairLimitIn, ReasonIn
from services.credit.schemas.drawing import (
    DecisionIn,
    DrawIn,
    DrawItemHeldOut,
    DrawItemIn,
    DrawItemRefusedOut,
    HeldOut,
    QuoteIn,
)
from services.credit.schemas.supposing import WhatIfIn, WhatIfOfAllIn

__all__ = [
    "BlockIn",
    "CashNeedsIn",
    "CoverIn",
    "CoverStepIn",
    "DecisionIn",
    "DrawIn",
    "DrawItemHeldOut",
    "DrawItemIn",
    "DrawItemRefusedOut",
    "FlowIn",
    "HeldOut",
    "PairLimitIn",
    "QuoteIn",
    "ReasonIn",
    "WhatIfIn",
    "WhatIfOfAllIn",
]
