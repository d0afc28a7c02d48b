"""The envelope: CloudEvents 1.0 in Kafka's binary mode, one JSON body per event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

MAX_BODY_BYTES = 900_000
_LAST_SEQUENCE = 2**63 - 1  # of a bigint
EVENT_TYPES: dict[str, type[Event]] = {}


class Event(BaseModel):
    """A fact in the past tense. Its subject is its aggregate, record key, sequence and parking unit at once."""

    # Within a version only additions happen, so an older reader ignores what it does not know.
    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    topic: ClassVar[str]

    @property
    def subject(self) -> str:
        raise NotImplementedError

    @property
    def channel(self) -> str:
        """Return the topic that this very event goes to."""
        return self.topic

    @classmethod
    def topics(cls) -> tuple[str, ...]:
        """Return where events of this type are published: one topic, but for what every service says."""
        return (cls.topic,)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Register each concrete event by its type; two events of one type are a programming error."""
        super().__pydantic_init_subclass__(**kwargs)
        if "type" not in cls.__dict__:
            return
        known = EVENT_TYPES.setdefault(cls.type, cls)
        if known is not cls and known.__qualname__ != cls.__qualname__:
            message = f"{cls.type} is already {known.__qualname__}"
            raise TypeError(message)


@dataclass(frozen=True, slots=True)
class Received:
    """One event as a consumer sees it; `event` is None when this release does not know the type."""

    id: str
    type: str
    topic: str
    subject: str
    sequence: int
    time: datetime
    source: str
    traceparent: str | None
    event: Event | None


@dataclass(frozen=True, slots=True)
class Sent:
    """One outbox row as it goes on the wire."""

    id: str
    type: str
    source: str
    subject: str
    sequence: int
    time: datetime
    traceparent: str | None

    @classmethod
    def of(cls, row: Any) -> Sent:
        """Return an outbox row as it goes on the wire."""
        return cls(
            row["id"],
            row["type"],
            row["source"],
            row["subject"],
            row["sequence"],
            row["time"],
            row["traceparent"],
        )

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the CloudEvents headers of binary mode; no personal data may be among them."""
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_type", self.type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_subject", self.subject.encode()),
            ("ce_time", self.time.isoformat().replace("+00:00", "Z").encode()),
            ("ce_sequence", str(self.sequence).encode()),
            ("content-type", b"application/json"),
        ]
        if self.traceparent:
            headers.append(("traceparent", self.traceparent.encode()))
        return headers


class MalformedRecord(ValueError):
    """A record without the headers or the body that the envelope asks for."""

    code: ClassVar[str] = "malformed_record"


def read_record(*, topic: str, headers: Sequence[tuple[str, bytes]], body: bytes) -> Received:
    """Return the event a record carries; MalformedRecord when headers or a known type's body are not as agreed."""
    try:
        found = dict(headers)
        model = EVENT_TYPES.get(found["ce_type"].decode())
        return _received(topic, found, model.model_validate_json(body) if model else None)
    except (KeyError, ValueError, AttributeError) as error:
        raise _not_ours(error) from error


def read_envelope(*, topic: str, headers: Sequence[tuple[str, bytes]]) -> Received:
    """Return what a record's headers say of its event, whatever its body is; MalformedRecord when they do not."""
    try:
        return _received(topic, dict(headers), None)
    except (KeyError, ValueError, AttributeError) as error:
        raise _not_ours(error) from error


def _received(topic: str, headers: Mapping[str, bytes], event: Event | None) -> Received:
    traceparent = headers.get("traceparent")
    received = Received(
        id=headers["ce_id"].decode(),
        type=headers["ce_type"].decode(),
        topic=topic,
        subject=headers["ce_subject"].decode(),
        sequence=int(headers["ce_sequence"]),
        time=datetime.fromisoformat(headers["ce_time"].decode()),
        source=headers["ce_source"].decode(),
        traceparent=traceparent.decode() if traceparent else None,
        event=event,
    )
    texts = (received.id, received.type, received.subject)
    if not all(texts) or not "".join(texts).isprintable() or not 1 <= received.sequence <= _LAST_SEQUENCE:
        message = "what no outbox could have written"
        raise ValueError(message)
    return received


def _not_ours(error: Exception) -> MalformedRecord:
    return MalformedRecord(f"not an event of ours: {type(error).__name__}")
