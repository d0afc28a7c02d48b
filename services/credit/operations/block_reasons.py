"""The reasons for blocks in force on a date, read from dated policy files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from types import MappingProxyType

from services.credit.domain.blocks import BlockReasons
from shared.values.policies import policy_on, policy_versions


@lru_cache(maxsize=64)
def block_reasons(*, on: date) -> BlockReasons:
    """Return the reasons in force on a date; NoPolicy when there are none."""
    policy = policy_on("blocks", on=on)
    return BlockReasons(policy.version, MappingProxyType(policy.values["codes"]))


def reason_labels(*, version: str, reason: str) -> Mapping[str, str]:
    """Return what a reason was called by the version that a block was decided under; its code where that is gone."""
    for policy in policy_versions("blocks"):
        if policy.version == version and reason in policy.values["codes"]:
            labels: Mapping[str, str] = policy.values["codes"][reason]
            return labels
    return {"en": reason, "zh": reason}
