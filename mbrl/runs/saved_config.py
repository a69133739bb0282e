"""A saved config as plain data: nothing in it is imported, called or interpolated."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mbrl.errors import CorruptRun, one_line
from mbrl.regular_files import read_regular
from mbrl.runs.schemas import CONFIG_SCHEMA, what_is_wrong

MAX_FILE_SIZE = 1_000_000  # bytes; a config.yaml has about 5000, a multirun.yaml 10 000
MAX_DIGITS = 4300  # of a whole number, as in Python's own conversion
MAX_DEPTH = 50  # levels of nesting
MAX_KEYS = 5000  # of all mappings; a saved config has about 200
MAX_BRACKETS = 200  # lists and mappings written with brackets, each of which may be a level
# Possible anchors, aliases, tags and explicit keys, and possibly deep nesting: a wide indent, or a
# list that starts on the line of another.
SUSPICIOUS = re.compile(r"[&*!?]|^ {60}|-\s+-", re.MULTILINE)

# Text that could be taken for another value: JSON, or settings with a comma between them.
NEEDS_QUOTES = re.compile(
    r"""^$ | ^\s | \s$ | \s\s | ,\s | ^["\[{]
    | ^(?:-?(?:\d[\d.eE+-]*|Infinity)|NaN|null|true|false)$""",
    re.VERBOSE,
)

TIMESTAMP = "tag:yaml.org,2002:timestamp"
FLOAT = re.compile(
    r"""^(?:
         [-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
        |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
        |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)

# The loader in C is ten times as fast. PyYAML has it if it was built with libyaml.
BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(BaseLoader):
    """Reads scalars and mappings as OmegaConf's loader does, which wrote the file.

    Other than in plain PyYAML, `1e-3` is a number, `2026-01-01` is text, and a duplicate key is an
    error.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012, PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
        for first, resolvers in BaseLoader.yaml_implicit_resolvers.items()
    }

    num_keys = 0  # so far

    def construct_mapping(self, node, deep=False):
        self.num_keys += len(node.value)
        if self.num_keys > MAX_KEYS:
            raise ValueError(f"it has more than {MAX_KEYS} keys, which no saved config has")
        names = [key.value for key, _ in node.value if key.tag == self.DEFAULT_SCALAR_TAG]
        if len(set(names)) < len(names):
            duplicate = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {duplicate} appears twice")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node):
        if len(node.value) > MAX_DIGITS:  # `1:1:1:…`, in base 60, would take minutes
            raise ValueError(f"a whole number has more than {MAX_DIGITS} digits")
        return super().construct_yaml_int(node)


Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)


def read_config(path: str | Path) -> dict[str, Any]:
    """The content of config.yaml in the run folder `path`, in plain containers.

    Raises CorruptRun if the file is missing, or not a file that a run writes.
    """
    file, remedy = Path(path) / "config.yaml", "Restore the file that the run wrote."
    try:
        config = read_mapping(file, remedy)
        CONFIG_SCHEMA.validate_python(config)
    except FileNotFoundError:
        raise CorruptRun(
            f"{path} has no config.yaml: the run was refused before it started, or the file was "
            "removed."
        ) from None
    except ValidationError as error:
        raise CorruptRun(
            f"{file} is not the saved config of a run ({what_is_wrong(error)}). {remedy}"
        ) from error
    return config


def read_mapping(file: Path, remedy: str) -> dict[str, Any]:
    """The settings in a YAML file, in plain containers.

    Raises FileNotFoundError, and CorruptRun with the `remedy` if the file is not a regular one, is
    too large or too deep, is not a mapping, cannot be parsed, or has YAML's anchors, aliases or
    tags.
    """
    try:
        config = parse(read_regular(file, MAX_FILE_SIZE))
    except (CorruptRun, FileNotFoundError):
        raise
    except (OSError, ValueError) as error:
        raise CorruptRun(f"{file} cannot be read: {one_line(error)}. {remedy}") from error
    if not isinstance(config, dict):
        raise CorruptRun(f"{file} is not a mapping of settings. {remedy}")
    return config


def parse(content: bytes) -> Any:
    """The values in a YAML file, in plain containers. Raises ValueError for what no run writes."""
    if len(content) > MAX_FILE_SIZE:
        raise ValueError(f"it is larger than {MAX_FILE_SIZE} bytes")
    text = content.decode("utf-8")
    if re.search("[\x85\u2028\u2029]", text):  # libyaml reads them differently from PyYAML
        raise ValueError("it has a Unicode line break; no saved config has any")
    try:
        # Rarely true, so most files are parsed once.
        if SUSPICIOUS.search(text) or text.count("[") + text.count("{") > MAX_BRACKETS:
            _check_events(text)
        return yaml.load(text, Loader)
    except (yaml.YAMLError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(one_line(error)) from error


def leaves(node: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The full dotted name and the text of each setting that is a value or a list.

    Raises CorruptRun for containers that are nested too deep.
    """
    if depth > MAX_DEPTH:
        raise CorruptRun(
            f"config.yaml is nested more than {MAX_DEPTH} levels deep, which no saved config is."
        )
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            text = as_text(key)
            part = json.dumps(text) if "." in text or "=" in text else text
            yield from leaves(value, f"{name}.{part}" if name else part, depth + 1)
    else:
        yield name, as_text(node)


def as_text(value: Any) -> str:
    """A setting on one printable line: never empty, and different for different values.

    Numbers have one form: 2 and 2.0 are the same. Text is in quotes where it would read as another
    value, as a part of a list of settings, or could steer a terminal.
    """
    if isinstance(value, str):
        is_plain = value.isprintable() and not NEEDS_QUOTES.search(value)
        return value if is_plain else json.dumps(value)
    return json.dumps(_with_whole_numbers(value), default=str)


def _with_whole_numbers(value: Any) -> Any:
    """The same value with integers for whole floats, also in lists."""
    if isinstance(value, list):
        return [_with_whole_numbers(each) for each in value]
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value


def _check_events(text: str) -> None:
    """Raise ValueError for deep nesting, which crashes libyaml, and for anchors, aliases and tags.

    An alias can make a small file grow without bound, or contain itself.
    """
    depth = 0
    for event in yaml.parse(text, Loader):  # which does not recurse
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep; no saved config is")
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise ValueError("it has a YAML anchor, alias or tag; no saved config has any")
