"""A headless Chromium, spoken to by its DevTools protocol: as much of it as the page's tests need."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding", "--remote-debugging-port=0",
)  # fmt: skip
START_SECONDS: Final = 20.0
ANSWER_SECONDS: Final = 60.0  # of one in the kernel's idle class, too
LOOK_SECONDS: Final = 0.05
SEEN_SECONDS: Final = 15.0


def found() -> str | None:
    """Where Chromium is, if it is there."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class PageError(AssertionError):
    """The page did what it must not, or not what was waited for."""


class Browser:
    """One process. ``async with Browser(folder) as browser``."""

    def __init__(self, folder: Path, *, before: tuple[str, ...] = ()) -> None:
        """``before``: the words of a command that runs it, for a priority of its own."""
        self._folder = folder
        self._before = before
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._base = ""

    async def __aenter__(self) -> Self:
        program = found()
        assert program is not None, "there is no Chromium: make page-pictures installs it"
        profile = self._folder / "profile"
        words = (*self._before, program, *FLAGS, f"--user-data-dir={profile}", "about:blank")
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = profile / "DevToolsActivePort"
        async with asyncio.timeout(START_SECONDS):
            while not told.exists() or not told.read_text().strip():
                await asyncio.sleep(LOOK_SECONDS)
        self._base = f"http://127.0.0.1:{told.read_text().split()[0]}"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @contextlib.asynccontextmanager
    async def page(self, *, width: int = 1600, height: int = 900, language: str = "en-GB") -> AsyncIterator[Page]:
        """A new tab; what it complains of in its console is an error at the end."""
        assert self._session is not None
        async with self._session.put(f"{self._base}/json/new?about:blank") as answer:
            told = await answer.json(content_type=None)
        async with self._session.ws_connect(told["webSocketDebuggerUrl"], max_msg_size=64 * 1024 * 1024) as socket:
            page = Page(socket)
            hearing = asyncio.create_task(page.hear())
            try:
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.send(f"{domain}.enable")
                agent = {"userAgent": "callgate tests", "acceptLanguage": language}
                await page.send("Network.setUserAgentOverride", **agent)
                await page.size(width, height)
                yield page
                assert not page.complaints, page.complaints
            finally:
                with contextlib.suppress(PageError, ConnectionError, TimeoutError):
                    await page.send("Page.close")
                hearing.cancel()


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self.on_event: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def hear(self) -> None:
        """Take answers and events until the tab is closed."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                future = self._waiting.pop(told["id"], None)
                if future is not None and not future.done():
                    future.set_result(told)
            else:
                self._take(told["method"], told["params"])

    def _take(self, event: str, facts: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            details = facts["exceptionDetails"]
            self.complaints.append(str(details.get("exception", {}).get("description") or details["text"]))
        elif event == "Runtime.consoleAPICalled" and facts["type"] in {"error", "warning", "assert"}:
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in facts["args"]))
        elif event == "Log.entryAdded" and facts["entry"]["level"] in {"error", "warning"}:
            entry = facts["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
        if event in self.on_event:
            self.on_event[event](facts)

    async def send(self, method: str, **words: Any) -> dict[str, Any]:
        """One command of the protocol, and its result. Raises PageError."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": words})
        async with asyncio.timeout(ANSWER_SECONDS):
            told = await self._waiting[number]
        if "error" in told:
            raise PageError(f"{method}: {told['error']}")
        return dict(told["result"])

    async def run(self, script: str) -> Any:
        """The value of an expression, or of a promise."""
        told = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            details = told["exceptionDetails"]
            raise PageError(str(details.get("exception", {}).get("description") or details["text"]))
        return told["result"].get("value")

    async def until(self, script: str, seconds: float = SEEN_SECONDS) -> Any:
        """Wait until an expression is true; its value."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    value = await self.run(script)
                    if value:
                        return value
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise PageError(f"not seen: {script}\n{self.complaints}\n{text[:3000]}") from None

    async def go(self, url: str) -> None:
        """Open an address."""
        await self.send("Page.navigate", url=url)  # one that differs in its # alone loads nothing
        await self.until("document.readyState === 'complete'")

    async def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """How large the window is."""
        is_phone = width < 600
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=is_phone
        )

    async def scheme(self, name: str, *, motion: str = "reduce") -> None:
        """Light or dark, as the system of the reader."""
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def click(self, script: str) -> None:
        """Click an element, as a mouse would: where it is seen."""
        await self.until(f"Boolean({script})")
        place = await self.run(
            f"(() => {{ const e = {script}; e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def type(self, text: str) -> None:
        """Write into what has the focus."""
        await self.send("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """A key: Enter, Tab, Escape, ArrowDown."""
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowDown": 40}
        more: dict[str, Any] = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **more
            )
            more = {}

    async def enter(self, url: str, token: str, place: str = "") -> None:
        """Open the page, give it a token, and wait until it is told what is."""
        await self.go(f"{url}/{place}")
        await self.until("Boolean(document.getElementById('token'))")
        await self.click("document.getElementById('token')")
        await self.type(token)
        await self.press("Enter")
        await self.until("Boolean(document.querySelector('.gate:not(.unknown)'))")

    async def picture(self) -> bytes:
        """A PNG of what is seen."""
        told = await self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(told["data"])
