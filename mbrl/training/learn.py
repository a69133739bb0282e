"""Learning the model: gradient descent on all the data so far."""

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from mbrl.data.normaliser import fit_normaliser
from mbrl.models.base import AbstractWorldModel
from mbrl.training.descent import descend, last_tenth, scan_modules
from mbrl.training.state import TrainState
from mbrl.types import Transition


class ModelLearner(eqx.Module):
    """Fits a model's `parts` to minibatches that each member draws from the whole replay for itself."""

    optimizer: optax.GradientTransformation = eqx.field(static=True)
    num_updates: int = eqx.field(static=True)  # gradient steps a phase
    batch_size: int = eqx.field(static=True)  # transitions a member and gradient step

    def __check_init__(self):
        for name in ("num_updates", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.model_learner.{name}={getattr(self, name)} must be at least 1; raise it.")

    def init(self, model: AbstractWorldModel) -> PyTree:
        """The optimiser's state before the first update."""
        return self.optimizer.init(eqx.filter(model.parts, eqx.is_inexact_array))

    def learn(self, key: PRNGKeyArray, state: TrainState) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """A phase of updates, in the scale of the data as they now are; its metrics are means over its last tenth."""
        model = state.model.normalised(fit_normaliser(state.replay))

        def update(carry, key):
            parts, optimizer_state = carry
            batch_key, loss_key = jax.random.split(key)
            batch = state.replay.sample(batch_key, (model.num_members, self.batch_size))
            (_, losses), gradient = eqx.filter_value_and_grad(_loss, has_aux=True)(parts, model, loss_key, batch)
            return descend(self.optimizer, optimizer_state, gradient, parts), losses

        start = (model.parts, state.model_optimizer_state)
        (parts, optimizer_state), losses = scan_modules(update, start, jax.random.split(key, self.num_updates))
        return state._replace(model=_with_parts(model, parts), model_optimizer_state=optimizer_state), last_tenth(losses)


def _loss(parts: PyTree, model: AbstractWorldModel, key: PRNGKeyArray, batch: Transition):
    losses = _with_parts(model, parts).losses(key, batch)
    return sum(losses.values()), losses


def _with_parts(model: AbstractWorldModel, parts: PyTree) -> AbstractWorldModel:
    return eqx.tree_at(lambda model: model.parts, model, parts)
