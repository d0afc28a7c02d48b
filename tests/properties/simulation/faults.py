"""What goes wrong, by the seed: small faults at each occasion, large ones from time to time."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Rates:
    """How often the small faults happen, each time they could; nothing happens once the run heals."""

    random: Random = field(repr=False)
    connection: float = 0.0
    answer: float = 0.0
    ambiguous: float = 0.0
    late: float = 0.0
    on: bool = field(default=True, repr=False)

    @classmethod
    def drawn(cls, random: Random) -> Rates:
        """Return rates for one run: some runs have none of a kind, some many."""

        def rate(most: float) -> float:
            return random.choice((0.0, 0.0, most / 4, most))

        return cls(random, connection=rate(0.01), answer=rate(0.06), ambiguous=rate(0.15), late=rate(0.15))

    def connection_lost(self) -> bool:
        return self.on and self.random.random() < self.connection

    def answer_lost(self) -> bool:
        return self.on and self.random.random() < self.answer

    def send(self) -> str:
        if not self.on:
            return "acked"
        drawn = self.random.random()
        if drawn < self.ambiguous:
            return "lost before" if self.random.random() < 0.5 else "lost after"
        return "late" if drawn < self.ambiguous + self.late else "acked"
