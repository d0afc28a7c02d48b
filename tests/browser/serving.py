"""Services on one origin, each on a database of its own, and a Chromium to read their pages in."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from shared.web.serving import Composite, listen, serve
from tests.support.service import Bench

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@asynccontextmanager
async def served(benches: Mapping[str, Bench]) -> AsyncIterator[tuple[str, Browser]]:
    """Serve services on one origin, console among them; yield it and a browser."""
    apps = {name: each.app for name, each in benches.items()}
    stop, ready, listener = asyncio.Event(), asyncio.Event(), listen(host="127.0.0.1", port=0)
    app = Composite(apps, fallback=apps["console"])
    serving = asyncio.create_task(serve(app, listener=listener, stop=stop, ready=ready))
    await ready.wait()
    async with async_playwright() as playwright:
        # In a container the tests may run as root, where Chromium's own sandbox refuses to start.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", browser
        await browser.close()
    stop.set()
    await serving
    listener.close()
