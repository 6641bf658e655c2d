"""Two datasets with pages about them, and a browser that looks."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import audio, bad_clip, moving, tone, video
from pictures import bad_images, digit, encoded, photos

from tests.spark import Folder, documents

TEXTS = """
datasets:
  notes:
    source: data
    gates: [same, short, twins, secrets, long]
    splits: {train: 0.8, test: 0.2}
    version: {use: snapshot, with: {tag: "1.0"}}
    card: {license: cc-by-4.0, title: "Notes <b>& more</b>"}
gates:
  same: {use: exact_duplicates}
  short: {use: limits, with: {min_words: 5}}
  twins: {use: near_duplicates, with: {threshold: 0.7}}
  secrets: {use: pii, with: {action: redact}}
  long: {use: limits, with: {max_characters: 3000, action: flag}}
"""
MEDIA = """
datasets:
  album:
    source: {use: files, with: {path: data, label: parent}}
    gates: [twins, size]
    splits: {train: 0.8, test: 0.2}
gates:
  twins: {use: near_duplicates, with: {method: phash, threshold: 0.9}}
  size: {use: limits, with: {min_width: 24}}
"""
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \u202egnp.exe &amp;"


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("texts"))
    folder.sparkfile(TEXTS)
    documents(folder, 40)
    for n in range(4):
        folder.write(f"data/copies/c{n}.md", "The same words stand in each of these files, to the letter.")
        folder.write(f"data/short{n}.md", f"Few words {n}")
    text = (folder.path / "data/doc0003.md").read_text()
    folder.write("data/nearly.md", f"{text}One sentence more.")
    folder.write(
        "data/mail.md", "Write to ada.lovelace@example.org, who answers within the week, about engines."
    )
    folder.write("data/long.md", "A long line that says nothing new about its number. " * 80)
    folder.write(
        "data/<img src=x onerror=alert(1)>.md", f"Seven words that come before it: {HOSTILE} {HOSTILE}"
    )
    folder.write("data/binary.md", b"\x00\x01\x02" * 50)
    folder.spark("build")
    return folder


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("media"))
    folder.sparkfile(MEDIA)
    folder.write("data/photos/photo.jpg", encoded(photos()[0], "JPEG"))
    folder.write("data/photos/again.jpg", encoded(photos()[0].resize((320, 213)), "JPEG", quality=50))
    for n in range(6):
        folder.write(f"data/digits/d{n}.png", digit(n, 32 if n else 16))
    folder.write("data/sounds/tone.wav", audio(tone(1)))
    folder.write("data/clips/clip.mp4", video(moving(12)))
    folder.write("data/notes/a.md", "A text beside them.")
    folder.write("data/bad/no-moov.mp4", bad_clip("no-moov.mp4"))
    folder.write("data/bad/bomb.png", bad_images()["bomb.png"][0])
    folder.spark("build")
    return folder


@pytest.fixture(scope="session")
def told() -> Callable[..., dict[str, Any]]:
    """What `spark report --json` says; the page lies at its `path` then."""

    def report(folder: Folder, target: str, *words: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(folder.spark("report", target, "--json", *words).out)
        return facts

    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH (`apt-get install chromium`; .ci/run does)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """A page in the browser; what went wrong in it, and all that it asked for, is in its `.heard`."""
    contexts: list[Any] = []

    def open_page(file: Path, *, width: int = 1200, dark: bool = False) -> Any:
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.heard = []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("dialog", lambda dialog: (page.heard.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda asked: page.heard.append(asked.url) if not asked.url.startswith("data:") else None,
        )
        page.goto(file.as_uri())
        page.heard.remove(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
