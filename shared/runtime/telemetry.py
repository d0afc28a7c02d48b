"""Logs without secrets, metrics, and the trace that a request carries into its events."""

from __future__ import annotations

import logging
import re
import secrets
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_SECRET = re.compile(r"secret|token|password|authorization|cookie", re.IGNORECASE)
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


class _Stderr:
    """Whatever is stderr when something is said: who replaced it may have closed it since."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


_STDERR = cast("TextIO", _Stderr())


def configure_logging(*, level: str = "INFO") -> None:
    """Send structured logs, ours and the libraries', to stderr; keys that name secrets are masked."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            # Locals may hold a token or an account: never in a log.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=20)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(_STDERR),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=_STDERR, format="%(levelname)s %(name)s %(message)s")
    # The broker being away is reported once by the relay and the inbox, not a thousand times by the client.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def new_traceparent() -> str:
    """Return a new W3C trace context."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def enter_trace(incoming: str | None) -> str:
    """Continue the incoming trace, or begin one, for the current task; return its traceparent."""
    known = incoming if incoming and _TRACEPARENT.fullmatch(incoming) else None
    traceparent = known or new_traceparent()
    _current.set(traceparent)
    return traceparent


def current_traceparent() -> str | None:
    """Return the trace of the current task, if it has one."""
    return _current.get()


def trace_id() -> str:
    """Return the trace id of the current task, or an empty string."""
    traceparent = _current.get()
    return traceparent.split("-")[1] if traceparent else ""


def _mask(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: "***" if _SECRET.search(key) else value for key, value in entry.items()}
