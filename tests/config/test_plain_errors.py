"""Errors that a user can act on are printed as one sentence, with an exit status."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import HydraException
from yaml import YAMLError

from mbrl.config.compose import compose
from mbrl.config.plain_errors import PLAIN_ERRORS_FLAG, plain_errors
from mbrl.errors import ConfigError, RunError
from tests.configs import options

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def plain(monkeypatch) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delenv(PLAIN_ERRORS_FLAG, raising=False)


def printed(capsys, error: BaseException | list[str], status: int = 1) -> str:
    """What is printed for an error, or for a composition that fails."""

    def fail() -> None:
        if not isinstance(error, list):
            raise error
        compose(error)

    with pytest.raises(SystemExit) as caught, plain_errors():
        fail()
    assert caught.value.code == status
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    return output.err


ERRORS = [ConfigError("a: b."), RunError("a:\n b."), OSError("a: b."), YAMLError("a:\n b.")]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_one_line_on_stderr(capsys, error):
    assert printed(capsys, error) == "Error: a: b.\n"


def test_an_error_inside_a_hydra_plugin_is_unwrapped(capsys):
    error = HydraException("cannot instantiate")
    error.__cause__ = ConfigError("hydra.launcher.n_jobs=0: must be at least 1.")
    assert printed(capsys, error) == "Error: hydra.launcher.n_jobs=0: must be at least 1.\n"


def test_an_error_of_the_system_is_a_sentence_also_inside_another(capsys):
    error = ValueError("Unable to configure handler 'file'")  # of logging
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied", "run/run.log")
    expected = "Error: run/run.log: Permission denied. Change its permissions, or work in another"
    assert printed(capsys, error).startswith(expected)
    assert printed(capsys, error.__cause__).startswith(expected)


def test_an_error_that_is_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), plain_errors():
        raise ZeroDivisionError


def test_an_unknown_option_names_the_others(capsys):
    planners = ", ".join(options("planner"))
    expected = f"Error: planner=genius: no such option. planner is one of {planners}.\n"
    assert printed(capsys, ["planner=genius"]) == expected


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["planer=mcts"], "planner"),
        (["sed=3"], "seed"),
        (["training.env_step=100"], "training.env_steps"),
        (["planner=mcts", "planner.num_simulation=9"], "planner.num_simulations"),
        (["env=pendulum", "env.kwarg={}"], "env.kwargs"),
        (["model.fit_model.num_update=3"], "model.fit_model.num_updates"),
    ],
)
def test_a_misspelt_setting_is_told_before_any_other_advice(capsys, monkeypatch, words, meant):
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    sentence = printed(capsys, words)
    misspelt = words[-1].partition("=")[0]
    assert sentence.startswith(f"Error: {misspelt}: not a setting of this config. Did you mean ")
    assert f"Did you mean '{meant}'?" in sentence
    assert sentence.index(meant) < sentence.index("+")


@pytest.mark.parametrize("word", ["seed.x=3", "nothing.here=3", "x" * 5000 + "=3"])
def test_without_a_near_setting_none_is_told(capsys, monkeypatch, word):
    monkeypatch.setattr(sys, "argv", ["run.py", "=", "planner=", "model/value=none", word])
    sentence = printed(capsys, [word])
    assert sentence.startswith("Error: ")
    assert "Did you mean" not in sentence


@pytest.mark.parametrize(
    ("word", "meant"), [("planner=mtcs", "mcts"), ("env=cart_pole", "cartpole"), ("model=MLP", "")]
)
def test_a_misspelt_option_is_told(capsys, word, meant):
    sentence = printed(capsys, [word])
    assert (f"Did you mean '{meant}'?" in sentence) == bool(meant)
    assert "is one of" in sentence


def test_an_unknown_setting_says_where_all_are_listed(capsys):
    sentence = printed(capsys, ["planner.weather=3"])
    assert sentence.startswith("Error: planner.weather: not a setting of this config. `python")
    assert "python run.py --cfg job" in sentence


def test_an_interruption_has_the_status_that_shells_expect(capsys):
    assert printed(capsys, KeyboardInterrupt(), status=130).startswith("Interrupted")


def test_a_traceback_is_kept_where_the_user_asks_for_it(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError), plain_errors():
        raise ConfigError("a")


@pytest.mark.slow
@pytest.mark.parametrize("word", ["hydra.sweeper.params={a: 1}", "hydra.sweeper=1"])
@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["run", "multirun"])
def test_run_py_prints_one_sentence_for_a_malformed_word(tmp_path, mode, word):
    command = [sys.executable, str(ROOT / "run.py"), *mode, word]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    [sentence] = result.stderr.splitlines()
    assert sentence.startswith(f"Error: {word.partition('=')[0]}")


@pytest.mark.slow
def test_run_py_prints_one_sentence_and_fails(tmp_path):
    command = [sys.executable, str(ROOT / "run.py"), "training.env_steps=-5", "logger=files"]
    result = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path}/run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    *others, last = result.stderr.strip().splitlines()
    assert last.startswith("Error: training.env_steps=-5")
    assert all(line.startswith("Error executing job with overrides") for line in others)  # Hydra's


@pytest.mark.slow
def test_help_lists_groups_and_settings(tmp_path):
    command = [sys.executable, str(ROOT / "run.py"), "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    for group in ("planner", "env", "model", "optimizer"):
        assert f"{group}: {', '.join(options(group))}" in result.stdout
    for word in ("training.env_steps", "planner.num_simulations"):
        assert word in result.stdout
