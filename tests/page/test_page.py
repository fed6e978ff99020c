"""The live page in a real Chromium, before a real gateway, ledger and AMI socket; only the phones are played."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from gateway.core.access import Keyring, Role
from tests.unit.core import build

from .scene import TOKENS

if TYPE_CHECKING:
    from .browser import Browser, Page
    from .scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ, OPERATE = TOKENS[Role.READ], TOKENS[Role.OPERATE]
ROW = "[...document.querySelectorAll('.calls tbody tr')].find((row) => row.innerText.includes('{text}'))"
SERIOUS = {"serious", "critical"}


def row(text: str) -> str:
    """The script of a live call's row that has that text."""
    return ROW.replace("{text}", text)


async def test_a_call_appears_ticks_is_cut_and_its_next_is_refused(browser: Browser, scene: Scene) -> None:
    """What the page is for: from the ring to the end of the money, and who is refused after it."""
    await scene.top_up("hooli", 0.30, "cut")  # some seconds of talk
    async with browser.page() as page:
        await page.enter(scene.url, READ)
        assert await page.run("document.getElementById('gate-word').innerText") == "Gating"
        scene.dial("hooli", "18005550001", talk_seconds=60)
        await page.until(f"{row('+18005550001')}?.innerText.includes('talking')")
        talked = f"{row('+18005550001')}.querySelectorAll('td')[4].innerText"
        first = await page.until(talked)
        await page.until(f"{talked} !== '{first}'")
        await page.until(f"{row('+18005550001')}?.innerText.includes('last quota')")
        await page.until(f"!{row('+18005550001')}")
        scene.dial("hooli", "18005550002")
        await page.until("document.querySelector('.refusals')?.innerText.includes('No credit')")
        assert "+18005550002" in await page.run("document.querySelector('.refusals li').innerText")
        await page.until("document.getElementById('said').innerText.includes('1 call refused: No credit')")
        assert re.search(
            r"demo 0 calls .* events within \d+ ms", await page.run("document.querySelector('.health').innerText")
        )


async def test_an_operator_cuts_a_call_when_it_has_confirmed(browser: Browser, scene: Scene) -> None:
    """The dialog names the call; leaving it changes nothing; the API's audit log has what was done."""
    await scene.top_up("acme", 5, "operate")
    call = scene.dial("acme", "18005550003")
    async with browser.page() as page:
        await page.enter(scene.url, OPERATE)
        button = f"{row('+18005550003')}?.querySelector('button')"
        await page.click(button)
        about = await page.until("document.querySelector('dialog[open]')?.innerText")
        assert "+18005550003" in about
        await page.press("Escape")
        await page.until("!document.querySelector('dialog')")
        assert not call.outcome.done()
        await page.click(button)
        await page.click("document.querySelector('dialog .danger')")
        await page.until(f"!{row('+18005550003')}")
        assert call.outcome.done()
    audit = scene.gateway.settings.api.audit_file.read_text().splitlines()
    assert json.loads(audit[-1]) | {"operation": "cut_call", "token": "demo-operate"} == json.loads(audit[-1])


async def test_a_tenant_is_quarantined_and_let_go(browser: Browser, scene: Scene) -> None:
    """From its page, with a reason; it shows at once what is in force."""
    await scene.top_up("maple", 5, "quarantine")
    async with browser.page() as page:
        await page.enter(scene.url, OPERATE, "#/tenant/maple")
        await page.click("document.querySelector('.head .danger')")
        await page.until("Boolean(document.querySelector('dialog[open]'))")
        await page.type("dials all night")
        await page.press("Enter")
        await page.until("document.querySelector('.head').innerText.includes('quarantined')")
        scene.dial("maple", "18885550004")
        await page.until("document.querySelector('.refused').textContent.includes('Quarantined')")
        await page.go(f"{scene.url}/#/tenants")
        await page.go(f"{scene.url}/#/tenant/maple")
        await page.until(
            "Boolean(document.querySelector('.plot') && document.querySelector('.journal tbody tr'))"
        )  # it rests
        await page.click("document.querySelector('.restrictions button')")
        await page.click("document.querySelector('dialog .primary')")
        await page.until("document.querySelector('.restrictions').textContent.includes('Nothing is restricted')")


