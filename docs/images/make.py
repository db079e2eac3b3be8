"""Take the pictures of the README: the report of the sample shop in a browser.

Run ``python docs/images/make.py``; it needs Chromium.
"""

import io
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import selfloop as sl

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data/sample"
WIDTH, MARGIN = 1120, 6
TITLES = {"en": "Sample shop", "zh": "示例商店"}
NAMES = {"en": "report.png", "zh": "report.zh.png"}


def main() -> None:
    """Write the report in each language and take its first screen."""
    events = sl.read_events(
        DATA / "orders.csv", DATA / "referrals.csv", visits=DATA / "visits.csv"
    )
    analysis = sl.analyze(events)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        for lang, name in NAMES.items():
            report = sl.write_report(
                analysis,
                Path(folder) / f"{lang}.html",
                lang=lang,
                title=TITLES[lang],
                now=datetime(2026, 1, 1, tzinfo=UTC),
            )
            page = browser.new_page(viewport={"width": WIDTH, "height": 900})
            page.goto(report.path.as_uri())
            _first_screen(page, HERE / name)
        browser.close()


def _first_screen(page: Page, path: Path) -> None:
    """Write the page down to the end of the funnel, in 256 colours."""
    box = page.locator("#funnel .two").bounding_box()
    if box is None:
        raise RuntimeError("the page shows no funnel")
    area = {"x": 0, "y": 0, "width": WIDTH, "height": box["y"] + box["height"] + MARGIN}
    picture = Image.open(io.BytesIO(page.screenshot(clip=area, full_page=True)))
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    main()
