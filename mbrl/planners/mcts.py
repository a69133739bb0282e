"""MCTS: Monte-Carlo tree search in the learned model, by DeepMind's `mctx`."""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import mctx
from jaxtyping import Array, Bool, Shaped

from mbrl.models import rollout
from mbrl.planners.base import AbstractPlanner, check_count, check_discount
from mbrl.types import AbstractActionSpace

MAXVISIT_INIT = 60.0  # c_visit of Danihelka et al. (2022), eq. 8, times the number of candidates
PB_C_INIT = 1.25  # c_1 of Schrittwieser et al. (2020), eq. 2
MAX_SIMULATIONS = 100_000


class Node(NamedTuple):
    """What the search stores with a node: where the imagined episode stands, and the actions to choose among there."""

    imagined: rollout.RolloutState
    candidates: Shaped[Array, "candidates *action"]
    diverged: Bool[Array, ""]  # whether what led here, or its value, is no finite number


class MCTS(AbstractPlanner):
    """Searches a tree of imagined steps with uniform priors; the model's value judges the leaves.

    `policy="gumbel"` is Gumbel MuZero (Danihelka et al. 2022): sequential halving at the root, completed Q-values below.
    `policy="muzero"` is PUCT (Schrittwieser et al. 2020). Neither adds noise at the root: exploration is collection's.
    Box actions are searched over `num_actions` samples a node (Hubert et al. 2021, with a uniform proposal).

    Rewards and values are weighed by survival inside the tree, so that its returns are those of `models/rollout.py`. The model
    combines its particles' values at each leaf; rewards on the way there are their mean. With fewer simulations than actions the
    last ones are never tried.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "root_value": "The search's estimate of the return, in units of reward; mean over the episode's decisions.",
        "root_value_gap": "Difference between the best and the worst value among the root's visited actions; same mean.",
        "depth": "Steps from the root to the deepest node; same mean.",
        "invalid_fraction": "Share of nodes below the root whose reward or value was not a finite number; same mean.",
    }

    action_space: AbstractActionSpace
    discount: float = eqx.field(static=True)
    num_simulations: int = eqx.field(static=True)
    max_depth: int = eqx.field(static=True)  # steps
    num_actions: int = eqx.field(static=True)  # candidates a node, for Box actions
    policy: str = eqx.field(static=True)

    def init(self, key):
        return ()

    def plan(self, key, model, observation, state):
        encode_key, candidates_key, search_key = jax.random.split(key, 3)
        root_imagined = rollout.start(encode_key, model, observation)
        root_node = Node(
            root_imagined,
            self.action_space.candidates(candidates_key, self.num_actions),
            jnp.zeros((), bool),
        )

        def simulate(_, key, action, node):
            node, action = jax.tree.map(lambda leaf: leaf[0], (node, action))
            step_key, candidates_key = jax.random.split(key)
            imagined, reward = rollout.step(step_key, model, node.imagined, node.candidates[action])
            reward, value = (
                jnp.mean(reward),
                model.aggregate(rollout.bootstrap_value(model, imagined, self.discount)),
            )
            diverged = ~(jnp.isfinite(reward) & jnp.isfinite(value))
            child = Node(
                imagined, self.action_space.candidates(candidates_key, self.num_actions), diverged
            )
            output = mctx.RecurrentFnOutput(
                reward=_finite_or(reward, worst),
                discount=jnp.full((), self.discount),
                prior_logits=jnp.zeros(child.candidates.shape[0]),
                value=_finite_or(value, worst),
            )
            return _batch_of_one((output, child))

        root_value = _finite_or(
            model.aggregate(rollout.bootstrap_value(model, root_imagined, self.discount)), 0.0
        )
        # What a diverged prediction is worth: less than the worst rewards for ever, yet finite, so that sums up the tree stay so.
        discount = (
            self.discount if self.discount < 1 else 1 - 1 / self.max_depth
        )  # which sums to as many rewards as there can be
        lowest, _ = model.normaliser.return_bounds(discount)
        worst = root_value - 10 * (1 + jnp.abs(root_value)) + lowest
        prior_logits = jnp.zeros(root_node.candidates.shape[0])
        root = mctx.RootFnOutput(prior_logits=prior_logits, value=root_value, embedding=root_node)
        with jax.numpy_dtype_promotion("standard"):  # mctx mixes dtypes
            output = self._search(search_key, _batch_of_one(root), simulate)
        summary = output.search_tree.summary()
        visited = summary.visit_counts[0] > 0
        q_values = summary.qvalues[0]
        info = {
            "root_value": summary.value[0],
            "root_value_gap": jnp.max(q_values, where=visited, initial=-jnp.inf)
            - jnp.min(q_values, where=visited, initial=jnp.inf),
            "depth": _tree_depth(output.search_tree),
            "invalid_fraction": _invalid_fraction(output.search_tree),
        }
        return root_node.candidates[output.action[0]], state, info

    def _search(self, key, root, simulate):
        settings: dict[str, Any] = {
            "num_simulations": self.num_simulations,
            "max_depth": self.max_depth,
        }
        num_actions = root.prior_logits.shape[1]
        if self.policy == "gumbel":
            # mctx would consider the first 16 only, and never choose another.
            settings["max_num_considered_actions"] = num_actions
            # The larger it is, the sooner Q-values outweigh visits, and the deeper and narrower the tree: with few actions that pays
            # (docs/lab-notes/planners.md), with many sampled ones a node's first few values tell too little.
            settings["qtransform"] = partial(
                mctx.qtransform_completed_by_mix_value, maxvisit_init=MAXVISIT_INIT / num_actions
            )
            return mctx.gumbel_muzero_policy((), key, root, simulate, gumbel_scale=0.0, **settings)
        # MuZero's constant weighs a prior near one; a uniform prior of 1/n is weighed n times as much, or little would be explored.
        settings["pb_c_init"] = PB_C_INIT * num_actions
        return mctx.muzero_policy(
            (), key, root, simulate, dirichlet_fraction=0.0, temperature=0.0, **settings
        )

    def __check_init__(self):
        check_discount(self.discount)
        check_count(self, "num_simulations", MAX_SIMULATIONS)
        check_count(self, "max_depth")
        check_count(self, "num_actions")
        if self.policy not in ("gumbel", "muzero"):
            raise ValueError(f"planner.policy={self.policy} must be 'gumbel' or 'muzero'.")


def _finite_or(number, otherwise):
    return jnp.where(jnp.isfinite(number), number, otherwise)


def _batch_of_one(tree):
    return jax.tree.map(lambda leaf: leaf[None], tree)


def _tree_depth(tree):
    """Depth of the deepest node that the search reached: children are written after their parents."""

    def place(depths, node):
        parent = tree.parents[0, node]
        depth = jnp.where(parent >= 0, depths[parent] + 1, 0)
        return depths.at[node].set(depth), depth

    num_nodes = tree.parents.shape[1]
    _, depths = jax.lax.scan(place, jnp.zeros(num_nodes, jnp.int32), jnp.arange(num_nodes))
    return jnp.max(depths).astype(jnp.float32)


def _invalid_fraction(tree):
    nodes = tree.node_visits[0, 1:] > 0
    return jnp.sum(nodes & tree.embeddings.diverged[0, 1:]).astype(jnp.float32) / jnp.maximum(
        jnp.sum(nodes), 1
    ).astype(jnp.float32)
