"""Bad input is refused in one sentence that names the parameter, the value, the rule and the mend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mbrl.config import ConfigError, build, compose, launch, resolved, set_threads
from mbrl.experiment import build_parts, run
from tests.configs import options

ROOT = Path(__file__).parent.parent


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build_parts(compose(overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["env=gymnasium", "env.id=Nowhere-v0"], "env.id=Nowhere-v0 is not an environment"),
        (["env=gymnasium", "env.id=CartPole-v9"], "env.id=CartPole-v9 is not an environment"),
        (["env=gymnasium", "env.id=HalfCheetah-v5"], "env.id=HalfCheetah-v5 needs a package that is not installed"),
        (["env.kwargs={wings: 2}"], "env.kwargs={'wings': 2} do not fit env.id=CartPole-v1"),
        (["planner.horizon=-3"], "planner.horizon=-3 must be at least 1"),
        (["planner.num_elites=65"], "planner.num_elites=65 exceeds planner.population_size=64"),
        (["planner.momentum=1"], "planner.momentum=1 must be in [0, 1)"),
        (["planner.act_on=whim"], "planner.act_on=whim must be 'distribution' or 'best_sample'"),
        (["planner=mcts", "planner.num_simulations=0"], "planner.num_simulations=0 must be at least 1"),
        (["planner=mcts", "planner.policy=alpha"], "planner.policy=alpha must be 'gumbel' or 'muzero'"),
        (["discount=1.5"], "discount=1.5 must be in (0, 1"),
        (["discount=1.5", "planner=mcts", "model/value=none"], "discount=1.5 must be in (0, 1"),
        (["training.epsilon=2"], "training.epsilon=2 must be in [0, 1]"),
        (["training.env_steps=-5"], "training.env_steps=-5 must be at least 1"),
        (["training.model_learner.batch_size=0"], "training.model_learner.batch_size=0 must be at least 1"),
        (["model.num_members=0"], "model.num_members=0 must be at least 1"),
        (["model.dynamics.width=0"], "width=0 of a model's network must be at least 1"),
        (["planner.horizon=many"], "planner.horizon=many must be a whole number"),
        (["training.model_learner.patience=none"], "training.model_learner.patience=none must be a whole number"),
        (["training.model_learner.patience=0"], "training.model_learner.patience=0 must be at least 1, or null"),
        (["training.model_learner.holdout_share=1"], "training.model_learner.holdout_share=1 must be between 0 and 1"),
        (["training.action_noise_std=-1"], "training.action_noise_std=-1 must be a finite number"),
        (["training.disagreement_bonus=1", "model=mlp"], "training.disagreement_bonus=1 needs an ensemble"),
        (
            ["model/propagation=ts1", "model.propagation.particles_per_member=0"],
            "model.propagation.particles_per_member=0 must be at least 1",
        ),
        (["model=oracle", "env=gymnasium", "env.id=CartPole-v1"], "model=oracle needs the environment's true dynamics"),
        (["model/reward=known", "env=gymnasium", "env.id=CartPole-v1"], "model/reward=known needs the environment's reward function"),
        (["model/termination=known", "env=gymnasium", "env.id=CartPole-v1"], "model/termination=known needs the environment's termination"),
        (["planner=greedy", "model/value=none"], "planner=greedy with model/value=none sees one reward ahead and nothing else"),
        (["+model.pesimism=2"], "did you mean 'pessimism'?"),
        (["+planner.horzon=2"], "did you mean 'horizon'?"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(overrides, named):
    sentence = refusal(*overrides)
    assert named in sentence
    assert "\n" not in sentence
    assert sentence[-1] in ".?"


@pytest.mark.parametrize("part", ["value=none", "reward=known", "termination=known", "termination=never"])
def test_a_misspelt_setting_of_what_learns_nothing_is_refused(part):
    group, _, _ = part.partition("=")
    assert "unexpected keyword argument 'widht'" in refusal(f"model/{part}", f"+model.{group}.widht=8")


def test_a_missing_value_is_asked_for():
    with pytest.raises(ConfigError, match=r"env\.id has no value: give it on the command line, env\.id=…"):
        resolved(compose(["env=gymnasium"]))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "urllib.request.urlretrieve",
        "jax.numpy.save",
        "mbrl.config.os.system",
        "mbrl.envs.gymnasium.gymnasium.make",
        "builtins.print",
    ],
)
def test_a_target_outside_the_project_is_not_run(target):
    node = OmegaConf.create({"_target_": target})
    with pytest.raises(ConfigError, match=rf"_target_={target} is not one of this project's own parts"):
        build(node)


def test_a_nested_target_outside_the_project_is_not_run(tmp_path):
    sentence = refusal("model.dynamics._target_=os.mkdir", f"+model.dynamics.path={tmp_path}/made")
    assert "_target_=os.mkdir is not one of this project's own parts" in sentence
    assert not (tmp_path / "made").exists()


def test_a_misspelt_target_is_named():
    assert "_target_=mbrl.planners.cem.CME cannot be found" in refusal("planner._target_=mbrl.planners.cem.CME")


def test_the_command_line_can_vouch_for_a_package_and_a_config_cannot(tmp_path, monkeypatch):
    (tmp_path / "their_package.py").write_text(
        "from mbrl.planners.random import RandomPlanner\ndef make(**sizes): return RandomPlanner(**sizes)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    override = "planner._target_=their_package.make"
    assert "say trust=[their_package] on the command line" in refusal("planner=random", override)
    trusted = compose(["planner=random", override, "trust=[their_package]"])
    assert launch(trusted).trust == ("their_package",)
    assert type(build_parts(trusted, launch(trusted).trust)[2]).__name__ == "RandomPlanner"
    trusting_itself = compose(["planner=random", override])
    OmegaConf.update(trusting_itself, "trust", ["their_package"])
    assert launch(trusting_itself).trust == ()


def test_threads_are_started_once_a_process():
    with pytest.raises(ConfigError, match="num_threads=7 cannot follow num_threads=1 in one process"):
        set_threads(7)


def test_a_refused_run_leaves_a_folder_that_says_so(tmp_path):
    with pytest.raises(ConfigError):
        run(compose(["planner.horizon=-1", f"hydra.run.dir={tmp_path}/run"]))
    summary = OmegaConf.load(tmp_path / "run" / "summary.json")
    assert summary.status == "failed"
    assert "planner.horizon=-1" in summary.error
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("planner.horizon=-1", "Error: planner.horizon=-1 must be at least 1; raise it."),
        ("planner=genius", f"Error: planner=genius is not there to choose: planner is one of {', '.join(options('planner'))}."),
        ("training.epsilon=none", "Error: training.epsilon=none must be in [0, 1]: the share of random actions; try 0.05."),
        ("planner.horzon=3", "Error: planner.horzon is not a setting of this config: check its spelling"),
        ("env=gymnasium", "Error: env.id has no value: give it on the command line, env.id=…."),
        ("logger=online", "Error: logger.wandb.mode=online needs a W&B account"),
    ],
)
def test_the_command_line_says_one_sentence_and_fails(tmp_path, override, sentence):
    command = [sys.executable, str(ROOT / "run.py"), "training=smoke", f"hydra.run.dir={tmp_path}/run", override]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "HYDRA"))} | {"HOME": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(sentence)
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.slow
def test_help_is_readable(tmp_path):
    result = subprocess.run([sys.executable, str(ROOT / "run.py"), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    for group in ("planner", "env", "model"):
        assert f"{group}: {', '.join(options(group))}" in result.stdout
    for word in ("training.env_steps", "planner.num_simulations"):
        assert word in result.stdout
