"""A comparison as one self-contained HTML page: no script, no links, the figure embedded."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mbrl.analysis.compare import Comparison
from mbrl.analysis.comparison_table import header, rows, title
from mbrl.analysis.comparison_warnings import notes, unfinished

STYLE = """
:root { color-scheme: light; }
body {
  font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff;
  max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
}
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td {
  text-align: right; padding: .3rem .8rem; border-bottom: 1px solid #e4e7eb;
  white-space: nowrap; vertical-align: top;
}
th:first-child, td:first-child { text-align: left; } th { border-bottom: 2px solid #9aa5b1; }
.text th, .text td { text-align: left; }
.text td { white-space: normal; overflow-wrap: anywhere; }
.text td:first-child { white-space: nowrap; }
img { width: 100%; height: auto; }
code { background: #f2f4f7; padding: .1rem .3rem; overflow-wrap: anywhere; }
"""
# In addition to escaping: a browser that follows this policy loads nothing and runs nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STATISTICS = (
    "IQM is the interquartile mean, the mean of the middle half of the runs. Intervals are "
    "percentiles of a stratified bootstrap, which draws as many runs as there are, with "
    "replacement, within each environment. P(better than first) is the probability that a run of "
    "the group has a higher return than one of the first group, ties counted half (Agarwal et al. "
    "2021, “Deep Reinforcement Learning at the Edge of the Statistical Precipice”). Returns are "
    "those of the last evaluation of completed runs. The number of runs that reached a return "
    "counts all runs; in the medians, one that never did counts as later than any."
)


def page(comparison: Comparison, figure: bytes, command: str) -> str:
    """The HTML text. `figure` is a PNG, `command` the command that makes the page again."""
    picture = base64.b64encode(figure).decode()
    parts = [
        f"<h1>{len(comparison.runs)} runs in {len(comparison.labels)} groups</h1>",
        '<img alt="Learning curves, final returns and performance profiles" '
        f'src="data:image/png;base64,{picture}">',
    ]
    sections = [*comparison.sections, *([comparison.aggregate] if comparison.aggregate else [])]
    for section in sections:
        table = _table(header(section, comparison), rows(section))
        parts.append(f"<h2>{escape(title(section))}</h2>{table}")
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


def write_page(comparison: Comparison, figure: Path, command: str, path: Path) -> None:
    """Write the page, with the PNG at `figure`, to a new file at `path`."""
    with path.open("x", encoding="utf-8") as file:
        file.write(page(comparison, figure.read_bytes(), command))


def _table(names: Sequence[str], lines: Iterable[Sequence[str]], kind: str = "numbers") -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = ""
    for line in lines:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in line)
        body += f"<tr>{cells}</tr>"
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table class="{kind}">{table}</table></div>'
