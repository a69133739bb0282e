"""Learning the model: gradient descent on all the data so far, but for what is held out to see how well it generalises."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from mbrl.data.normaliser import fit_normaliser
from mbrl.data.split import sample, split
from mbrl.models.base import AbstractWorldModel
from mbrl.training.optimisation import filter_scan, filter_while_loop, gradient_step, num_parameters
from mbrl.training.state import SPLIT, TrainState
from mbrl.types import Transition

NUM_LOOKS = 10  # at the validation error, in a phase
VALIDATION_DRAWS = 256  # transitions

Metrics = dict[str, Float[Array, ""]]


class Progress(NamedTuple):
    """How far a phase of learning has come."""

    look: Int[Array, ""]  # looks taken
    components: PyTree
    optimizer_state: PyTree
    best_components: PyTree  # by the validation error
    best_error: Float[Array, ""]
    best_look: Int[Array, ""]
    losses: Metrics  # means over the updates since the last look
    validation: Metrics  # of the last components
    best_validation: Metrics


class ModelLearner(eqx.Module):
    """Fits a model's `components` to minibatches that each member draws for itself, from its own training set.

    With `patience` a phase ends early once the validation error has stopped falling, and the best weights of the phase stay
    (as in PETS' successors; Prechelt 1998).
    """

    optimizer: optax.GradientTransformation = eqx.field(static=True)
    num_updates: int = eqx.field(
        static=True
    )  # gradient steps a phase, rounded up to at most ten equal parts
    batch_size: int = eqx.field(static=True)  # transitions a member and gradient step
    validation_fraction: float = eqx.field(static=True)  # of all transitions, never trained on
    bootstrap: bool = eqx.field(
        static=True
    )  # whether each member trains on a resample of its own, or all on the same transitions
    patience: int | None = eqx.field(
        static=True
    )  # tenths of a phase without a lower validation error that end it; None: never

    def __check_init__(self):
        for name in ("num_updates", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"training.model_learner.{name}={getattr(self, name)} must be at least 1; raise it."
                )
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"training.model_learner.validation_fraction={self.validation_fraction} must be between 0 and 1; try 0.05."
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(
                f"training.model_learner.patience={self.patience} must be at least 1, or null to use all updates."
            )

    def init(self, model: AbstractWorldModel) -> PyTree:
        """The optimiser's state before the first update."""
        return self.optimizer.init(eqx.filter(model.components, eqx.is_inexact_array))

    def learn(self, key: PRNGKeyArray, state: TrainState) -> tuple[TrainState, Metrics]:
        """A phase of updates, in the scale of the data as they now are; its losses are means over its last tenth."""
        model = state.model.with_normaliser(fit_normaliser(state.replay))
        if num_parameters(model.components) == 0:
            return state._replace(model=model), {}

        replay, updates_per_look = state.replay, -(-self.num_updates // NUM_LOOKS)
        split_key = jax.random.fold_in(state.key, SPLIT)
        # A single member has nobody to differ from, and would only lose a third of its data.
        sets = split(
            split_key,
            replay,
            model.num_members,
            self.validation_fraction,
            self.bootstrap and model.num_members > 1,
        )
        updates_key, validation_key, loss_key = jax.random.split(key, 3)
        held_out = sample(validation_key, replay, sets.held_out, VALIDATION_DRAWS)
        held_out = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (model.num_members, *leaf.shape[1:])), held_out
        )

        def update(carry, key):
            components, optimizer_state = carry
            batch_key, loss_key = jax.random.split(key)
            batch = sample(batch_key, replay, sets.training, self.batch_size)
            (_, losses), gradient = eqx.filter_value_and_grad(_loss, has_aux=True)(
                components, model, loss_key, batch
            )
            return gradient_step(self.optimizer, optimizer_state, gradient, components), losses

        def until_next_look(progress: Progress) -> Progress:
            keys = jax.random.split(
                jax.random.fold_in(updates_key, progress.look), updates_per_look
            )
            (components, optimizer_state), losses = filter_scan(
                update, (progress.components, progress.optimizer_state), keys
            )
            error, validation = _loss(components, model, loss_key, held_out)
            better, look = error < progress.best_error, progress.look + 1
            best_components, best_validation = _where(
                better,
                (components, validation),
                (progress.best_components, progress.best_validation),
            )
            return Progress(
                look,
                components,
                optimizer_state,
                best_components,
                jnp.where(better, error, progress.best_error),
                jnp.where(better, look, progress.best_look),
                jax.tree.map(jnp.mean, losses),
                validation,
                best_validation,
            )

        def should_continue(progress: Progress):
            patient = (
                True
                if self.patience is None
                else progress.look - progress.best_look < self.patience
            )
            return (progress.look < -(-self.num_updates // updates_per_look)) & patient

        error, validation = _loss(model.components, model, loss_key, held_out)
        zero = jnp.zeros((), jnp.int32)
        start = Progress(
            zero,
            model.components,
            state.model_optimizer_state,
            model.components,
            error,
            zero,
            validation,
            validation,
            validation,
        )
        end = filter_while_loop(should_continue, until_next_look, start)
        components, validation = (
            (end.components, end.validation)
            if self.patience is None
            else (end.best_components, end.best_validation)
        )
        metrics = end.losses | {
            name.replace("loss/", "validation/"): value for name, value in validation.items()
        }
        metrics |= {"learn/updates": (end.look * updates_per_look).astype(jnp.float32)}
        return state._replace(
            model=_with_components(model, components), model_optimizer_state=end.optimizer_state
        ), metrics


def _loss(components: PyTree, model: AbstractWorldModel, key: PRNGKeyArray, batch: Transition):
    losses = _with_components(model, components).losses(key, batch)
    return sum(losses.values(), jnp.zeros(())), losses


def _where(condition, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(
        lambda new, old: jnp.where(condition, new, old) if eqx.is_array(new) else new, new, old
    )


def _with_components(model: AbstractWorldModel, components: PyTree) -> AbstractWorldModel:
    return eqx.tree_at(lambda model: model.components, model, components)
