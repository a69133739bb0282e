"""Parts are assembled, and bad settings refused in one sentence: value, rule, remedy."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import DependencyNotInstalled
from omegaconf import OmegaConf, open_dict

from mbrl.assemble import assemble
from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.models.base import AbstractLearner
from mbrl.training.loop import update
from tests.configs import new_run_info
from tests.training.recall import Recall


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        assemble(resolve(compose(overrides)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["env=gymnasium", "env.id=Nowhere-v0"], "env.id=Nowhere-v0 is not an environment"),
        (["env=gymnasium", "env.id=CartPole-v9"], "env.id=CartPole-v9 is not an environment"),
        (["env.kwargs={wings: 2}"], "env.kwargs={'wings': 2} do not fit env.id=CartPole-v1"),
        (["planner.horizon=-3"], "planner.horizon=-3: must be at least 1"),
        (
            ["planner.num_elites=41"],
            "planner.num_elites=41: must not exceed planner.population_size=40",
        ),
        (["planner.momentum=1"], "planner.momentum=1: must be in [0, 1)"),
        (
            ["planner.return_mode=whim"],
            "planner.return_mode=whim: must be 'mode' or 'best_sample'",
        ),
        (
            ["planner=mcts", "planner.num_simulations=0"],
            "planner.num_simulations=0: must be at least 1",
        ),
        (
            ["planner=mcts", "planner.policy=alpha"],
            "planner.policy=alpha: must be 'gumbel' or 'muzero'",
        ),
        (["discount=1.5", "planner=mcts", "model/value=none"], "discount=1.5: must be in (0, 1"),
        (["training.epsilon=2"], "training.epsilon=2: must be in [0, 1]"),
        (["training.env_steps=-5"], "training.env_steps=-5: must be at least 1"),
        (
            ["model.fit_model.batch_size=0"],
            "model.fit_model.batch_size=0: must be at least 1",
        ),
        (["model.num_members=0"], "model.num_members=0: must be at least 1"),
        (["model.dynamics.width=0"], "width=0 of a model's network: must be at least 1"),
        (["planner.horizon=many"], "planner.horizon=many: must be a whole number"),
        (
            ["model.fit_model.patience=none"],
            "model.fit_model.patience=none: must be a whole number",
        ),
        (
            ["model.fit_model.patience=0"],
            "model.fit_model.patience=0: must be at least 1, or null",
        ),
        (
            ["model.fit_model.validation_fraction=1"],
            "model.fit_model.validation_fraction=1: must be between 0 and 1",
        ),
        (["training.action_noise_std=-1"], "training.action_noise_std=-1: must be"),
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
            "planner=greedy: needs a learned value",
        ),
        (["planner=random", "model/value=none", "discount=7"], "discount=7: must be in (0, 1]"),
        (["planner.horizon=20000"], "planner.horizon=20000: must be at most 10000"),
        (
            ["planner.num_iterations=2000000000"],
            "planner.num_iterations=2000000000: must be at most 1000",
        ),
        (
            ["planner=mcts", "planner.num_simulations=1000000"],
            "planner.num_simulations=1000000: must be at most 100000",
        ),
        (
            ["planner=icem", "planner.noise_exponent=1e9"],
            "planner.noise_exponent=1000000000.0: must be in [0, 10]",
        ),
        (["planner.momentum=true"], "planner.momentum=True: must be a number"),
        (["planner.initial_std=inf"], "planner.initial_std=inf: must be a number (finite"),
        (["planner.initial_std=nan"], "planner.initial_std=nan: must be a number (finite"),
        (["+planner._partial_=perhaps"], "planner._partial_=perhaps: must be true or false"),
        (["planner.horizon=null"], "planner.horizon=null: must be a whole number"),
        (["planner.horizon=[3]"], "planner.horizon=[3]: must be a whole number"),
        (
            ["planner.horizon=4294967296"],
            "planner.horizon=4294967296: must be a whole number (up to 2147483647)",
        ),
        (
            ["planner._target_=mbrl.models.ensemble.propagation.Expectation"],
            "planner.discount: not a setting of mbrl.models.ensemble.propagation.Expectation",
        ),
        (["env.episode_limit=-1"], "env.episode_limit=-1: must be at least 1, or null"),
        (["env.id=3"], "env.id=3: must be a word"),
        (["env.kwargs=[1]"], "env.kwargs=[1]: must be a mapping or null"),
        (
            ["model/reward=known", "env.reward_range=[1]"],
            "env.reward_range=[1]: must be the smallest and the largest",
        ),
        (
            ["model/reward=known", "env.reward_range=[2,1]"],
            "env.reward_range=[2, 1]: must be the smallest and the largest",
        ),
        (["model.dynamics._partial_=false"], "must be a function (by its _target_)"),
        (
            ["model.propagation=mean"],
            "model.propagation=mean: must be a part (by its _target_) of the kind AbstractProp",
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
            ["model.fit_value.batch_size=2147483647"],
            "its largest numbers are model.fit_value.batch_size=2147483647",
        ),
        (
            ["training.replay_capacity=20"],
            "training.replay_capacity=20: must be at least 200, the time steps collected",
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
            "training.action_noise_exponent=99: must be in [0, 10]",
        ),
        (
            ["optimizer.learning_rate=-1"],
            "optimizer.learning_rate=-1: must not be negative",
        ),
        (
            ["optimizer.weight_decay=-1"],
            "optimizer.weight_decay=-1: must not be negative",
        ),
        (
            ["optimizer.learning_rate=fast"],
            "optimizer.learning_rate=fast: must be a number",
        ),
        (
            ["optimizer=clipped_adamw", "optimizer.weight_decay=x"],
            "optimizer.weight_decay=x: must be a number",
        ),
        (
            ["model.fit_model.optimizer=adam"],
            "model.fit_model.optimizer=adam: must be a part (by its _target_) of the kind",
        ),
        (
            ["+model.pesimism=2"],
            "model.pesimism: not a setting of mbrl.models.ensemble.learner.EnsembleLearner. Did",
        ),
        (
            ["+planner.horzon=2"],
            "planner.horzon: not a setting of mbrl.planners.cem.CEM. Did you mean 'horizon'?",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_named(overrides, named):
    sentence = refusal(*overrides)
    assert named in sentence
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
    sentence = refusal(f"model/{part}", f"+model.{group}.widht=8")
    assert sentence.startswith(f"model.{group}.widht: not a setting of ")


def test_a_nested_target_outside_the_project_is_not_run(tmp_path):
    sentence = refusal("model.dynamics._target_=os.mkdir", f"+model.dynamics.path={tmp_path}/made")
    assert "_target_=os.mkdir: not one of this project's own parts" in sentence
    assert not (tmp_path / "made").exists()


def test_a_misspelt_target_is_named():
    assert "_target_=mbrl.planners.cem.CME: not found" in refusal(
        "planner._target_=mbrl.planners.cem.CME"
    )


def test_trust_counts_from_the_command_line_and_not_from_a_config(tmp_path, monkeypatch):
    (tmp_path / "their_package.py").write_text(
        "from mbrl.planners.random import RandomPlanner\n"
        "def make(**sizes): return RandomPlanner(**sizes)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    override = "planner._target_=their_package.make"
    assert "add trust=[their_package] to the command line" in refusal("planner=random", override)
    trusting = compose(["planner=random", override, "trust=[their_package]"])
    trust = new_run_info(trusting).trust
    assert trust == ("their_package",)
    assert type(assemble(resolve(trusting), trust).planner).__name__ == "RandomPlanner"
    in_the_config = compose(["planner=random", override])
    OmegaConf.update(in_the_config, "trust", ["their_package"])
    assert new_run_info(in_the_config).trust == ()


class CountingLearner(AbstractLearner):
    """Keeps the key that it is given, and makes its model anew from the state."""

    def init(self, key, observation_size, action_space):
        return key, jnp.zeros((), int)

    def update(self, key, state, replay):
        root_key, count = state
        return (root_key, count + 1), {"loss/count": count.astype(float)}

    def model(self, state):
        return Recall(state[1] - 1)

    def collection_model(self, state, episode):
        return self.model(state)

    def parameters(self, state):
        return {}


def test_a_learner_may_keep_its_key_and_compute_its_model():
    config = compose(["training=smoke", "planner=random", "env=corridor"])
    with open_dict(config):
        config.model = {"_target_": f"{__name__}.{CountingLearner.__name__}"}
    parts = assemble(resolve(config), trust=("tests",))
    state = parts.state
    for number in range(3):
        state, metrics = update(parts.learner, state, np.asarray(number))
        assert metrics["loss/count"] == number
    np.testing.assert_array_equal(
        jax.random.key_data(state.key), jax.random.key_data(state.learner[0])
    )