async def test_a_reader_can_change_nothing(browser: Browser, scene: Scene) -> None:
    """There is no button for what its token may not do."""
    await scene.top_up("globex", 5, "read")
    call = scene.dial("globex", "08081570005")
    async with browser.page() as page:
        await page.enter(scene.url, READ)
        await page.until(f"Boolean({row('+448081570005')})")
        assert not await page.run("document.querySelectorAll('td button').length")
        await page.go(f"{scene.url}/#/tenant/globex")
        await page.until("document.querySelector('h1')?.innerText === 'globex'")
        assert not await page.run("document.querySelectorAll('.danger').length")
    scene.switch.hang_up(call)


async def test_a_calls_story_is_told_in_words(browser: Browser, scene: Scene) -> None:
    """Asked, allowed, answered, extended, settled; while it lives, what comes next."""
    await scene.top_up("werkstatt", 5, "story")
    call = scene.dial("werkstatt", "08005550006")
    async with browser.page() as page:
        await page.enter(scene.url, READ)
        await page.click(f"{row('+498005550006')}?.querySelector('a')")
        await page.until("document.querySelector('.story')?.innerText.includes('Extended')")
        told = await page.run("document.querySelector('.story').innerText")
        assert re.search(
            r"A phone asks[\s\S]*Allowed[\s\S]*Answered[\s\S]*Extended[\s\S]*Next: more is asked for", told
        )
        scene.switch.hang_up(call)
        await page.until("document.querySelector('.story').innerText.includes('Settled')")
        assert "nothing is held any more" in await page.run("document.querySelector('.story').innerText")


async def test_hostile_text_is_shown_as_text(browser: Browser, scene: Scene) -> None:
    """Numbers and names that are markup make no element, and no script runs."""
    hostile = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
    async with browser.page() as page:
        await page.enter(scene.url, READ)
        ask = build.ask(number=hostile, cli=hostile, uniqueid="9.9")
        scene.gateway.live.refused(ask, hostile, "outback", hostile)
        await page.until("document.querySelector('.refusals').innerText.includes('<script>')")
        assert await page.run("document.querySelectorAll('main img, main script').length + (window.hit ?? 0)") == 0
        # Nor can an ID that turns its line round, or breaks it, make the row say another number.
        ask = build.ask(number="100", cli="\u202e991\u2069\u200b\n", uniqueid="9.8")
        scene.gateway.live.refused(ask, "bad_number", "outback", "")
        seen = "\ufffd991" + 3 * "\ufffd"
        await page.until(f"document.querySelector('.refusals').innerText.includes('{seen} → 100')")
        await page.go(f"{scene.url}/#/tenant/outback")
        await page.until("document.querySelector('.refused')?.textContent.includes('<script>')")
        blocked = "(() => { try { document.body.innerHTML = '<b>x</b>'; } catch { return 'refused'; } })()"
        assert await page.run(blocked) == "refused"
        page.complaints = [one for one in page.complaints if "TrustedHTML" not in one]  # that was the question


async def test_the_focus_stays_with_its_call(browser: Browser, scene: Scene) -> None:
    """Rows move under who uses the keyboard: what is pressed is meant for the call that was chosen, or for none."""
    await scene.top_up("boulangerie", 50, "focus")
    others = [scene.dial("boulangerie", "0805980009")]
    await asyncio.sleep(0.1)
    chosen = scene.dial("boulangerie", "0805980001")
    focused = "document.activeElement.closest('tr')?.innerText.includes('+33805980001')"
    place = "Number(document.activeElement.closest('tr')?.getAttribute('aria-rowindex'))"
    async with browser.page() as page:
        await page.enter(scene.url, OPERATE)
        await page.until(f"Boolean({row('+33805980001')}?.querySelector('button'))")
        await page.run(f"{row('+33805980001')}.querySelector('button').focus()")
        first = await page.run(place)
        others += [scene.dial("boulangerie", f"080598001{number}") for number in range(3)]
        await page.until(f"{place} > {first}")
        assert await page.run(f"Boolean({focused}) && document.activeElement.tagName === 'BUTTON'")
        await page.press("Enter")
        await page.until("document.querySelector('dialog[open]')?.innerText.includes('+33805980001')")
        await page.press("Tab")
        await page.press("Enter")
        await page.until(f"!{row('+33805980001')}")
        assert chosen.outcome.done()
        await page.until("!document.querySelector('dialog')")
        assert not await page.run("Boolean(document.activeElement.closest('tr'))")  # not at another call's button
    for call in others:
        scene.switch.hang_up(call)


