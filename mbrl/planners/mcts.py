"""MCTS: Monte-Carlo tree search in the learned model, by DeepMind's `mctx`."""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import mctx
from jaxtyping import Array, Bool, Shaped

from mbrl.models import rollout
from mbrl.planners.base import AbstractPlanner, Decision, check_count, check_discount
from mbrl.types import MAX_ENUMERATED_ACTIONS, AbstractActionSpace

MAXVISIT_INIT = 60.0  # c_visit of Danihelka et al. (2022), eq. 8, times the number of candidates
PB_C_INIT = 1.25  # c_1 of Schrittwieser et al. (2020), eq. 2
MAX_SIMULATIONS = 100_000


class Node(NamedTuple):
    """What the search stores with a node: a state of the model and the actions to choose from."""

    rollout_state: rollout.RolloutState
    candidates: Shaped[Array, "candidates *action"]
    diverged: Bool[Array, ""]  # whether the reward on the way here, or the value, is not finite


class MCTS(AbstractPlanner):
    """Searches a tree of imagined steps; the model's policy and value guide it.

    The policy gives the prior, and the candidates where actions are sampled; the value evaluates
    leaves.

    `policy="gumbel"` is Gumbel MuZero (Danihelka et al. 2022): sequential halving at the root,
    completed Q-values below. `policy="muzero"` is PUCT (Schrittwieser et al. 2020). Neither adds
    noise at the root, since collection explores. Box actions are searched over `num_actions`
    samples of the policy at each node (Hubert et al. 2021).

    Rewards and values are weighted by survival inside the tree, so that its returns are those of
    `models/rollout.py`. The model aggregates its particles' values at each leaf; rewards on the
    way are averaged over particles. Discrete actions are sampled too, where there are
    more of them than simulations or than 64; without replacement from a uniform policy.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "root_value": "The search's estimate of the return, in units of reward; "
        "mean over the episode's decisions.",
        "root_value_gap": "Difference between the best and the worst value of the root's visited "
        "actions, in units of reward; mean over the episode's decisions.",
        "depth": "Steps from the root to the deepest node; mean over the episode's decisions.",
        "invalid_fraction": "Fraction of nodes below the root whose reward or value is not finite; "
        "mean over the episode's decisions.",
    }

    action_space: AbstractActionSpace
    discount: float = eqx.field(static=True)
    num_simulations: int = eqx.field(static=True)
    max_depth: int = eqx.field(static=True)  # steps
    num_actions: int = eqx.field(static=True)  # candidates at a node that samples them
    policy: str = eqx.field(static=True)

    def init(self, key):
        return ()

    def plan(self, key, model, belief, state):
        # The first key has no use any more; without it, all results would change.
        _, candidates_key, search_key = jax.random.split(key, 3)
        rollout_state = rollout.start(model, belief)
        candidates, logits = self._candidates(candidates_key, model, belief)
        unit = _search_unit(model)
        root_value = _finite_or(self._value(model, rollout_state), 0.0)
        root = mctx.RootFnOutput(
            prior_logits=logits,
            value=root_value / unit,
            embedding=Node(rollout_state, candidates, jnp.zeros((), bool)),
        )
        expand = partial(self._expand, model, unit, self._invalid_value(model, root_value))
        with jax.numpy_dtype_promotion("standard"):  # mctx mixes dtypes
            output = self._search(search_key, _batch_of_one(root), expand)
        return Decision(candidates[output.action[0]], state, _info(output.search_tree, unit))

    def _expand(self, model, unit, invalid_value, params, key, action, node):
        """Takes one imagined step from a node: mctx's `recurrent_fn`, on batches of one."""
        node, action = jax.tree.map(lambda leaf: leaf[0], (node, action))
        step_key, candidates_key = jax.random.split(key)
        rollout_state, rewards = rollout.step(
            step_key, model, node.rollout_state, node.candidates[action]
        )
        reward, value = jnp.mean(rewards), self._value(model, rollout_state)
        candidates, logits = self._candidates(candidates_key, model, rollout_state.state)
        output = mctx.RecurrentFnOutput(
            reward=_finite_or(reward, invalid_value) / unit,
            discount=jnp.full((), self.discount),
            prior_logits=logits,
            value=_finite_or(value, invalid_value) / unit,
        )
        diverged = ~(jnp.isfinite(reward) & jnp.isfinite(value))
        return _batch_of_one((output, Node(rollout_state, candidates, diverged)))

    def _candidates(self, key, model, state):
        """The actions to choose from, and their prior logits; those of a diverged policy vanish."""
        # A search without noise tries actions of equal value in their order: with fewer simulations
        # than actions, the last ones would never be tried.
        enumerated = min(MAX_ENUMERATED_ACTIONS, self.num_simulations)
        candidates, logits = model.policy(state).candidates(key, self.num_actions, enumerated)
        return candidates, _finite_or(logits, jnp.finfo(logits.dtype).min)

    def _value(self, model, rollout_state):
        return model.aggregate(rollout.bootstrap_value(model, rollout_state, self.discount))

    def _invalid_value(self, model, root_value):
        """The value of a diverged prediction: below the worst return, yet finite.

        It must be finite because the search averages values up the tree.
        """
        # Undiscounted, at most `max_depth` rewards are summed; 1 / (1 - discount) is that many.
        discount = self.discount if self.discount < 1 else 1 - 1 / self.max_depth
        lowest, _ = model.return_bounds(discount)
        return root_value - 10 * (_search_unit(model) + jnp.abs(root_value)) + lowest

    def _search(self, key, root, expand):
        num_actions = root.prior_logits.shape[1]
        settings: dict[str, Any] = {
            "num_simulations": self.num_simulations,
            "max_depth": self.max_depth,
        }
        if self.policy == "gumbel":
            # By default mctx considers only the first 16 actions.
            settings["max_num_considered_actions"] = num_actions
            # A larger maxvisit_init lets Q-values outweigh visits sooner: a deeper, narrower tree.
            # That helps with few actions (docs/lab-notes/planners.md). With many sampled actions,
            # the first few values of a node are too uncertain for it.
            settings["qtransform"] = partial(
                mctx.qtransform_completed_by_mix_value, maxvisit_init=MAXVISIT_INIT / num_actions
            )
            return mctx.gumbel_muzero_policy((), key, root, expand, gumbel_scale=0.0, **settings)
        # MuZero's constant assumes that the best prior is near one. The divisor compensates for a
        # uniform prior of 1 / num_actions, with which PUCT would hardly explore.
        settings["pb_c_init"] = PB_C_INIT / jnp.max(jax.nn.softmax(root.prior_logits[0]))
        return mctx.muzero_policy(
            (), key, root, expand, dirichlet_fraction=0.0, temperature=0.0, **settings
        )

    def __check_init__(self):
        check_discount(self.discount)
        check_count(self, "num_simulations", MAX_SIMULATIONS)
        check_count(self, "max_depth")
        check_count(self, "num_actions")
        if self.policy not in ("gumbel", "muzero"):
            raise ValueError(f"planner.policy={self.policy}: must be 'gumbel' or 'muzero'.")


