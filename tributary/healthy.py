"""What a container asks of itself, whatever its role: that every service which answers on this port is ready.

`python -m tributary.healthy` imports little: it runs every few seconds beside the process that it asks.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

_WITHIN_S = 3.0
_READY, _NOT_HERE = 200, 404
_SERVICES = Path(__file__).resolve().parents[1] / "services"


def unready(*, port: int) -> list[str]:
    """Return what is not ready on a port of this machine: nothing, when all that answers there is."""
    names = sorted(each.parent.name for each in _SERVICES.glob("*/main.py"))
    try:
        answers = {name: _status(name, port=port) for name in names}
    except (OSError, HTTPException) as error:
        return [f"nothing answers on port {port} ({type(error).__name__})"]
    served = {name: status for name, status in answers.items() if status != _NOT_HERE}
    if not served:
        return [f"no service is on port {port}"]
    return [f"{name} answers {status}" for name, status in served.items() if status != _READY]


def _status(service: str, *, port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=_WITHIN_S)
    try:
        connection.request("GET", f"/{service}/v1/health/ready")
        return connection.getresponse().status
    finally:
        connection.close()


def main() -> int:
    """Say what is not ready; exit status 1 then."""
    problems = unready(port=int(os.environ.get("TRIBUTARY_PORT", "8000")))
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
