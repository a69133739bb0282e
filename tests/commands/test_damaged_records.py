"""Values of any type, anywhere in a run's files: each command reads them, or names the damage."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml

import mbrl
from mbrl.__main__ import main
from mbrl.config.plain_errors import plain_errors
from tests.faults.runs import QUICK

pytestmark = pytest.mark.slow

VALUES = ["null", "-1", "1.5", "1e400", "NaN", '"x"', '""', "[]", "{}", "[{}]", "[[1]]", "true"]
VALUES += ['{"a": {"b": [1]}}', "9" * 6000, "[" * 3000, '"\\u001b[2J"']
NUM_TRIES = 10  # of each file


def paths(node: Any, path: tuple = ()) -> Iterator[tuple]:
    """The keys that lead to each value of nested containers."""
    yield path
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield from paths(node[key], (*path, key))


def changed(tree: Any, path: tuple, value: str) -> str:
    """The tree as JSON with another value, itself JSON, at a path."""
    if not path:
        return value
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = "@"
    return json.dumps(tree).replace('"@"', value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs") / "run"
    mbrl.run(mbrl.compose([*QUICK, f"hydra.run.dir={folder}"]))
    return folder


def refusal(capsys, *arguments: str) -> str:
    """The one sentence on stderr by which a command refuses; empty if it does not."""
    with suppress(SystemExit), plain_errors(status=2):
        main(list(arguments))
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "Traceback" not in printed.err
    errors = [line for line in printed.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) <= 1
    assert all(len(error) < 1000 for error in errors)
    return "".join(errors)


@pytest.mark.parametrize(
    "name", ["summary.json", "provenance.json", "metrics.jsonl", "config.yaml"]
)
def test_any_value_is_read_or_named(run, tmp_path, name, capsys):
    before, generator = (run / name).read_text(), random.Random(name)
    tree = yaml.safe_load(before.splitlines()[-1] if name == "metrics.jsonl" else before)
    places, refusals = list(paths(tree)), []
    for number in range(NUM_TRIES):
        text = changed(tree, generator.choice(places), generator.choice(VALUES))
        copy = tmp_path / str(number) / "run"
        shutil.copytree(run, copy)
        (copy / name).write_text(f"{text}\n")
        assert refusal(capsys, "list", str(copy.parent)) == ""
        commands = ["show"], ["reproduce", f"--folder={copy.parent / 'again'}"], ["resume"]
        for command, *options in commands:
            refusals.append(refusal(capsys, command, str(copy), *options))
            # A setting is named itself, and a row that is not reproduced by its metric.
            named = (str(copy), "metrics.superseded.jsonl", *(["="] if name[0] == "c" else []))
            assert not refusals[-1] or any(word in refusals[-1] for word in named), text
    assert any(refusals)
