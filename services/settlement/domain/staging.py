"""Stages by days past due (R21)."""

from __future__ import annotations

STAGE_2_AFTER_DAYS = 30
STAGE_3_AFTER_DAYS = 90


def stage(*, days_past_due: int, rebutted: bool = False) -> int:
    """Return the stage: more than 30 days past due is 2, more than 90 is 3; a documented rebuttal keeps it at 1."""
    if rebutted or days_past_due <= STAGE_2_AFTER_DAYS:
        return 1
    return 2 if days_past_due <= STAGE_3_AFTER_DAYS else 3


def first_mark(*, grace_days: int) -> int:
    """Return the days past due at which a delay is announced first: after grace."""
    return grace_days + 1


def overdue_marks(*, grace_days: int) -> tuple[int, ...]:
    """Return the days past due at which a loan is announced: the first after grace, then each new stage."""
    first = first_mark(grace_days=grace_days)
    marks = {first, STAGE_2_AFTER_DAYS + 1, STAGE_3_AFTER_DAYS + 1}
    return tuple(sorted(mark for mark in marks if mark >= first))