@pytest.mark.full
async def test_a_token_that_is_taken_away_ends_the_page(browser: Browser, scene: Scene) -> None:
    """While somebody looks on: nothing of what it was shown stays, and it is asked for another one."""
    api = scene.gateway.api
    assert api is not None
    await scene.top_up("maple", 5, "revoked")
    async with browser.page() as page:
        await page.enter(scene.url, READ)
        settings = scene.gateway.settings
        scene.gateway.settings = replace(settings, api=replace(settings.api, keyring=Keyring([])))
        try:
            await page.until("document.querySelector('.problem')?.innerText === 'This is no valid token.'")
            assert await page.run("sessionStorage.length") == 0
            assert "maple" not in await page.run("document.documentElement.outerHTML")
            assert await page.run("document.getElementById('gate-word').innerText") == "Unknown"
        finally:
            scene.gateway.settings = settings
        page.complaints = [one for one in page.complaints if "401" not in one]  # the browser tells of each


async def test_a_wrong_token_is_told_so(browser: Browser, scene: Scene) -> None:
    """And it is not kept."""
    async with browser.page() as page:
        await page.go(scene.url + "/")
        await page.click("document.getElementById('token')")
        await page.type("cg_wrong")
        await page.press("Enter")
        await page.until("document.querySelector('.problem')?.innerText === 'This is no valid token.'")
        assert await page.run("sessionStorage.length") == 0
        page.complaints = [one for one in page.complaints if "401" not in one]  # the browser tells of each


async def test_what_is_not_heard_is_not_called_gating(browser: Browser, scene: Scene) -> None:
    """A page that lost its stream says so, and comes back by itself; a lost switch is told, too."""
    api = scene.gateway.api
    assert api is not None
    async with browser.page() as page:
        await page.enter(scene.url, READ)
        api._wanted_port = int(api.url.rpartition(":")[2])
        await api.stop()
        await page.until("document.getElementById('gate-word').innerText === 'Unknown'")
        assert "as of" in await page.run("document.querySelector('.link').innerText")
        await api.start()
        await page.until("document.getElementById('gate-word').innerText === 'Gating'")
        scene.switch.go_silent()
        scene.switch.drop_connections()
        await page.until("document.getElementById('gate-word').innerText === 'Not gating'")
        scene.switch.go_silent(is_silent=False)
        scene.switch.drop_connections()
        await page.until("document.getElementById('gate-word').innerText === 'Gating'")
        page.complaints = [one for one in page.complaints if "net::ERR" not in one]  # the browser tells of each


async def test_french_by_the_browsers_language_and_by_choice(browser: Browser, scene: Scene) -> None:
    """The choice is kept; the language of the page is told to who listens to it."""
    async with browser.page(language="fr-CH") as page:
        await page.enter(scene.url, READ)
        assert await page.run("document.getElementById('gate-word').innerText") == "En garde"
        assert await page.run("document.documentElement.lang") == "fr"
        await page.run(
            "(() => { const s = document.querySelector('select'); s.value = 'en';"
            " s.dispatchEvent(new Event('change')); })()"
        )
        await page.until("document.getElementById('gate-word').innerText === 'Gating'")
        await page.run("localStorage.clear()")


async def test_it_is_used_by_keyboard(browser: Browser, scene: Scene) -> None:
    """The first Tab skips to the content; what has the focus is seen; a table is scrolled by keys."""
    async with browser.page() as page:
        await page.enter(scene.url, READ)
        await page.send("Page.reload")
        await page.until("Boolean(document.querySelector('.gate.ok'))")
        await page.press("Tab")
        assert await page.run("document.activeElement.className") == "skip"
        await page.press("Enter")
        assert await page.run("document.activeElement.id") == "main"
        assert await page.run("location.hash") == ""
        seen = []
        for _ in range(12):
            await page.press("Tab")
            if await page.run("document.activeElement === document.body"):
                break  # all of it
            seen.append(await page.run("getComputedStyle(document.activeElement).outlineStyle"))
        assert len(seen) >= 5  # the search, each panel's region, a tenant
        assert set(seen) == {"solid"}


