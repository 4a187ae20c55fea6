"""The page in a real browser: laid out on a desk and on a phone, without a word beyond its edge, and on paper.

Needs Chromium (`apt install chromium`). The screenshots and the PDF stay in the folder that RULE_JAX_ARTEFACTS names.
"""

import html as html_text
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rule_jax.reporting import comparison_page, page
from tests.reporting.synthetic import MODELS, edit, make_run
from tests.reporting.test_published_tables import rwku

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
WIDTHS = (1280, 390)
# What a picture does not show: how wide the page is, and what lies beyond its edge outside of a box that scrolls.
MEASURE = """<script>addEventListener("load", () => {
  const edge = document.documentElement.clientWidth;
  const scrolls = e => e !== document.body && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  const beyond = [...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > edge + 1 && !scrolls(e.parentElement));
  const names = beyond.map(e => `${e.tagName}.${e.getAttribute("class")}: ${e.textContent.slice(0, 40)}`);
  parent.postMessage(JSON.stringify([edge, document.documentElement.scrollWidth, names]), "*");
});</script>"""
# A window is never narrower than 500 pixels, whatever it is asked for; a frame is.
FRAME = """<iframe src="measured.html" style="width: {}px; height: 1600px; border: 0"></iframe>
<script>onmessage = event => document.body.append(`measured ${{event.data}} end`)</script>"""

pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no Chromium")


@pytest.fixture
def artefacts(tmp_path):
    folder = Path(os.environ.get("RULE_JAX_ARTEFACTS") or tmp_path).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module", params=["report", "comparison"])
def html(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    first = make_run(folder / "first")
    for model in MODELS:  # the widest table is that of a benchmark
        edit(first / "evaluate" / model / "metrics.json", lambda figures: figures.update(rwku(0.9, 0.6, 0.3)))
    if request.param == "report":
        return page.write(first)
    return comparison_page.write([first, make_run(folder / "second", seed=8)], folder / "comparison")


def browse(html: Path, *flags: str) -> str:
    profile = f"--user-data-dir={html.parent / 'profile'}"
    called = [BROWSER, *FLAGS, profile, *flags, html.as_uri()]
    return subprocess.run(called, check=True, capture_output=True, text=True, timeout=240).stdout


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_lies_beyond_the_edge(html, artefacts, width):
    picture = artefacts / f"{html.parent.name}_{width}.png"
    browse(html, f"--window-size={width},1600", f"--screenshot={picture}")
    assert int.from_bytes(picture.read_bytes()[16:20]) == width
    source = html.read_text(encoding="utf-8").replace("</body>", f"{MEASURE}</body>")
    html.with_name("measured.html").write_text(source, encoding="utf-8")
    frame = html.with_name("frame.html")
    frame.write_text(FRAME.format(width), encoding="utf-8")
    found = re.search(r"measured (\[.*\]) end", browse(frame, "--window-size=1600,1700", "--dump-dom"))
    assert found
    edge, whole, beyond = json.loads(html_text.unescape(found.group(1)))
    assert width - 20 <= edge <= width
    assert whole <= edge, beyond
    assert not beyond


def test_it_prints(html, artefacts):
    paper = artefacts / f"{html.parent.name}.pdf"
    browse(html, "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    assert len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) >= 2
