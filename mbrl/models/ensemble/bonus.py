"""Exploration bonus: a reward for going where the members of an ensemble disagree."""

import equinox as eqx
import jax.numpy as jnp

from mbrl.models.ensemble.world_model import WorldModel


def with_bonus(
    model: WorldModel, scale: float, bonus_floor_until_first_termination: bool = False
) -> WorldModel:
    """The model with a disagreement bonus (Pathak et al. 2019) and without pessimism.

    Full disagreement on the next observation earns `scale` typical rewards. A typical reward is the
    root mean square of those seen, so that a rare large reward does not inflate the bonus; 1 if all
    rewards were zero. With `bonus_floor_until_first_termination` it is at least the largest cost
    seen, until an episode has terminated: an agent that idles to avoid costs would otherwise shrink
    its typical reward, and the bonus with it.

    The normaliser's reward bounds, which cap values, are raised by the bonus.
    """
    seen = model.normaliser
    size = seen.reward_rms
    if bonus_floor_until_first_termination:
        size = jnp.where(seen.seen_terminal, size, jnp.maximum(size, -seen.reward_min))
    size = jnp.where(size > 0, size, 1.0)
    bonus = scale * size
    widened = eqx.tree_at(
        lambda n: (n.reward_max, n.terminal_reward_max, n.reward_rms),
        seen,
        (seen.reward_max + bonus, seen.terminal_reward_max + bonus, size),
    )
    return eqx.tree_at(
        lambda model: (model.bonus, model.use_pessimism),
        model.with_normaliser(widened),
        (bonus, jnp.array(False)),
    )
