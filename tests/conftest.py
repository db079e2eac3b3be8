"""What several tests need: no window for plots, one headless browser."""

import gc
import os
import shutil
from collections.abc import Iterator

# Before numpy loads: many threads on few cores make small fits thirty times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"

# Expressions of the engine are many small objects that live long: looking through them
# again and again for cycles is a good part of the time of a test.
gc.set_threshold(200_000, 20, 100)

import pytest
from hypothesis import settings
from required import missing

# A check of a change must not depend on luck: there the examples are always the same.
# Everywhere else new ones are tried each time.
IS_CHECK = "SELFLOOP_REQUIRE" in os.environ
settings.register_profile("selfloop", deadline=None, derandomize=IS_CHECK)
settings.load_profile("selfloop")


LONG = (
    "test_cli.py",
    "test_spark.py",
    "test_postgres.py",
    "test_notebooks.py",
    "test_page.py",
    "test_cli_errors.py",
)
"""Files of many tests that take a while, or of few that take long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, so that no worker is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    slow |= {item.path for item in items if item.path.name in LONG}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium of the system, driven by playwright."""
    chromium = next(
        filter(
            None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
        ),
        None,
    )
    if chromium is None:
        missing("browser", "there is no chromium on this machine")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow to import

    with sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield window
        window.close()
