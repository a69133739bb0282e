"""Fitting the model: gradient descent on the replay buffer, except for a validation set."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from mbrl.data.normaliser import fit_normaliser
from mbrl.data.split import sample, split
from mbrl.data.transitions import Transitions
from mbrl.models.base import Metrics
from mbrl.models.ensemble.world_model import WorldModel
from mbrl.models.optimisation import (
    Optimizer,
    filter_scan,
    filter_while_loop,
    gradient_step,
    num_parameters,
)
from mbrl.types import Transition

NUM_ROUNDS = 10  # of validation in a phase
VALIDATION_SAMPLES = 256  # transitions


class Progress(NamedTuple):
    """State of a phase of learning between two rounds of validation."""

    num_rounds: Int[Array, ""]  # completed rounds
    components: PyTree
    optimizer_state: PyTree
    best_components: PyTree  # by validation error
    best_error: Float[Array, ""]
    best_round: Int[Array, ""]
    losses: Metrics  # means over the updates of the last round
    validation: Metrics  # losses of `components` on the validation set
    best_validation: Metrics


class ModelFitter(eqx.Module):
    """Fits a model's components with minibatches from the members' own training sets.

    With `patience` it stops a phase early once the validation error no longer falls, and restores
    the best weights of the phase (early stopping; Prechelt 1998).
    """

    optimizer: Optimizer | optax.GradientTransformation
    # Gradient steps per phase, rounded up to a multiple of the number of rounds.
    num_updates: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)  # transitions per member and gradient step
    validation_fraction: float = eqx.field(static=True)  # of all transitions
    # Whether each member trains on its own resample of the data.
    bootstrap: bool = eqx.field(static=True)
    # Whether rewards are relative to their mean until an episode has terminated.
    center_rewards: bool = eqx.field(static=True)
    # Rounds without a lower validation error that end a phase; None: never.
    patience: int | None = eqx.field(static=True)

    def __check_init__(self):
        for name in ("num_updates", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"model.fit_model.{name}={getattr(self, name)}: must be at least 1. Raise it."
                )
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"model.fit_model.validation_fraction={self.validation_fraction}: must be "
                "between 0 and 1. Try 0.05."
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(
                f"model.fit_model.patience={self.patience}: must be at least 1, or null to "
                "use all updates. Try 3."
            )

    @property
    def updates_per_round(self) -> int:
        """Gradient steps between two rounds of validation."""
        return -(-self.num_updates // NUM_ROUNDS)

    def init(self, model: WorldModel) -> PyTree:
        """The optimiser's state before the first update."""
        return self.optimizer.init(eqx.filter(model.components, eqx.is_inexact_array))

    def __call__(
        self,
        key: PRNGKeyArray,
        model: WorldModel,
        data: Transitions,
        optimizer_state: PyTree,
        split_key: PRNGKeyArray,
    ) -> tuple[WorldModel, PyTree, Metrics]:
        """One phase of updates with a new normaliser; the losses are means over its last round.

        Returns the model, the optimiser's state and metrics.
        """
        normaliser = fit_normaliser(data, self.center_rewards, model.normaliser.seen_terminal)
        model = model.with_normaliser(normaliser)
        if num_parameters(model.components) == 0:
            return model, optimizer_state, {}

        sets = split(
            split_key,
            data,
            model.num_members,
            self.validation_fraction,
            # A single member would only lose a third of its data to a bootstrap.
            self.bootstrap and model.num_members > 1,
        )
        updates_key, validation_key, loss_key = jax.random.split(key, 3)
        held_out = sample(validation_key, data, sets.held_out, VALIDATION_SAMPLES)
        held_out = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (model.num_members, *leaf.shape[1:])), held_out
        )

        def update(carry, key):
            components, optimizer_state = carry
            batch_key, loss_key = jax.random.split(key)
            batch = sample(batch_key, data, sets.training, self.batch_size)
            (_, losses), gradient = eqx.filter_value_and_grad(_loss, has_aux=True)(
                components, model, loss_key, batch
            )
            return gradient_step(self.optimizer, optimizer_state, gradient, components), losses

        def one_round(progress: Progress) -> Progress:
            round_key = jax.random.fold_in(updates_key, progress.num_rounds)
            (components, optimizer_state), losses = filter_scan(
                update,
                (progress.components, progress.optimizer_state),
                jax.random.split(round_key, self.updates_per_round),
            )
            error, validation = _loss(components, model, loss_key, held_out)
            return _next_progress(progress, components, optimizer_state, losses, error, validation)

        error, validation = _loss(model.components, model, loss_key, held_out)
        start = _initial_progress(model.components, optimizer_state, error, validation)
        end = filter_while_loop(self._should_continue, one_round, start)
        return self._result(model, end)

    def _should_continue(self, progress: Progress) -> Bool[Array, ""]:
        rounds_left = progress.num_rounds < -(-self.num_updates // self.updates_per_round)
        if self.patience is None:
            return rounds_left
        return rounds_left & (progress.num_rounds - progress.best_round < self.patience)

    def _result(self, model: WorldModel, end: Progress) -> tuple[WorldModel, PyTree, Metrics]:
        components, validation = end.components, end.validation
        if self.patience is not None:
            components, validation = end.best_components, end.best_validation
        metrics = end.losses | {
            name.replace("loss/", "validation/"): value for name, value in validation.items()
        }
        metrics["learn/updates"] = (end.num_rounds * self.updates_per_round).astype(jnp.float32)
        return _with_components(model, components), end.optimizer_state, metrics


def _initial_progress(
    components: PyTree, optimizer_state: PyTree, error: Float[Array, ""], validation: Metrics
) -> Progress:
    zero = jnp.zeros((), jnp.int32)
    return Progress(
        num_rounds=zero,
        components=components,
        optimizer_state=optimizer_state,
        best_components=components,
        best_error=error,
        best_round=zero,
        losses=validation,  # replaced by the first round; the names are the same
        validation=validation,
        best_validation=validation,
    )


def _next_progress(
    last: Progress,
    components: PyTree,
    optimizer_state: PyTree,
    losses: dict[str, Float[Array, " updates"]],
    error: Float[Array, ""],
    validation: Metrics,
) -> Progress:
    improved, num_rounds = error < last.best_error, last.num_rounds + 1
    best_components, best_validation = jax.tree.map(
        lambda new, old: jnp.where(improved, new, old) if eqx.is_array(new) else new,
        (components, validation),
        (last.best_components, last.best_validation),
    )
    return Progress(
        num_rounds=num_rounds,
        components=components,
        optimizer_state=optimizer_state,
        best_components=best_components,
        best_error=jnp.where(improved, error, last.best_error),
        best_round=jnp.where(improved, num_rounds, last.best_round),
        losses=jax.tree.map(jnp.mean, losses),
        validation=validation,
        best_validation=best_validation,
    )


def _loss(components: PyTree, model: WorldModel, key: PRNGKeyArray, batch: Transition):
    losses = _with_components(model, components).losses(key, batch)
    return sum(losses.values(), jnp.zeros(())), losses


def _with_components(model: WorldModel, components: PyTree) -> WorldModel:
    return eqx.tree_at(lambda model: model.components, model, components)
