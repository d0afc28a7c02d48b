"""Who may hold which roles."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

BANK_ROLES = frozenset({"administrator", "bank_maker", "bank_checker", "risk_officer"})
PARTY_ROLES = frozenset({"anchor_maker", "anchor_checker", "sme", "erp"})


class InvalidRoles(ValueError):
    """Roles that do not go together: the bank's people speak for no enterprise, all others for one."""

    code: ClassVar[str] = "invalid_roles"

    def __init__(self, *, reason: str) -> None:
        """Keep the reason."""
        self.reason = reason
        super().__init__(reason)


def check_roles(*, roles: Collection[str], party: str | None) -> None:
    """Refuse unknown roles, maker and checker in one hand (R22), and a party that does not fit; InvalidRoles."""
    given = frozenset(roles)
    if not given or not given <= BANK_ROLES | PARTY_ROLES:
        raise InvalidRoles(reason="Name at least one role, each of the platform's.")
    if party is None and not given <= BANK_ROLES:
        raise InvalidRoles(reason="These roles speak for an enterprise: name the party.")
    if party is not None and not given <= PARTY_ROLES:
        raise InvalidRoles(reason="The bank's people speak for no enterprise.")
    for maker, checker in (("bank_maker", "bank_checker"), ("anchor_maker", "anchor_checker")):
        if {maker, checker} <= given:
            raise InvalidRoles(reason="Nobody is maker and checker at once.")
