"""The contract of world models, for every conf/model/*.yaml, action kind and component option."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.config.build import build
from mbrl.types import Transition
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
        model = weighted(
            lambda: build(
                config.model, key=KEY, observation_size=self.size, action_space=self.action_space
            )
        )
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
    state = model.encode(KEY, observation)
    prediction = model.step(KEY, state, action)
    return state, prediction, model.value(prediction.state), model.aggregate(prediction.reward)


def test_a_step_predicts_a_state_of_the_same_shape_a_reward_and_a_continuation(case):
    state, prediction, value, aggregate = predict(case.model, case.observation, case.action)
    for before, after in zip(
        jax.tree.leaves(state), jax.tree.leaves(prediction.state), strict=True
    ):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
    assert prediction.reward.shape == prediction.continuation.shape == value.shape
    assert value.shape[0] % case.model.num_members == 0
    assert aggregate.shape == prediction.disagreement.shape == ()
    assert 0 <= prediction.disagreement <= 1
    assert all(
        np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((state, prediction, value, aggregate))
    )
    assert np.all((prediction.continuation >= 0) & (prediction.continuation <= 1))


def test_collapsed_particles_are_equal_and_keep_shape_and_dtype(case):
    state = predict(case.model, case.observation, case.action)[1].state
    collapsed = case.model.collapse_particles(KEY, state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(collapsed), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        np.testing.assert_array_equal(after, np.broadcast_to(after[0], after.shape))


def test_equal_estimates_aggregate_to_themselves(case):
    particles = jax.eval_shape(lambda: case.model.value(case.model.encode(KEY, case.observation)))
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
    return jnp.sum(model.value(model.encode(KEY, observation)))


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
