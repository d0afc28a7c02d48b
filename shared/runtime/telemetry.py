"""Structured logs, ours and the libraries': without secrets, each line with the trace it belongs to."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from shared.runtime.tracing import span_id, trace_id

_SECRET = re.compile(r"secret|token|password|authorization|cookie", re.IGNORECASE)


class _Stderr:
    """Whatever is stderr when something is said: who replaced it may have closed it since."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


_STDERR = cast("TextIO", _Stderr())
_LIBRARIES = logging.StreamHandler(_STDERR)


def configure_logging(*, level: str = "INFO") -> None:
    """Send structured logs, ours and the libraries', to stderr; keys that name secrets are masked."""
    said: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        _mask,
        # Locals may hold a token or an account: never in a log.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=20)),
    ]
    structlog.configure(
        processors=[*said, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(_STDERR),
        cache_logger_on_first_use=True,
    )
    _LIBRARIES.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *said],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.addHandler(_LIBRARIES)
    root.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # The broker being away is reported once by the relay and the inbox, not a thousand times by the client.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _add_trace(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if trace := trace_id():
        entry["trace_id"] = trace
        if span := span_id():
            entry["span_id"] = span
    return entry


def _mask(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: "***" if _SECRET.search(key) else value for key, value in entry.items()}
