"""`python -m mbrl run` does what run.py does, from any folder."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import mbrl
from mbrl.__main__ import console, main
from mbrl.runs.finder import runs_in
from mbrl.runs.metric_diff import differences
from mbrl.runs.reader import read_metrics, read_summary
from tests.faults.runs import QUICK, ROOT

pytestmark = pytest.mark.slow


def run(folder, *command):
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_a_run_equals_that_of_run_py(tmp_path):
    settings = (*QUICK, "seed=3")
    by_command = run(tmp_path, "-m", "mbrl", "run", *settings, "hydra.run.dir=a")
    by_file = run(tmp_path, str(ROOT / "run.py"), *settings, "hydra.run.dir=b")
    assert (by_command.returncode, by_file.returncode) == (0, 0), by_command.stderr
    rows = [read_metrics(tmp_path / name) for name in ("a", "b")]
    assert differences(*rows) == []
    assert read_summary(tmp_path / "a")["status"] == "completed"


def test_m_sweeps(tmp_path):
    sweep = run(tmp_path, "-m", "mbrl", "run", "-m", *QUICK, "seed=0,1", "hydra.sweep.dir=s")
    assert sweep.returncode == 0, sweep.stderr
    assert [job.name for job in runs_in(tmp_path / "s")] == ["0_seed=0", "1_seed=1"]


def test_a_refusal_is_one_sentence(tmp_path):
    refused = run(tmp_path, "-m", "mbrl", "run", "planer=mcts")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: planer: not a setting of this config. Did you mean")
    assert not list(tmp_path.iterdir())


def test_a_config_path_is_relative_to_the_working_directory_and_guarded(tmp_path):
    (tmp_path / "theirs").mkdir()
    config = "defaults: [_self_]\nhydra: {run: {dir: /elsewhere}}"
    (tmp_path / "theirs" / "config.yaml").write_text(config)
    refused = run(tmp_path, "-m", "mbrl", "run", "--config-path", "theirs")
    assert refused.returncode == 1
    assert "hydra.run.dir=/elsewhere: a config from elsewhere may not set this" in refused.stderr


def test_the_version_is_the_distributions(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mbrl {mbrl.__version__}\n"


def test_the_console_script_is_declared():
    [script] = entry_points(group="console_scripts", name="mbrl")
    assert script.load() is console
