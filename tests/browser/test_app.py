"""The page of ``vidfold app`` in a browser."""

import re
import socket

import pytest

from vidfold.app.loading import load
from vidfold.live.page import serve
from vidfold.tiny import questions, render
from vidfold.video import write

GRADIOS_OWN = {"Method not implemented."}
"""What Gradio's script says whenever a video is dropped."""
SEEDS = (1_000_000_045, 1_000_000_002)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def address():
    port = free_port()
    page = serve(load(device="cpu"), port=port, blocks=False)
    yield f"http://127.0.0.1:{port}"
    page.close()


def draw(page, seed: int) -> None:
    field = page.get_by_label("or the one of this seed")
    field.fill(str(seed))
    field.press("Enter")
    page.locator("video").wait_for()


def ask(page) -> list[str]:
    """Ask what stands in the field; both cards."""
    before = page.locator(".reply").all_inner_texts()
    page.get_by_role("button", name="Ask", exact=True).click()
    told = "Array.from(document.querySelectorAll('.reply'), each => each.innerText)"
    page.wait_for_function(f"before => {{ const now = {told}; return now[1] && now[1] !== before[1]; }}", arg=before)
    return page.locator(".reply").all_inner_texts()


def test_a_drawn_clip_is_asked_about(visit, address):
    page = visit(address).page
    draw(page, SEEDS[0])
    first, *_, last = (each for each in questions(render(SEEDS[0], 16)) if each.kind == "scene")
    unfolded, folded = ask(page)
    assert first.answer in unfolded
    assert first.answer in folded
    assert "576 of 576 tokens" in unfolded
    assert "58 of 576 tokens (10.1 %)" in folded
    assert "read in" in folded
    page.get_by_label("Question").fill(last.text)
    page.keyboard.press("Enter")
    unfolded, folded = ask(page)
    assert "the video had been read before" in unfolded
    assert "the video had been read before" in folded
    assert last.answer in unfolded
    report = page.frame_locator("iframe[title=vidfold]")
    report.locator(".strip").wait_for()
    assert report.locator(".told b").inner_text() == "58"
    assert report.locator("#question").inner_text() == last.text


def test_any_clip_is_drawn(visit, address):
    page = visit(address).page
    page.get_by_role("button", name="Draw a clip").click()
    page.locator("video").wait_for()
    seed = int(page.get_by_label("or the one of this seed").input_value())
    assert page.get_by_label("Question").input_value() == questions(render(seed, 16))[0].text
    unfolded, _ = ask(page)
    assert "576 of 576 tokens" in unfolded


def test_two_sessions_at_once(visit, address):
    pages = [visit(address).page for _ in SEEDS]
    for page, seed in zip(pages, SEEDS, strict=True):
        draw(page, seed)
    for page in pages:
        page.get_by_role("button", name="Ask", exact=True).click()
    for page, seed in zip(pages, SEEDS, strict=True):
        page.locator(".reply").nth(1).wait_for()
        assert questions(render(seed, 16))[0].answer in page.locator(".reply").first.inner_text()


def drop(visited, path) -> None:
    visited.page.locator("input[type=file]").first.set_input_files(path)
    visited.page.locator("video").wait_for(state="attached")


def test_a_file_is_dropped(visit, address, tmp_path):
    clip = render(SEEDS[1], 8)
    write(tmp_path / "clip.mp4", clip.frames, fps=2, scale=2, hold=12)
    visited = visit(address)
    drop(visited, tmp_path / "clip.mp4")
    question = questions(clip)[0]
    visited.page.get_by_label("Question").fill(question.text)
    visited.page.keyboard.press("Enter")
    unfolded, _ = ask(visited.page)
    assert question.answer in unfolded
    assert set(visited.errors) <= GRADIOS_OWN
    visited.errors.clear()


def test_a_broken_file_and_no_file(visit, address, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 1000)
    visited = visit(address)
    visited.page.get_by_role("button", name="Ask", exact=True).click()
    visited.page.get_by_text("drop a clip or draw one first").wait_for()
    drop(visited, broken)
    visited.page.get_by_role("button", name="Ask", exact=True).click()
    visited.page.get_by_text(re.compile("broken.mp4.*(not|cannot|damaged)")).first.wait_for()
    assert set(visited.errors) <= GRADIOS_OWN
    visited.errors.clear()


def test_a_file_that_is_too_large(visit, tmp_path, monkeypatch):
    monkeypatch.setattr("vidfold.live.page.LARGEST", "10kb")
    large = tmp_path / "large.mp4"
    large.write_bytes(b"0" * 100_000)
    port = free_port()
    page = serve(load(device="cpu"), port=port, blocks=False)
    try:
        visited = visit(f"http://127.0.0.1:{port}")
        visited.page.locator("input[type=file]").first.set_input_files(large)
        visited.page.get_by_text(re.compile("exceed the maximum allowed size")).first.wait_for()
        visited.errors.clear()  # the refused upload
    finally:
        page.close()


def test_a_phone(visit, address):
    page = visit(address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).page
    draw(page, SEEDS[0])
    ask(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_taken_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} cannot be used: choose another with --port"):
            serve(load(device="cpu"), port=port, blocks=False)
