"""The contracts of world models and learners: every conf/model, action kind and component."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.config.build import build
from mbrl.data.replay_buffer import init_replay
from mbrl.training.state import is_key
from mbrl.types import Box, Transition
from tests.configs import ACTION_KINDS, options, point_mass_with, resolved_small, small_config
from tests.models.small import example_normaliser, num_parameters, weighted

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
COMPONENTS = ("reward", "termination", "value", "risk")


def cases() -> list[tuple[str, str]]:
    """Every model and every propagation with each action kind; every other option once.

    Options of the default model are left out.
    """
    default = small_config().model
    of_components = [
        f"model/{group}={option}" for group in COMPONENTS for option in options(f"model/{group}")
    ]
    others = [choice for choice in of_components if small_config(choice).model != default]
    models = [f"model={option}" for option in options("model")]
    models += [
        f"model=probabilistic model/propagation={option}" for option in options("model/propagation")
    ]
    return [(choice, actions) for choice in models for actions in ACTION_KINDS] + [
        (choice, ACTION_KINDS[0]) for choice in others
    ]


class Case:
    """A model with a normaliser, and data of its environment's shapes."""

    def __init__(self, choice: str, actions: str):
        config = resolved_small(*choice.split(), *point_mass_with(actions)).tree
        environment = build(config.env)
        self.size, self.action_space = environment.observation_size, environment.action_space
        model = weighted(lambda: build(config.model).init(KEY, self.size, self.action_space).model)
        self.model = model.with_normaliser(example_normaliser(self.size))
        one = self.transitions(())
        self.observation, self.action = one.observation, one.action

    def transitions(self, shape: tuple[int, ...]) -> Transition:
        generator = np.random.default_rng(0)
        action = jax.eval_shape(self.action_space.sample, KEY)
        whole = jnp.issubdtype(action.dtype, jnp.integer)
        draw = partial(generator.integers, 0, 3) if whole else partial(generator.uniform, -1, 1)
        transitions = Transition(
            observation=generator.normal(size=(*shape, self.size)).astype(np.float32),
            action=np.asarray(draw((*shape, *action.shape)), action.dtype),
            reward=np.float32(generator.normal(size=shape)),
            next_observation=generator.normal(size=(*shape, self.size)).astype(np.float32),
            terminated=generator.random(shape) < 0.5,
            truncated=np.zeros(shape, bool),
        )
        return jax.tree.map(jnp.asarray, transitions)

    def batch(self) -> Transition:
        return self.transitions((self.model.num_members, 3))


@pytest.fixture(scope="module", params=cases(), ids="-".join)
def case(request):
    return Case(*request.param)


@eqx.filter_jit
def predict(model, observation, action):
    belief = model.initial()
    for is_first in (True, False):
        belief = model.observe(KEY, belief, action, observation, jnp.array(is_first))
    prediction = model.step(KEY, belief, action)
    return belief, prediction, model.value(prediction.state), model.aggregate(prediction.reward)


def test_a_belief_and_a_predicted_state_have_the_structure_of_the_initial_belief(case):
    """Weak types, too, or a loop would compile twice."""
    belief, prediction, _, _ = eqx.filter_eval_shape(
        predict, case.model, case.observation, case.action
    )
    initial = jax.eval_shape(case.model.initial)
    for state in (belief, prediction.state):
        assert jax.tree.structure(state) == jax.tree.structure(initial)
        for before, after in zip(jax.tree.leaves(initial), jax.tree.leaves(state), strict=True):
            for attribute in ("shape", "dtype", "weak_type"):
                assert getattr(before, attribute) == getattr(after, attribute)


def test_a_step_predicts_a_reward_and_a_continuation_of_each_particle(case):
    belief, prediction, value, aggregate = predict(case.model, case.observation, case.action)
    assert prediction.reward.shape == prediction.continuation.shape == value.shape
    assert value.shape[0] % case.model.num_members == 0
    assert aggregate.shape == prediction.heads["disagreement"].shape == ()
    assert 0 <= prediction.heads["disagreement"] <= 1
    assert all(
        np.all(np.isfinite(leaf))
        for leaf in jax.tree.leaves((belief, prediction, value, aggregate))
    )
    assert np.all((prediction.continuation >= 0) & (prediction.continuation <= 1))


