"""The page in Chromium, as wide as a screen and as a telephone: nothing is out of sight or tiny."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mbrl.analysis.compare import compare
from mbrl.analysis.comparison_page import write_page
from tests.analysis.made_runs import make_run

pytestmark = pytest.mark.extras
# The page measures itself in a frame, since a window of Chromium is at least 500 pixels wide, and
# sends the measures to the document around it, which Chromium prints.
FRAME = """<iframe src="{address}" width="{width}" height="900" frameborder="0"></iframe><script>
onmessage = event => document.body.insertAdjacentHTML("beforeend", `<pre>${{event.data}}</pre>`);
</script>"""
SCRIPT = """
const box = element => element.getBoundingClientRect();
const seen = element => box(element).width > 0 && box(element).height > 0;
const all = (selector, root) => [...(root || document).querySelectorAll(selector)];
const measures = {
  inner: innerWidth,
  scroll: document.documentElement.scrollWidth,
  right: Math.max(...all("body *").filter(seen).map(each => box(each).right)),
  hidden: all(".numbers td, .text td, figure svg, .legend svg").filter(
    each => !seen(each) && !(each.matches("td") && each.textContent === "")).length,
  headings: all("th").filter(seen).length,
  names: all(".numbers td:not(:first-child)").filter(each =>
    getComputedStyle(each, "::before").content === JSON.stringify(each.dataset.name)).length,
  cells: all(".numbers td:not(:first-child)").length,
  letters: Math.min(...all("figure text").map(
    each => parseFloat(getComputedStyle(each).fontSize) * each.ownerSVGElement.getScreenCTM().a)),
  lines: Math.max(...all(".numbers td:first-child").map(each => {
    const range = document.createRange();
    range.selectNodeContents(each);
    return range.getClientRects().length;
  })),
  panels: new Set(all(".panels:first-of-type figure").map(each => box(each).top)).size,
};
parent.postMessage(JSON.stringify(measures), "*");
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        reason = "no chromium. Install it: apt-get update && apt-get install -y chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def make_runs(folder: Path) -> None:
    for env, score in (("cartpole", 480.0), ("pendulum", -1234567.8)):
        for planner in ("cem", "mcts", "random"):
            for seed in range(3):
                run = folder / f"{env}_{planner}_{seed}"
                make_run(run, (score, score + seed), env=env, planner=planner, seed=seed)


def page_with_script(folder: Path) -> Path:
    write_page(compare([folder]), "python -m mbrl compare outputs", folder / "compare.html")
    text = (folder / "compare.html").read_text()
    # The page's own policy would not run the script.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    path = folder / "measured.html"
    path.write_text(text.replace("</body>", f"<script>{SCRIPT}</script></body>"))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A page with long names of groups and folders, and several environments."""
    folder = tmp_path_factory.mktemp("compared")
    make_runs(folder)
    long = {"env__kwargs": {"path": f"/data/{'x' * 150}", "html": "<b>&"}, "status": "failed"}
    make_run(folder / ("a_long_name_" * 15), error="ValueError: " + "y" * 200, **long)
    make_run(folder / "empty", status="killed", model__num_members=7)
    return page_with_script(folder)


def measure(chromium: str, page: Path, width: int) -> dict:
    outside = page.with_name(f"{width}.html")
    outside.write_text(FRAME.format(address=page.as_uri(), width=width))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [chromium, *options, profile, "--dump-dom", outside.as_uri()]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(r"<pre>({.*?})</pre>", output)
    assert found, output
    return json.loads(found[1])


@pytest.mark.parametrize("width", [390, 700, 1000, 1440])
def test_the_page_fits_every_width(chromium, page, width):
    measures = measure(chromium, page, width)
    assert measures["inner"] == width
    assert measures["scroll"] <= width
    assert measures["right"] <= width
    assert measures["hidden"] == 0
    assert measures["letters"] >= 10  # CSS pixels
    # The names of columns are above them, or in front of each cell.
    if width > 960:
        assert measures["headings"] > 0
        assert measures["names"] == 0
        assert measures["panels"] == 1
    else:
        assert measures["headings"] == 0
        assert measures["names"] == measures["cells"] > 0
        assert measures["panels"] == {390: 3, 700: 2}[width]


def test_short_names_of_groups_are_on_one_line(chromium, tmp_path):
    make_runs(tmp_path)
    page = page_with_script(tmp_path)
    for width in (390, 1000, 1440):
        assert measure(chromium, page, width)["lines"] == 1