def _search_unit(model):
    """The power of 2 above the largest reward in size, by which returns are divided exactly.

    Because mctx treats differences below 1e-8 as rounding errors.
    """
    low, high = model.return_bounds(0.0)
    size = jnp.maximum(-low, high)
    return jnp.ldexp(1.0, jnp.frexp(jnp.where(size > 0, size, 1.0))[1])


def _finite_or(value, default):
    return jnp.where(jnp.isfinite(value), value, default)


def _batch_of_one(tree):
    return jax.tree.map(lambda leaf: leaf[None], tree)


def _info(tree, unit):
    """The metrics of a finished search, whose returns are in `unit`s of reward."""
    summary = tree.summary()
    visited = summary.visit_counts[0] > 0
    q_values = summary.qvalues[0]
    expanded = tree.node_visits[0, 1:] > 0
    num_expanded = jnp.sum(expanded)
    num_invalid = jnp.sum(expanded & tree.embeddings.diverged[0, 1:])
    return {
        "root_value": unit * summary.value[0],
        "root_value_gap": unit
        * (
            jnp.max(q_values, where=visited, initial=-jnp.inf)
            - jnp.min(q_values, where=visited, initial=jnp.inf)
        ),
        "depth": _tree_depth(tree),
        "invalid_fraction": num_invalid.astype(jnp.float32)
        / jnp.maximum(num_expanded, 1).astype(jnp.float32),
    }


def _tree_depth(tree):
    """Depth of the deepest expanded node. Relies on mctx storing parents before their children."""

    def assign_depth(depths, node):
        parent = tree.parents[0, node]
        depth = jnp.where(parent >= 0, depths[parent] + 1, 0)
        return depths.at[node].set(depth), depth

    num_nodes = tree.parents.shape[1]
    _, depths = jax.lax.scan(assign_depth, jnp.zeros(num_nodes, jnp.int32), jnp.arange(num_nodes))
    return jnp.max(depths).astype(jnp.float32)
