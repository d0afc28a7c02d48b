"""Which event settlement hears, and what it does then."""

from __future__ import annotations

from services.settlement.operations.instruct_loans import instruct_loans
from services.settlement.operations.projections import keep_drawdowns, keep_enterprises, keep_programmes
from services.settlement.operations.stop_loans import stop_loans
from shared.events.credit import DrawdownApproved, DrawdownCancellationRequested, DrawdownEvent, DrawdownHeld
from shared.events.onboarding import EnterpriseEvent, EnterpriseRegistered, ProgrammeActivated, ProgrammeEvent
from shared.messaging.applying import Handlers

TOPICS = [EnterpriseEvent.topic, ProgrammeEvent.topic, DrawdownEvent.topic]
HANDLERS: Handlers = {
    EnterpriseRegistered: keep_enterprises,
    ProgrammeActivated: keep_programmes,
    DrawdownHeld: keep_drawdowns,
    DrawdownApproved: instruct_loans,
    DrawdownCancellationRequested: stop_loans,
}
