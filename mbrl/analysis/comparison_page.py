"""A comparison as one self-contained HTML page for any width: no script, no links, inline SVG."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mbrl.analysis.compare import Comparison
from mbrl.analysis.comparison_plot import PageFigure, draw_for_page
from mbrl.analysis.comparison_table import header, rows, title
from mbrl.analysis.comparison_warnings import notes, unfinished

# Panels are beside each other as far as they fit. In a narrow window, each row of a table is a
# block with the names of the columns at the left, so that no column is out of sight.
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body {
  font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff;
  max-width: 80rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-top: 1rem; }
h2 { border-top: 1px solid #cbd2d9; }
p, ul { max-width: 48rem; } ul { padding-left: 1.25rem; } li { margin: .25rem 0; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; }
.legend { max-width: none; padding: 0; margin: 0; }
.legend li { display: flex; gap: .5rem; margin: 0; }
.legend svg { flex: none; width: 3rem; height: 1.2rem; margin-top: .15rem; }
.panels { display: grid; gap: 1.25rem 1rem; margin-bottom: 1.25rem; }
.panels { grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); }
.panels svg { display: block; width: 100%; height: auto; }
figure { margin: 0; } figcaption { font-weight: 600; color: #323f4b; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .4rem .5rem; vertical-align: top; }
th { vertical-align: bottom; font-weight: 600; color: #52606d; border-bottom: 2px solid #9aa5b1; }
td { border-bottom: 1px solid #e4e7eb; } td span { display: block; color: #52606d; }
th:first-child, td:first-child, .text th, .text td { text-align: left; }
.numbers th, .text th { overflow-wrap: normal; } th span { white-space: nowrap; }
.numbers th:first-child { width: 22%; }
.numbers td, .text td:first-child { white-space: nowrap; }
.numbers td:first-child { white-space: normal; min-width: 9rem; font-weight: 600; }
.text th:nth-child(2) { width: 24%; } .text th:nth-child(3) { width: 34%; }
code { background: #f2f4f7; padding: .1rem .3rem; }
@media (max-width: 60rem) {
  table, tbody, tr { display: block; } thead { display: none; }
  tr { padding: .75rem 0; } tr + tr { border-top: 1px solid #cbd2d9; }
  td { display: flow-root; padding: .15rem 0; border: 0; } td span { display: inline; }
  td::before { content: attr(data-name); float: left; max-width: 55%; padding-right: 1rem; }
  td::before { text-align: left; white-space: normal; font-weight: normal; color: #52606d; }
  .numbers td:first-child::before { content: none; }
  .text td { padding-left: 4.5rem; } .text td::before { margin-left: -4.5rem; }
  .text td:empty { display: none; }
}
"""
# In addition to escaping: a browser that follows this policy loads nothing and runs nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STATISTICS = (
    "IQM is the interquartile mean, the mean of the middle half of the runs. Intervals are "
    "percentiles of a stratified bootstrap, which draws as many runs as there are, with "
    "replacement, within each environment. P(better than first) is the probability that a run of "
    "the group has a higher return than one of the first group, ties counted half (Agarwal et al. "
    "2021, “Deep Reinforcement Learning at the Edge of the Statistical Precipice”). Returns are "
    "those of the last evaluation of completed runs. The number of runs that reached a return "
    "counts all runs; in the medians, one that never did counts as later than any."
)


def page(comparison: Comparison, figure: PageFigure, command: str) -> str:
    """The HTML text. `command` makes the page again."""
    parts = [f"<h1>{len(comparison.runs)} runs in {len(comparison.labels)} groups</h1>"]
    entries = "".join(f"<li>{svg}<span>{escape(name)}</span></li>" for svg, name in figure.legend)
    if entries:
        parts.append(f'<ul class="legend">{entries}</ul>')
    sections = [*comparison.sections, *([comparison.aggregate] if comparison.aggregate else [])]
    for section, panels in zip(sections, figure.panels, strict=True):
        drawn = "".join(
            f"<figure><figcaption>{caption}</figcaption>{svg}</figure>" for svg, caption in panels
        )
        table = _table(header(section, comparison), rows(section))
        parts.append(f'<h2>{escape(title(section))}</h2><div class="panels">{drawn}</div>{table}')
    sentences = notes(comparison)
    if sentences:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        parts.append(f"<h2>Notes</h2><ul>{items}</ul>")
    lines = unfinished(comparison)
    if lines:
        table = _table(("status", "group", "folder", "why"), lines, kind="text")
        parts.append(f"<h2>Not completed</h2>{table}")
    parts.append(f"<h2>The columns</h2><p>{escape(STATISTICS)}</p>")
    parts.append(f"<h2>Command</h2><p><code>{escape(command)}</code></p>")
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>Runs compared</title><style>{STYLE}</style>"
    body = "".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def write_page(comparison: Comparison, command: str, path: Path) -> None:
    """Write the page to a new file at `path`."""
    # The command can have the name of a folder that is not UTF-8.
    with path.open("x", encoding="utf-8", errors="replace") as file:
        file.write(page(comparison, draw_for_page(comparison), command))


def _table(names: Sequence[str], lines: Iterable[Sequence[str]], kind: str = "numbers") -> str:
    head = "".join(f'<th scope="col">{_whole_brackets(escape(name))}</th>' for name in names)
    body = ""
    for line in lines:
        cells = [escape(cell) for cell in line]
        if kind == "numbers":
            cells[1:] = map(_whole_brackets, cells[1:])
        named = zip(map(escape, names), cells, strict=True)
        body += (
            "<tr>"
            + "".join(f'<td data-name="{name}">{cell}</td>' for name, cell in named)
            + "</tr>"
        )
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="{kind}">{table}</table>'


def _whole_brackets(text: str) -> str:
    """Marks an interval, or the confidence of one, to be kept on one line."""
    return re.sub(r"\[.*\]", r"<span>\g<0></span>", text)
