"""The rare situations that the fault suite must really meet: a long run in which one never came about fails."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Situation:
    """What came about; `long` says that only the long run makes sure of it."""

    sentence: str
    long: bool = False


SITUATIONS = {
    "ambiguous send": Situation("a send failed and its record is in the topic all the same"),
    "copy skipped": Situation("a record came a second time and its copy had no effect"),
    "expired lease": Situation("a relay's lease ran out and another owner took its shards over"),
    "zombie mark refused": Situation("a relay that had lost its lease marked rows and none was marked"),
    "rebalance during commit": Situation(
        "partitions changed hands while a batch was applied and not yet committed", long=True
    ),
    "stale fetch dropped": Situation("records were fetched whose offset another member had moved meanwhile", long=True),
    "answer lost": Situation("a client's connection ended before the answer came"),
    "retried command": Situation("a command was sent again under its key and its first effect was answered"),
    "unanswered, no effect": Situation("a command that was never answered had left nothing behind", long=True),
    "unanswered, one effect": Situation("a command that was never answered had taken effect once", long=True),
    "restart under load": Situation("a process was started again while commands came in"),
    "refused at the limit": Situation("concurrent commands wanted more of a limit than there was"),
}
