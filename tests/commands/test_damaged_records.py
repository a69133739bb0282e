"""Values of any type, anywhere in a run's files: each command reads them, or names the damage."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import mbrl
from mbrl.__main__ import main
from mbrl.config.launch import read_run, run_info_from_provenance
from mbrl.errors import ConfigError, CorruptRun
from mbrl.runs.reader import read_metrics
from tests.faults.runs import QUICK

pytestmark = pytest.mark.slow

VALUES = ["null", "-1", "1.5", "1e400", "NaN", '"x"', '""', "[]", "{}", "[{}]", "[[1]]", "true"]
VALUES += ['{"a": {"b": [1]}}', "9" * 6000, "[" * 3000, '"\\u001b[2J"']
NUM_TRIES = 15  # of each file


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


@pytest.mark.parametrize("name", ["summary", "provenance", "metrics", "config"])
def test_any_value_is_read_or_named(run, name, capsys):
    file = run / {"metrics": "metrics.jsonl", "config": "config.yaml"}.get(name, f"{name}.json")
    before, generator = file.read_text(), random.Random(name)
    tree = yaml.safe_load(before.splitlines()[-1] if name == "metrics" else before)
    places, refusals = list(paths(tree)), []
    for _ in range(NUM_TRIES):
        text = changed(tree, generator.choice(places), generator.choice(VALUES))
        file.write_text(f"{text}\n")
        assert main(["list", str(run.parent)]) == 0
        for command in (
            lambda: main(["show", str(run)]),
            lambda: run_info_from_provenance(run, read_run(run, [])[1], []),
            lambda: read_metrics(run),
        ):
            try:
                command()
            except (ConfigError, CorruptRun) as refusal:
                refusals.append(str(refusal))
        assert "\x1b" not in capsys.readouterr().out
    file.write_text(before)
    assert refusals
    assert all(len(refusal.splitlines()) == 1 and len(refusal) < 1000 for refusal in refusals)
