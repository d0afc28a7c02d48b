"""What each identity may do on the cluster, and nothing more: derived from who publishes and who consumes what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from shared.events.topics import TOPICS, topics_of
from tributary.services import SERVICES

MIGRATE, OPERATOR = "migrate", "operator"
IDENTITIES = (*SERVICES, MIGRATE, OPERATOR)

Resource = Literal["topic", "group", "cluster"]
Operation = Literal["Read", "Write", "Create", "Describe"]
_COMMAND = 'kafka-acls.sh --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" --command-config admin.properties --add'


class UnknownIdentity(LookupError):
    """Nobody of this name has a place on the cluster."""

    code: ClassVar[str] = "unknown_identity"

    def __init__(self, *, identity: str) -> None:
        """Keep what was asked for."""
        self.identity = identity
        super().__init__(f"{identity} is none of the identities: {', '.join(IDENTITIES)}.")


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing an identity may do, from any host; Read and Write let it describe the thing as well."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]


def grants(identity: str) -> list[Grant]:
    """Return all that an identity may do: a service's worker, `migrate`, or an `operator` who looks; no more is needed.

    An API talks to no broker: it needs no user at all.
    """
    if identity == MIGRATE:
        return [Grant("topic", topic, ("Create", "Describe")) for topic in TOPICS]
    if identity == OPERATOR:
        return [Grant("topic", topic, ("Read",)) for topic in TOPICS]
    if identity not in SERVICES:
        raise UnknownIdentity(identity=identity)
    own, heard = topics_of(identity), consumed_by(identity)
    # The relay reads back what it sent last: a topic that was lost must be noticed by its publisher.
    found = [Grant("topic", topic, ("Read", "Write")) for topic in own]
    found += [Grant("topic", topic, ("Read",)) for topic in heard if topic not in own]
    return [*found, Grant("group", f"scf.{identity}", ("Read",))] if heard else found


def consumed_by(service: str) -> list[str]:
    """Return the topics that a service's inbox reads."""
    if service == "console":
        return list(TOPICS)
    name = f"services.{service}.consumers"
    return list(import_module(name).TOPICS) if find_spec(name) else []


def user(identity: str) -> str:
    """Return the user name that the documents and manifests give an identity."""
    return f"tributary-{identity}"


def principal(name: str) -> str:
    """Return what Kafka's access lists call a user."""
    return f"User:{name}"


def document(identities: Iterable[str]) -> dict[str, Any]:
    """Return what identities may do as one document."""
    return {
        "identities": {
            identity: {"user": user(identity), "grants": [asdict(grant) for grant in grants(identity)]}
            for identity in identities
        }
    }


def commands(identity: str) -> list[str]:
    """Return the commands of Kafka's own tools that give an identity what it may do."""
    alike: dict[tuple[Resource, tuple[Operation, ...]], list[str]] = defaultdict(list)
    for grant in grants(identity):
        alike[grant.resource, grant.operations].append(grant.name)
    return [
        " ".join([
            _COMMAND,
            f"--allow-principal {principal(user(identity))}",
            *(f"--operation {operation}" for operation in operations),
            *(f"--{resource} {name}" for name in names),
        ])
        for (resource, operations), names in alike.items()
    ]  # fmt: skip
