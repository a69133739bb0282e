"""Bad input is refused in one sentence that names the parameter, the value, the rule and the mend."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import DependencyNotInstalled
from omegaconf import OmegaConf

from mbrl.assemble import assemble
from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.config.launch import run_info_from_hydra
from mbrl.config.process import set_threads
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.experiment import run
from tests.configs import options

ROOT = Path(__file__).parent.parent


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        assemble(compose(overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["env=gymnasium", "env.id=Nowhere-v0"], "env.id=Nowhere-v0 is not an environment"),
        (["env=gymnasium", "env.id=CartPole-v9"], "env.id=CartPole-v9 is not an environment"),
        (["env.kwargs={wings: 2}"], "env.kwargs={'wings': 2} do not fit env.id=CartPole-v1"),
        (["planner.horizon=-3"], "planner.horizon=-3 must be at least 1"),
        (["planner.num_elites=41"], "planner.num_elites=41 exceeds planner.population_size=40"),
        (["planner.momentum=1"], "planner.momentum=1 must be in [0, 1)"),
        (
            ["planner.return_mode=whim"],
            "planner.return_mode=whim must be 'mode' or 'best_sample'",
        ),
        (
            ["planner=mcts", "planner.num_simulations=0"],
            "planner.num_simulations=0 must be at least 1",
        ),
        (
            ["planner=mcts", "planner.policy=alpha"],
            "planner.policy=alpha must be 'gumbel' or 'muzero'",
        ),
        (["discount=1.5"], "discount=1.5 must be in (0, 1"),
        (["discount=1.5", "planner=mcts", "model/value=none"], "discount=1.5 must be in (0, 1"),
        (["training.epsilon=2"], "training.epsilon=2: must be in [0, 1]"),
        (["training.env_steps=-5"], "training.env_steps=-5: must be at least 1"),
        (
            ["training.model_learner.batch_size=0"],
            "training.model_learner.batch_size=0: must be at least 1",
        ),
        (["model.num_members=0"], "model.num_members=0: must be at least 1"),
        (["model.dynamics.width=0"], "width=0 of a model's network: must be at least 1"),
        (["planner.horizon=many"], "planner.horizon=many must be a whole number"),
        (
            ["training.model_learner.patience=none"],
            "training.model_learner.patience=none must be a whole number",
        ),
        (
            ["training.model_learner.patience=0"],
            "training.model_learner.patience=0: must be at least 1, or null",
        ),
        (
            ["training.model_learner.validation_fraction=1"],
            "training.model_learner.validation_fraction=1: must be between 0 and 1",
        ),
        (["training.action_noise_std=-1"], "training.action_noise_std=-1: must be a finite number"),
        (
            ["model/propagation=ts1", "model.propagation.particles_per_member=0"],
            "model.propagation.particles_per_member=0: must be at least 1",
        ),
        (
            ["model=oracle", "env=gymnasium", "env.id=CartPole-v1"],
            "model=oracle needs the environment's true dynamics",
        ),
        (
            ["model/reward=known", "env=gymnasium", "env.id=CartPole-v1"],
            "model/reward=known needs the environment's reward function",
        ),
        (
            ["model/termination=known", "env=gymnasium", "env.id=CartPole-v1"],
            "model/termination=known needs the environment's termination",
        ),
        (
            ["planner=greedy", "model/value=none"],
            "planner=greedy with model/value=none sees one reward ahead and nothing else",
        ),
        (["seed=-1"], "seed=-1 must be a whole number in [0, 2^32)"),
        (["seed=one"], "seed=one must be a whole number in [0, 2^32)"),
        (["horizon=0"], "horizon=0 must be at least 1"),
        (["discount=null"], "discount=null must be a number"),
        (["planner=random", "model/value=none", "discount=7"], "discount=7 must be in (0, 1]"),
        (["compilation_cache=maybe"], "compilation_cache=maybe must be true or false"),
        (["num_threads=1.5"], "num_threads=1.5 must be a whole number"),
        (
            ["logger.console=null"],
            "logger.console=null is no part: a part is a mapping with a _target_",
        ),
        (["env.terminates_on=maybe"], "discount refers to what is not there"),
        (["seed=${nowhere}"], "seed refers to what is not there"),
        (["planner.horizon=20000"], "planner.horizon=20000 must be at most 10000"),
        (
            ["planner.num_iterations=2000000000"],
            "planner.num_iterations=2000000000 must be at most 1000",
        ),
        (
            ["planner=mcts", "planner.num_simulations=1000000"],
            "planner.num_simulations=1000000 must be at most 100000",
        ),
        (
            ["planner=icem", "planner.noise_exponent=1e9"],
            "planner.noise_exponent=1000000000.0 must be in [0, 10]",
        ),
        (["planner.momentum=true"], "planner.momentum=True must be a number"),
        (["planner.initial_std=inf"], "planner.initial_std=inf must be a number (finite"),
        (["planner.initial_std=nan"], "planner.initial_std=nan must be a number (finite"),
        (["+planner._partial_=perhaps"], "planner._partial_=perhaps must be true or false"),
        (["planner.horizon=null"], "planner.horizon=null must be a whole number"),
        (["planner.horizon=[3]"], "planner.horizon=[3] must be a whole number"),
        (
            ["planner.horizon=4294967296"],
            "planner.horizon=4294967296 must be a whole number (up to 2147483647)",
        ),
        (
            ["planner._target_=mbrl.models.propagation.Expectation"],
            "planner.discount is an unexpected keyword argument",
        ),
        (["env.episode_limit=-1"], "env.episode_limit=-1 must be at least 1, or null"),
        (["env.id=3"], "env.id=3 must be a word"),
        (["env.kwargs=[1]"], "env.kwargs=[1] must be a mapping or null"),
        (
            ["model/reward=known", "env.reward_range=[1]"],
            "model.reward.range=[1]: must be the smallest and the largest",
        ),
        (
            ["model/reward=known", "env.reward_range=[2,1]"],
            "model.reward.range=[2, 1]: must be the smallest and the largest",
        ),
        (["model.dynamics._partial_=false"], "must be a function (by its _target_)"),
        (
            ["model.propagation=mean"],
            "model.propagation=mean must be a part (by its _target_) of the kind AbstractPropagation",
        ),
        (["model.dynamics.depth=1000"], "depth=1000 of a model's network: must be from 1 to 100"),
        (
            ["model.dynamics.width=1000000"],
            "This config needs too much memory (an array of shape (5, 1000000, 1000000)",
        ),
        (["model.num_members=2147483647"], "its largest numbers are model.num_members=2147483647"),
        (
            ["planner.population_size=2000000000"],
            "its largest numbers are planner.population_size=2000000000",
        ),
        (
            ["training.replay_capacity=2147483647"],
            "its largest numbers are training.replay_capacity=2147483647",
        ),
        (
            ["training.value_learner.batch_size=2147483647"],
            "its largest numbers are training.value_learner.batch_size=2147483647",
        ),
        (
            ["training.replay_capacity=20"],
            "training.replay_capacity=20: must be at least 100",
        ),
        (["training.evaluation_seed=-1"], "training.evaluation_seed=-1: must be from 0 to"),
        (
            ["training.evaluation_seed=1048570"],
            "training.evaluation_seed=1048570: must be from 0 to",
        ),
        (
            ["training.evaluation_episodes=20000"],
            "training.evaluation_episodes=20000: must be at most 10000",
        ),
        (
            ["training.action_noise_exponent=99"],
            "training.action_noise_exponent=99: must be at most 10",
        ),
        (
            ["optimizer.learning_rate=-1"],
            "optimizer.learning_rate=-1 must not be negative",
        ),
        (
            ["optimizer.learning_rate=fast"],
            "optimizer.learning_rate=fast must be a number",
        ),
        (
            ["optimizer.weight_decay=x"],
            "optimizer.weight_decay=x must be a number",
        ),
        (
            ["training.model_learner.optimizer=adam"],
            "training.model_learner.optimizer=adam must be a part (by its _target_) of the kind Gradient",
        ),
        (["+model.pesimism=2"], "did you mean 'pessimism'?"),
        (["+planner.horzon=2"], "did you mean 'horizon'?"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(overrides, named):
    sentence = refusal(*overrides)
    assert named in sentence
    assert "\n" not in sentence
    assert sentence[-1] in ".?"


def test_an_environment_whose_package_is_missing_is_named(monkeypatch):
    def made():
        raise DependencyNotInstalled(
            'MuJoCo is not installed, run `pip install "gymnasium[mujoco]"`'
        )

    monkeypatch.setitem(gymnasium.registry, "Unmet-v0", EnvSpec("Unmet-v0", entry_point=made))
    sentence = refusal("env=gymnasium", "env.id=Unmet-v0")
    assert sentence.startswith(
        "env.id=Unmet-v0 needs a package that is not installed: MuJoCo is not installed"
    )
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "part", ["value=none", "reward=known", "termination=known", "termination=never"]
)
def test_a_misspelt_setting_of_what_learns_nothing_is_refused(part):
    group, _, _ = part.partition("=")
    assert "unexpected keyword argument 'widht'" in refusal(
        f"model/{part}", f"+model.{group}.widht=8"
    )


def test_a_missing_value_is_asked_for():
    with pytest.raises(
        ConfigError, match=r"env\.id has no value: give it on the command line, env\.id=…"
    ):
        resolve(compose(["env=gymnasium"]))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "urllib.request.urlretrieve",
        "jax.numpy.save",
        "mbrl.config.process.os.system",
        "mbrl.envs.gymnasium.gymnasium.make",
        "builtins.print",
    ],
)
def test_a_target_outside_the_project_is_not_run(target):
    node = OmegaConf.create({"_target_": target})
    with pytest.raises(
        ConfigError, match=rf"_target_={target} is not one of this project's own parts"
    ):
        build(node)


def test_a_nested_target_outside_the_project_is_not_run(tmp_path):
    sentence = refusal("model.dynamics._target_=os.mkdir", f"+model.dynamics.path={tmp_path}/made")
    assert "_target_=os.mkdir is not one of this project's own parts" in sentence
    assert not (tmp_path / "made").exists()


def test_a_misspelt_target_is_named():
    assert "_target_=mbrl.planners.cem.CME cannot be found" in refusal(
        "planner._target_=mbrl.planners.cem.CME"
    )


def test_the_command_line_can_vouch_for_a_package_and_a_config_cannot(tmp_path, monkeypatch):
    (tmp_path / "their_package.py").write_text(
        "from mbrl.planners.random import RandomPlanner\ndef make(**sizes): return RandomPlanner(**sizes)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    override = "planner._target_=their_package.make"
    assert "say trust=[their_package] on the command line" in refusal("planner=random", override)
    trusted = compose(["planner=random", override, "trust=[their_package]"])
    assert run_info_from_hydra(trusted).trust == ("their_package",)
    assert (
        type(assemble(trusted, run_info_from_hydra(trusted).trust)[2]).__name__ == "RandomPlanner"
    )
    trusting_itself = compose(["planner=random", override])
    OmegaConf.update(trusting_itself, "trust", ["their_package"])
    assert run_info_from_hydra(trusting_itself).trust == ()


def test_threads_are_started_once_a_process():
    with pytest.raises(
        ConfigError, match="num_threads=7 cannot follow num_threads=1 in one process"
    ):
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
        (
            "planner=genius",
            f"Error: planner=genius is not there to choose: planner is one of {', '.join(options('planner'))}.",
        ),
        (
            "training.epsilon=none",
            "Error: training.epsilon=none must be a number (finite, in single precision) or a function",
        ),
        (
            "planner.horzon=3",
            "Error: planner.horzon is not a setting of this config: check its spelling",
        ),
        ("env=gymnasium", "Error: env.id has no value: give it on the command line, env.id=…."),
        ("logger=online", "Error: logger.wandb.mode=online needs a W&B account"),
    ],
)
def test_the_command_line_says_one_sentence_and_fails(tmp_path, override, sentence):
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "training=smoke",
        f"hydra.run.dir={tmp_path}/run",
        override,
    ]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "HYDRA"))
    } | {"HOME": str(tmp_path)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(sentence)
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.slow
def test_help_is_readable(tmp_path):
    result = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0
    for group in ("planner", "env", "model"):
        assert f"{group}: {', '.join(options(group))}" in result.stdout
    for word in ("training.env_steps", "planner.num_simulations"):
        assert word in result.stdout


def test_under_wandb_s_agent_a_run_keeps_the_agent_s_id_for_its_resumes(monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "ag3nt")
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    config = compose()
    assert (
        run_info_from_hydra(config).run_id != "ag3nt"
    )  # which would be shared by all that this shell starts
    monkeypatch.setenv("WANDB_SWEEP_ID", "sw33p")
    assert run_info_from_hydra(config).to_provenance()["run_id"] == "ag3nt"
