"""The page is complete and self-contained, and shows text of files as text, never as markup."""

import re
from html.parser import HTMLParser

from mbrl.analysis.compare import compare
from mbrl.analysis.comparison_page import page
from tests.analysis.made_runs import make_run

EVIL = "<script>alert('x')</script><img src=https://example.org/x.png>\"'&"
ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "img", "div", "table"}
ALLOWED |= {"thead", "tbody", "tr", "th", "td", "ul", "li", "p", "code"}


class ParsedPage(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def page_of(folder, **options):
    return page(compare([folder], **options), b"\x89PNG", f"python -m mbrl compare '{EVIL}'")


def test_the_page_has_tables_notes_and_command(tmp_path):
    for seed in range(3):
        make_run(tmp_path / f"a{seed}", (10.0, 20.0 + seed), seed=seed)
        make_run(tmp_path / f"b{seed}", (10.0, 480.0), seed=seed, planner="mcts")
    make_run(tmp_path / "c", status="failed", error="ValueError: exploded")
    text = " ".join(ParsedPage(page_of(tmp_path)).texts)
    for expected in (
        "CartPole-v1",
        "planner=cem",
        "planner=mcts",
        "reached 475",
        "3/4",
        "failed",
        "ValueError: exploded",
        "1 of 7 runs are not completed",
        "Agarwal et al. 2021",
        "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
        "python -m mbrl compare",
    ):
        assert expected in text


def test_the_page_is_self_contained(tmp_path):
    make_run(tmp_path / "a")
    text = page_of(tmp_path).replace(EVIL, "")
    read = ParsedPage(text)
    assert read.tags <= ALLOWED
    sources = [
        value
        for name, value in read.attributes
        if name in ("src", "href", "srcset", "action", "data")
    ]
    assert sources == ["data:image/png;base64,iVBORw=="]
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"\son\w+=", text)


def test_text_of_files_is_escaped(tmp_path):
    make_run(tmp_path / "a", status="failed", error=EVIL, env__id=f"{EVIL}-v0", horizon=EVIL)
    make_run(tmp_path / "b<b>bold", env__id=f"{EVIL}-v0", planner="mcts")
    (make_run(tmp_path / "c") / "summary.json").write_text('{"status": "<blink>"}')
    text = page_of(tmp_path, by=("horizon",))
    read = ParsedPage(text)
    assert read.tags <= ALLOWED
    assert len([name for name, _ in read.attributes if name == "src"]) == 1
    assert EVIL in " ".join(read.texts)
