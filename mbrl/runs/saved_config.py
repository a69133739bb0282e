"""A run's config.yaml as plain data: nothing of it is run, looked up or worked out, and reading it takes no Hydra."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mbrl.runs.reader import CorruptRun

# The one in C is ten times as fast; PyYAML has it wherever libyaml was there when it was built.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LARGEST_FILE = 1_000_000  # bytes; a saved config has some 5000
DEEPEST = 50  # levels of a saved config
MOST_BRACKETS = 200  # of lists and mappings in one line, each of which may be a level
# Anchors, aliases, tags and explicit keys; indents, and lists begun in one line, that may be many levels.
UNUSUAL = re.compile(r"[&*!?]|^ {60}|-\s+-", re.MULTILINE)


def read_settings(path: str | Path) -> dict[str, Any]:
    """What the config.yaml of the run folder `path` says, in plain containers.

    Raises CorruptRun where it is not there, too large or deep, no mapping, broken, or has YAML's anchors or tags.
    """
    file = Path(path) / "config.yaml"
    try:
        settings = yaml.load(_text(file), LOADER)
    except CorruptRun:
        raise
    except (
        OSError,
        yaml.YAMLError,
        ValueError,
        TypeError,
        RecursionError,
        OverflowError,
    ) as reason:
        raise CorruptRun(
            f"{file} cannot be read ({_first_words(reason)}); put back the one that the run wrote."
        ) from reason
    if not isinstance(settings, dict):
        raise CorruptRun(f"{file} is no mapping of settings; put back the one that the run wrote.")
    return settings


def leaves(node: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each setting that is a value or a list, with its whole dotted name, as text. Raises CorruptRun for what is too deep."""
    if depth > DEEPEST:
        raise CorruptRun(
            f"config.yaml is nested more than {DEEPEST} levels deep, which no saved config is."
        )
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key), depth + 1)
    else:
        yield name, as_text(node)


def as_text(value: Any) -> str:
    """A setting as YAML shows it, but one number in one way: 2 and 2.0 are the same."""
    if isinstance(value, str):
        return value
    if (
        isinstance(value, float)
        and math.isfinite(value)
        and value == int(value)
        and abs(value) < 2**53
    ):
        value = int(value)
    return json.dumps(value, default=str)


def _text(file: Path) -> str:
    if not file.is_file():
        raise CorruptRun(
            f"{file.parent} has no config.yaml: what it was to be was refused before it began, or the file was removed."
        )
    with file.open("rb") as opened:
        content = opened.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes, which no saved config is")
    text = content.decode("utf-8")
    if (
        UNUSUAL.search(text) or text.count("[") + text.count("{") > MOST_BRACKETS
    ):  # rare, so that most files are parsed once
        _refuse_what_harms(text)
    return text


def _refuse_what_harms(text: str) -> None:
    """An alias can make a small file grow without bound, or contain itself; libyaml does not survive a file that is too deep."""
    depth = 0
    for event in yaml.parse(text, LOADER):  # which does not recurse
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if depth > DEEPEST:
            raise ValueError(
                f"it is nested more than {DEEPEST} levels deep, and no saved config is"
            )
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise ValueError("it has a YAML anchor, alias or tag, and no saved config has any")


def _first_words(reason: Exception) -> str:
    return " ".join(str(reason).split())[:200]
