"""The protocol's tables and receivables's own."""

from services.receivables.tables import GOODS_1, LIFE_1, ORDERS_1, RECEIVABLES_1, REGISTER_1
from shared.messaging.ddl import MESSAGING_1
from shared.storage.approvals import APPROVALS_1
from shared.storage.audit import AUDIT_1
from shared.storage.database import execute_all
from shared.storage.idempotency import IDEMPOTENCY_1

revision = "0001"
down_revision = None


def upgrade() -> None:
    execute_all(MESSAGING_1, IDEMPOTENCY_1, AUDIT_1, APPROVALS_1, RECEIVABLES_1, ORDERS_1, REGISTER_1, LIFE_1, GOODS_1)