async def test_a_long_table_is_one_stop_of_the_keyboard(browser: Browser, scene: Scene) -> None:
    """Tab goes through one row of it and on to the next panel; the arrows go from row to row."""
    await scene.top_up("hooli", 50, "tab")
    calls = [scene.dial("hooli", f"180055501{number:02}") for number in range(8)]
    rows = "document.querySelectorAll('.calls tbody tr:not(.gap)').length"
    line = "Number(document.activeElement.closest('tr')?.getAttribute('aria-rowindex'))"
    async with browser.page() as page:
        await page.enter(scene.url, OPERATE)
        await page.until(f"{rows} >= 8")
        await page.run("document.querySelector('.calls thead th:nth-child(7) button').focus()")
        for _ in range(3):  # number, tenant, cut
            await page.press("Tab")
            assert await page.run("Boolean(document.activeElement.closest('.calls tbody'))")
        first = await page.run(line)
        await page.press("ArrowDown")
        await page.press("ArrowDown")
        assert await page.run(line) == first + 2
        assert await page.run("document.activeElement.innerText") == "Cut"
        await page.press("Tab")
        assert not await page.run("Boolean(document.activeElement.closest('.calls'))")
    for call in calls:
        scene.switch.hang_up(call)


async def test_a_phone_shows_it_without_sideways_scrolling(browser: Browser, scene: Scene) -> None:
    """Each page is as wide as the window."""
    async with browser.page() as page:
        await page.enter(scene.url, OPERATE)
        await page.size(375, 740)
        for place in ("#/", "#/tenants", "#/tenant/acme"):
            await page.go(f"{scene.url}/{place}")
            await page.until("Boolean(document.querySelector('main .panel'))")
            await asyncio.sleep(0.3)
            assert await page.run("document.documentElement.scrollWidth") <= 375, place


async def axe(page: Page, where: str) -> None:
    """No serious finding."""
    source = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    await page.send("Runtime.evaluate", expression=source)
    told = await page.run("axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)")
    grave = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in told if one["impact"] in SERIOUS]
    assert not grave, (where, grave)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.full)])
async def test_axe_finds_nothing_serious(browser: Browser, scene: Scene, scheme: str) -> None:
    """On each page, in a dialog, and before the token is given."""
    await scene.top_up("acme", 5, f"axe-{scheme}")
    call = scene.dial("acme", "18005550007")
    async with browser.page() as page:
        await page.scheme(scheme)
        await page.go(scene.url + "/")
        await page.until("Boolean(document.getElementById('token'))")
        await axe(page, "login")
        await page.enter(scene.url, OPERATE)
        await page.until(f"Boolean({row('+18005550007')})")
        await axe(page, "overview")
        await page.click(f"{row('+18005550007')}.querySelector('button')")
        await page.until("Boolean(document.querySelector('dialog[open]'))")
        await axe(page, "dialog")
        await page.press("Escape")
        place = await page.run(f"{row('+18005550007')}.querySelector('a').hash")
        for where, sign in ((place, ".story li"), ("#/tenant/acme", ".journal tbody tr"), ("#/tenants", "tbody tr")):
            await page.go(f"{scene.url}/{where}")
            await page.until(f"Boolean(document.querySelector('{sign}'))")
            await axe(page, where)
    scene.switch.hang_up(call)


@pytest.mark.full
async def test_the_demo_can_be_looked_at_at_once(browser: Browser) -> None:
    """``callgate demo`` prints an address and a token with which the page shows its calls, and no complaint."""
    words = ("-u", "-c", "from gateway.cli import main; main()", "demo", "--for", "12")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    told = ""
    async with asyncio.timeout(30):
        while "The live page" not in told:
            told = (await process.stdout.readline()).decode()
    found = re.search(r"(http://127\.0\.0\.1:\d+)/ with the token (cg_\S+)", told)
    assert found, told
    async with browser.page() as page:
        await page.enter(found[1], found[2])
        await page.until("document.querySelectorAll('.calls tbody tr:not(.gap)').length > 2")
        assert found[2] not in await page.run("location.href")
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert "The books hold" in out.decode()
