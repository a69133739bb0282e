"""The page is complete and self-contained, and shows text of files as text, never as markup."""

import re
from html import escape
from html.parser import HTMLParser

from mbrl.analysis.compare import compare
from mbrl.analysis.comparison_page import STYLE, page
from mbrl.analysis.comparison_plot import draw_for_page
from tests.analysis.made_runs import make_run

EVIL = "<script>alert('x')</script><img src=https://example.org/x.png>\"'&"
ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "div", "table"}
ALLOWED |= {"thead", "tbody", "tr", "th", "td", "ul", "li", "p", "code", "span", "figure"}
ALLOWED |= {"figcaption", "svg", "defs", "g", "path", "use", "text", "tspan", "rect", "clippath"}


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
    comparison = compare([folder], **options)
    return page(comparison, draw_for_page(comparison), f"python -m mbrl compare '{EVIL}'")


def test_the_page_has_tables_notes_and_command(tmp_path):
    for seed in range(3):
        make_run(tmp_path / f"a{seed}", (10.0, 20.0 + seed), seed=seed)
        make_run(tmp_path / f"b{seed}", (10.0, 480.0), seed=seed, planner="mcts")
    make_run(tmp_path / "c", status="failed", error="ValueError: exploded")
    text = " ".join(ParsedPage(page_of(tmp_path)).texts)
    for expected in (
        "Learning curves",
        "env steps",
        "return to be reached",
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
    make_run(tmp_path / "b", planner="mcts")
    text = page_of(tmp_path).replace(escape(EVIL), "")
    read = ParsedPage(text)
    assert read.tags <= ALLOWED
    names = {name for name, _ in read.attributes}
    assert not names & {"src", "srcset", "action", "data", "poster"}
    targets = [value for name, value in read.attributes if name.endswith("href")]
    assert targets
    assert all(value.startswith("#") for value in targets)
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert not re.search(r"\son\w+=", text)


def test_ids_are_unique_and_the_same_runs_give_the_same_page(tmp_path):
    for env in ("cartpole", "pendulum"):
        for planner in ("cem", "mcts"):
            make_run(tmp_path / f"{env}_{planner}", (-1.0, 2.0), env=env, planner=planner)
    text = page_of(tmp_path)
    read = ParsedPage(text)
    ids = [value for name, value in read.attributes if name == "id"]
    assert ids
    assert len(set(ids)) == len(ids)
    references = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert references == set(ids)
    assert page_of(tmp_path) == text


def test_nothing_has_a_fixed_width_beyond_a_telephone(tmp_path):
    make_run(tmp_path / "a")
    read = ParsedPage(page_of(tmp_path))
    figures = [value for name, value in read.attributes if name == "width"]
    assert all(float(value) <= 390 for value in figures)  # of clipping rectangles, in a viewBox
    sizes = re.findall(r"(?<!max-)width: (?:min\()?([\d.]+)(px|rem)", STYLE)
    sizes += re.findall(r"minmax\((?!min\()([\d.]+)(px|rem)", STYLE)
    assert sizes
    assert max(float(size) * {"px": 1, "rem": 16}[unit] for size, unit in sizes) <= 390


def test_text_of_files_is_escaped(tmp_path):
    make_run(tmp_path / "a", status="failed", error=EVIL, env__id=f"{EVIL}-v0", horizon=EVIL)
    make_run(tmp_path / "b<b>bold", env__id=f"{EVIL}-v0", planner="mcts")
    (make_run(tmp_path / "c") / "summary.json").write_text('{"status": "<blink>"}')
    text = page_of(tmp_path, by=("horizon",))
    read = ParsedPage(text)
    assert read.tags <= ALLOWED
    assert not [name for name, _ in read.attributes if name == "src"]
    assert EVIL in " ".join(read.texts)
