"""The code blocks of docs/notebooks.md, run in their order."""

import re
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mbrl.runs.reader import read_summary
from mbrl.runs.result import RunResult

PAGE = Path(__file__).parent.parent / "docs" / "notebooks.md"
OWN_FILE = "my_conf/experiment/quick.yaml"  # of the page's YAML block


@pytest.mark.slow
def test_the_page_for_notebooks_runs_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # pandas is not a dependency: this one holds the columns as they are given to it.
    pandas = module_from_spec(ModuleSpec("pandas", None))
    monkeypatch.setattr(pandas, "DataFrame", dict, raising=False)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    plt.switch_backend("agg")
    variables, results = {}, []
    for language, block in re.findall(r"```(python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if language == "yaml":
            path = tmp_path / OWN_FILE
            path.parent.mkdir(parents=True)
            path.write_text(block)
        else:
            exec(compile(block, str(PAGE), "exec"), variables)
            results.append(variables["result"])
    first, last = results[0], results[-1]
    assert isinstance(first, RunResult)
    assert first == read_summary(first.folder)["evaluation/return_mean"]
    assert first.folder.parent.parent == tmp_path / "outputs" / "runs"
    assert first.to_pandas().keys() == first.metrics.keys()
    (line,) = plt.gca().lines
    np.testing.assert_array_equal(line.get_xdata(), [40, 60])
    assert sorted(variables["frame"]["planner"]) == ["greedy"] * 4 + ["random"] * 4
    assert f"`{OWN_FILE}`" in PAGE.read_text()
    assert last.folder.name.endswith("_point_mass_ensemble_greedy_seed3")
    plt.close("all")
