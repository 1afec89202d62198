"""The moving picture that README opens with: the demo's two stations on the page.

    python -m bench.figures.readme_web        # writes docs/figures/web.webp

It runs `airsift demo --web`, and a browser beside it takes pictures of the real page: first of the
wall, then of one station.
"""

from __future__ import annotations

import argparse
import base64
import io
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

from tests.browser import Page, browser

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "figures" / "web.webp"
SIZE = (1060, 420)
FRAME_S = 0.25
WALL_S, STATION_S = 14.0, 6.0
BEGIN_S = 5.0  # of the page, before the first picture: songs are known by then
MAX_BYTES = 2_000_000


def record(page: Page, seconds: float, frames: list[Image.Image]) -> None:
    """Take pictures at even intervals."""
    begun = time.monotonic()
    for n in range(round(seconds / FRAME_S)):
        time.sleep(max(0.0, begun + n * FRAME_S - time.monotonic()))
        data = base64.b64decode(page.call("Page.captureScreenshot")["data"])
        frames.append(Image.open(io.BytesIO(data)).convert("RGB"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURE)
    given = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "airsift",
        "demo",
        "--speed",
        "4",
        "--web",
        "--set",
        "web.port=0",
    ]
    frames: list[Image.Image] = []
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as demo,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        browser(Path(folder)) as page,
    ):
        assert demo.stdout is not None
        url = demo.stdout.readline().split()[-1]
        threading.Thread(target=demo.stdout.read, daemon=True).start()
        try:
            page.resize(*SIZE)
            page.call("Emulation.setScrollbarsHidden", hidden=True)
            page.visit(url)
            page.wait_for("document.querySelectorAll('.tile').length === 2")
            time.sleep(BEGIN_S)
            record(page, WALL_S, frames)
            page.evaluate("document.querySelector('.tile').click()")
            page.wait_for("document.querySelector('.live .label').textContent")
            time.sleep(0.5)
            record(page, STATION_S, frames)
        finally:
            demo.terminate()
    frames[0].save(
        given.output,
        save_all=True,
        append_images=frames[1:],
        duration=round(FRAME_S * 1000),
        loop=0,
        lossless=True,
        method=4,
        minimize_size=True,
    )
    size = given.output.stat().st_size
    print(f"{given.output}: {len(frames)} frames, {size} bytes")
    assert size < MAX_BYTES, f"{size} bytes are more than {MAX_BYTES}"


if __name__ == "__main__":
    main()
