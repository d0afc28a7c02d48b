"""What a check found: how much it looked at, what is wrong, what is still on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

GRACE_S = 60.0
_MOST_EXAMPLES = 5


@dataclass(slots=True)
class Result:
    """The findings of one invariant; what is in flight becomes a violation after 60 seconds."""

    violations: int = 0
    checked: int = 0
    flying: int = 0
    oldest_s: float = 0.0
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def violate(self, example: str) -> None:
        """Count a violation and keep the first few as sentences."""
        self.violations += 1
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(example)

    def fly(self, what: str, *, age_s: float, many: int = 1) -> None:
        """Count something that is not through yet; too old, it is a violation."""
        self.flying += many
        self.oldest_s = max(self.oldest_s, age_s)
        if age_s > GRACE_S:
            self.violate(f"{what} for {age_s:.0f} s")

    def wire(self) -> dict[str, Any]:
        """Return the shape of `verify --json`."""
        return {
            "violations": self.violations,
            "checked": self.checked,
            "in_flight": {"count": self.flying, "oldest_s": round(self.oldest_s, 3)},
            "examples": self.examples,
        }
