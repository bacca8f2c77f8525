"""The chat page in a real browser: headless Chromium against a live server."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.openai_requests import Limits
from olmo2.inference.request import Request, Update
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.inference.live_server import serving

sync_api = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright")
expect = sync_api.expect
pytest.importorskip("fastapi", reason="the server needs the extra serve")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")

SCRIPT = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>\n```py\nprint('<i>')\n```\nend"


class Scripted(Engine):
    """An engine whose answers are written beforehand, a few characters a step."""

    text = "Hello, this is an answer."

    def step(self) -> list[Update]:
        """Replace the text of a real step."""
        updates = super().step()
        return [self.rewritten(update) for update in updates]

    def rewritten(self, update: Update) -> Update:
        self.places: dict[int, int] = getattr(self, "places", {})
        start = self.places.get(update.id, 0)
        self.places[update.id] = start + 4
        return Update(update.id, update.token_ids, self.text[start : start + 4], update.completion)

    def submit(self, request: Request) -> int:
        sampling = request.sampling.model_copy(
            update={"ignore_end": True, "max_new_tokens": min(request.sampling.max_new_tokens, -(-len(self.text) // 4))}
        )
        return super().submit(Request(request.prompt, sampling))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def engine(tiny_model: Transformer, tokenizer: Tokenizer) -> Scripted:
    return Scripted(tiny_model, tokenizer, EngineSettings(max_sequences=4))


@pytest.fixture
def address(engine: Scripted) -> Iterator[str]:
    with serving(engine, Limits(new_tokens=64)) as address:
        yield address


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1100, "height": 700})
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    outside: list[str] = []
    page.on(
        "request", lambda request: None if request.url.startswith((address, "data:")) else outside.append(request.url)
    )
    page.goto(address)
    page.fill("#max_tokens", "40")
    yield page
    # What the server refuses is in the browser's log, too, and no fault of the page.
    assert [each for each in wrong if not each.startswith("Failed to load resource")] == [] and outside == []
    context.close()


ENDED = re.compile(r"The answer (is complete|was cut at its limit)\.")


def ask(page: Any, text: str) -> None:
    page.fill("#input", text)
    page.press("#input", "Enter")
    expect(page.locator("#status")).to_have_text(ENDED, timeout=20_000)


def test_an_answer_streams_and_is_kept(page: Any, engine: Scripted) -> None:
    assert page.title() == "tiny"
    ask(page, "hi")
    answer = page.locator("li.assistant .content")
    assert answer.inner_text() == engine.text
    assert "tokens/s" in page.locator("li.assistant .speed").inner_text()
    page.reload()
    page.wait_for_selector("li.assistant")
    assert page.locator("li.assistant .content").inner_text() == engine.text
    assert page.locator("#list .open").inner_text() == "hi"


def test_what_a_model_writes_is_text(page: Any, engine: Scripted) -> None:
    engine.text = SCRIPT
    ask(page, "<b>me</b>")
    assert page.locator("li.assistant img, li.assistant b, li.user b").count() == 0
    assert "<b>bold</b>" in page.locator("li.assistant .content").inner_text()
    assert page.locator("li.assistant pre").inner_text() == "print('<i>')"
    assert page.title() == "tiny"


def test_stop_and_regenerate(page: Any, engine: Scripted) -> None:
    engine.text = "word " * 30
    step = engine.step

    def slower() -> list[Update]:
        time.sleep(0.2)
        return step()

    engine.step = slower  # type: ignore[method-assign]
    page.fill("#input", "go on")
    page.press("#input", "Enter")
    expect(page.locator("li.assistant .content")).to_have_text(re.compile("word w"), timeout=20_000)
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Stopped.", timeout=20_000)
    assert "stopped" in page.locator("li.assistant .speed").inner_text()
    for _ in range(100):
        if engine.is_idle:
            break
        time.sleep(0.05)
    assert engine.is_idle, "stopping frees the work"
    del engine.step
    engine.text = "Anew."
    page.click(".again")
    expect(page.locator("#status")).to_have_text(ENDED, timeout=20_000)
    assert page.locator("li.assistant").count() == 1
    assert page.locator("li.assistant .content").inner_text() == "Anew."


def test_settings_and_system_prompt_are_sent(page: Any, tokenizer: Tokenizer) -> None:
    page.fill("#system", "Be brief.")
    page.locator("#temperature").evaluate("e => { e.value = 0.3; e.dispatchEvent(new Event('input')); }")
    page.fill("#seed", "7")
    with page.expect_request("**/v1/chat/completions") as caught:
        ask(page, "hi")
    body = caught.value.post_data_json
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.3, 7, 40)


def test_several_conversations(page: Any) -> None:
    ask(page, "first")
    page.keyboard.press("Alt+n")
    assert page.locator("#messages .empty").count() == 1
    ask(page, "second")
    assert page.locator("#list .open").all_inner_texts() == ["second", "first"]
    page.locator("#list .open").nth(1).click()
    assert page.locator("li.user .content").inner_text() == "first"
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#list li button:not(.open)").nth(1).click()
    assert page.locator("#list .open").all_inner_texts() == ["second"]


def test_an_error_of_the_server_is_shown_and_the_next_message_works(page: Any, engine: Scripted) -> None:
    page.fill("#input", "long " * 200)
    page.press("#input", "Enter")
    expect(page.locator("#status")).to_contain_text("this server reads at most", timeout=20_000)
    assert page.input_value("#input").strip() == ("long " * 200).strip(), "it can be made shorter"
    assert page.locator("li.user, li.assistant").count() == 0, "and is no part of the conversation"
    ask(page, "short")
    assert page.locator("li.assistant .content").inner_text() == engine.text
    page.route("**/v1/chat/completions", lambda route: route.abort())
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("#status")).to_have_text("The server cannot be reached.", timeout=20_000)
    assert page.locator("li.assistant .content").inner_text() == engine.text, "the answer before is still there"


def test_on_a_telephone(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert not page.locator("#side").is_visible()
    page.click("#menu")
    assert page.locator("#side").is_visible() and page.get_attribute("#menu", "aria-expanded") == "true"
    page.keyboard.press("Escape")
    ask(page, "hi")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_everything_has_a_name_and_is_reached_by_keys(page: Any) -> None:
    ask(page, "hi")
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, input, textarea')]
            .filter(each => !each.getAttribute('aria-label') && !each.textContent.trim() && !each.labels?.length)
            .map(each => each.outerHTML)"""
    )
    assert unnamed == []
    assert page.get_attribute("#status", "aria-live") == "polite"
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"new", "open", "system", "temperature", "top_p", "max_tokens", "seed", "input", "send", "theme"} <= reached


def test_dark_and_light(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.click("#theme")
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light, "it is remembered"


def test_a_key_is_asked_for(browser: Any, engine: Scripted, tmp_path: Path) -> None:
    with serving(engine, api_key="secret") as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("dialog[open]")
        page.fill("#key-value", "wrong")
        page.press("#key-value", "Enter")
        expect(page.locator("#key-title")).to_have_text("That key was not accepted", timeout=20_000)
        page.fill("#key-value", "secret")
        page.press("#key-value", "Enter")
        expect(page).to_have_title("tiny", timeout=20_000)
        ask(page, "hi")
        page.close()
