"""A real browser without a window, for `make test-browser`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"no browser is here ({', '.join(BROWSERS)}): such as 'apt-get install chromium'"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page in a browser window of its own, and what went wrong in it."""

    def __init__(self, browser, **settings) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on(
            "console", lambda message: message.type in ("error", "warning") and self.errors.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def visit(browser) -> Iterator:
    """Opens a file or an address; at the end there must have been no errors."""
    visits: list[Visit] = []

    def open_(address: str | Path, **settings) -> Visit:
        visits.append(Visit(browser, **settings))
        visits[-1].page.goto(address.as_uri() if isinstance(address, Path) else address)
        return visits[-1]

    yield open_
    errors = [error for each in visits for error in each.errors]
    for each in visits:
        each.context.close()
    assert not errors
