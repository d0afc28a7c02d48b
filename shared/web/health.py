"""Health: alive means the loop turns; ready means that the database answers and no job is down for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response

from shared.web.auth import public

Check = Callable[[], Awaitable[str | None]]


def health_router(checks: Mapping[str, Check]) -> APIRouter:
    """Build the routes `health/live` and `health/ready`; a check returns what is wrong, or None."""
    router = APIRouter(tags=["health"], dependencies=[public()])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/health/ready")
    async def ready(response: Response) -> dict[str, object]:
        problems = {}
        for name, check in checks.items():
            try:
                problem = await check()
            except Exception as error:  # noqa: BLE001 - a check that fails is the answer
                problem = type(error).__name__
            if problem:
                problems[name] = problem
        response.status_code = 503 if problems else 200
        return {"status": "unready" if problems else "ready", "problems": problems}

    return router