def test_collapsed_particles_are_equal_and_keep_shape_and_dtype(case):
    state = predict(case.model, case.observation, case.action)[1].state
    collapsed = case.model.collapse_particles(KEY, state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(collapsed), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        np.testing.assert_array_equal(after, np.broadcast_to(after[0], after.shape))


def test_equal_estimates_aggregate_to_themselves(case):
    particles = jax.eval_shape(lambda: case.model.value(case.model.initial()))
    np.testing.assert_allclose(
        case.model.aggregate(jnp.full(particles.shape, 3.0, float)), 3.0, rtol=1e-6
    )


@eqx.filter_jit
@eqx.filter_value_and_grad(has_aux=True)
def total_loss(components, model, batch):
    losses = eqx.tree_at(lambda m: m.components, model, components).losses(KEY, batch)
    return sum(losses.values(), jnp.zeros(())), losses


def test_losses_are_finite_and_have_gradients_for_every_parameter(case):
    (_, losses), gradient = total_loss(case.model.components, case.model, case.batch())
    assert all(name.startswith("loss/") for name in losses)
    assert all(loss.shape == () and np.isfinite(loss) for loss in losses.values())
    assert (num_parameters(case.model.components) > 0) == any(loss != 0 for loss in losses.values())
    for leaf in jax.tree.leaves(gradient):
        assert np.all(np.isfinite(leaf))
        assert np.any(leaf != 0)


@eqx.filter_jit
@eqx.filter_grad
def value_gradient(value_function, model, observation):
    model = eqx.tree_at(lambda m: m.value_function, model, value_function)
    return jnp.sum(model.value(model.encode(observation)))


def test_a_learned_value_has_gradients_and_no_value_is_zero(case):
    gradient = value_gradient(case.model.value_function, case.model, case.observation)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
    if num_parameters(case.model.value_function) == 0:
        _, _, value, _ = predict(case.model, case.observation, case.action)
        assert np.all(value == 0)


def test_the_normaliser_can_be_replaced(case):
    replaced = case.model.with_normaliser(
        eqx.tree_at(lambda n: n.reward_max, case.model.normaliser, jnp.float32(77.0))
    )
    assert replaced.normaliser.reward_max == 77
    assert jax.tree.structure(replaced) == jax.tree.structure(case.model)


@pytest.fixture(scope="module", params=options("model"))
def learner(request):
    config = resolved_small(f"model={request.param}", *point_mass_with("box")).tree
    return build(config.model)


def test_no_two_leaves_of_a_learners_initial_state_share_a_buffer(learner):
    """Since the compiled phases donate them, and no buffer can be donated twice."""
    leaves = jax.tree.leaves(eqx.filter(learner.init(KEY, 4, Box(2)), eqx.is_array))
    arrays = [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves]
    pointers = [array.unsafe_buffer_pointer() for array in arrays]
    assert len(set(pointers)) == len(pointers)


def test_a_phase_of_learning_keeps_the_structure_of_the_state_and_of_the_models(learner):
    state = eqx.filter_eval_shape(learner.init, KEY, 4, Box(2))
    replay = init_replay(10, jax.ShapeDtypeStruct((4,), jnp.float32), Box(2))
    after, metrics = eqx.filter_eval_shape(learner.update, KEY, state, replay)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.leaves(after) == jax.tree.leaves(state)
    assert all((value.shape, value.dtype) == ((), jnp.float32) for value in metrics.values())
    models = [eqx.filter_eval_shape(learner.collection_model, state, index) for index in (0, 1)]
    for model in models:
        assert jax.tree.structure(model) == jax.tree.structure(learner.model(state))
