"""The ensemble learner: its phases, and the models that evaluation and collection plan in."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.config.build import build
from mbrl.data.replay_buffer import ReplayBuffer
from mbrl.envs import point_mass
from mbrl.errors import ConfigError
from mbrl.models.ensemble.fit_value import ValueState
from mbrl.models.ensemble.learner import EnsembleLearner
from mbrl.types import Box, Transition
from tests.configs import resolved_small
from tests.data.made import replay_of

KEY, SPACE = jax.random.key(0), Box(2)
BONUS = "model.disagreement_bonus=0.5"


def learner_of(*overrides: str) -> EnsembleLearner:
    """A small learner for the point mass, whose episodes never terminate."""
    choices = ("env=point_mass", "model/reward=known", "model/termination=never", "training=smoke")
    return build(resolved_small(*choices, *overrides).tree.model)


def random_steps() -> ReplayBuffer:
    """Independent steps of the point mass."""
    generator, truth = np.random.default_rng(0), point_mass.TrueDynamics()
    observation = jnp.asarray(generator.uniform(-1, 1, (60, 4)), jnp.float32)
    action = jnp.asarray(generator.uniform(-1, 1, (60, 2)), jnp.float32)
    next_observation = jax.vmap(lambda *step: truth.step(None, *step))(observation, action)
    reward = jax.vmap(point_mass.reward)(observation, action, next_observation)
    never = jnp.zeros(60, bool)
    return replay_of(Transition(observation, action, reward, next_observation, never, never))


@pytest.fixture(scope="module")
def learned():
    """A learner with a bonus, its state after a phase of learning, and the phase's metrics."""
    learner = learner_of(BONUS)
    start = learner.init(KEY, 4, SPACE)
    return learner, *eqx.filter_jit(learner.update)(KEY, start, random_steps())


def test_with_a_bonus_a_phase_fits_a_second_value(learned):
    _, state, metrics = learned
    names = {"loss/value", "value/mean", "value/disagreement"}
    assert names | {name.replace("/", "/curious_") for name in names} <= metrics.keys()
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["loss/curious_value"] != metrics["loss/value"]
    assert isinstance(state.bonus_value.state, ValueState)
    for one, other in zip(
        *(
            jax.tree.leaves(eqx.filter(value, eqx.is_array))
            for value in (state.bonus_value.function, state.model.value_function)
        ),
        strict=True,
    ):
        assert np.any(one != other)


def test_every_other_episode_is_collected_in_a_model_with_the_bonus_and_its_value(learned):
    """Evaluation and the other episodes have the plain model."""
    learner, state, _ = learned
    for episode in (0, 4):
        model = learner.collection_model(state, episode)
        assert not model.use_pessimism
        np.testing.assert_allclose(model.bonus, 0.5 * state.model.normaliser.reward_rms)
        for ours, theirs in zip(
            jax.tree.leaves(model.value_function),
            jax.tree.leaves(state.bonus_value.function),
            strict=True,
        ):
            assert ours is theirs
        assert jax.tree.structure(model) == jax.tree.structure(state.model)
    for episode in (1, 5):
        assert learner.collection_model(state, episode) is state.model
    assert learner.model(state) is state.model
    assert state.model.bonus == 0
    assert state.model.use_pessimism


def test_the_floor_makes_the_largest_cost_the_unit_of_the_bonus(learned):
    learner, state, _ = learned
    with_floor = learner_of(BONUS, "model.bonus_floor_until_first_termination=true")
    bonus = with_floor.collection_model(state, 0).bonus
    np.testing.assert_allclose(bonus, -0.5 * state.model.normaliser.reward_min)
    assert bonus > 1.5 * learner.collection_model(state, 0).bonus


@pytest.mark.parametrize(
    ("env", "floor"),
    [("mountain_car_continuous", True), ("cartpole", False), ("pendulum", False)],
)
def test_the_floor_is_on_where_episodes_terminate_on_a_goal(env, floor):
    learner = build(resolved_small(f"env={env}").tree.model)
    assert learner.bonus_floor_until_first_termination is floor


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.disagreement_bonus=0",),
        (BONUS, "model=mlp"),
        (BONUS, "model.num_members=1"),
        (BONUS, "model=oracle"),
    ],
    ids=" ".join,
)
def test_without_a_bonus_or_a_second_member_there_is_only_the_plain_model(overrides):
    learner = learner_of(*overrides)
    state = eqx.filter_eval_shape(learner.init, KEY, 4, SPACE)
    assert state.bonus_value is None
    assert learner.collection_model(state, 0) is state.model


def test_learners_with_equal_settings_are_equal():
    """So that two runs in a process share their compiled programs."""
    one, other = (jax.tree.structure(learner_of(BONUS, f"seed={seed}")) for seed in (0, 1))
    assert one == other
    assert one != jax.tree.structure(learner_of("model.disagreement_bonus=1"))


@pytest.mark.parametrize("bonus", ["-2", "1e+30"])
def test_a_bonus_outside_its_range_is_refused(bonus):
    message = f"model.disagreement_bonus={bonus}: must be in [0, 16777216]"
    with pytest.raises(ConfigError) as caught:
        learner_of(f"model.disagreement_bonus={bonus}")
    assert str(caught.value).startswith(message)
