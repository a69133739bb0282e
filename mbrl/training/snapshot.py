"""Snapshot: everything that must survive a restart, and its way into named arrays and back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from mbrl.planners.base import AbstractPlanner
from mbrl.training.collect import Episode, init_episode
from mbrl.training.explore import Exploration
from mbrl.training.state import TrainState, is_key

Arrays = dict[str, np.ndarray]


class Snapshot(NamedTuple):
    """A run between two real steps."""

    state: TrainState
    env_steps: int = 0
    num_episodes: int = 0  # of collection, that ended
    evaluated_at: int = 0  # real steps at the last evaluation
    collecting_seconds: float = 0.0  # since the last row that told them
    episode: Episode | None = None  # in flight


COUNTERS = {"env_steps": int, "num_episodes": int, "evaluated_at": int, "collecting_seconds": float}


def to_arrays(snapshot: Snapshot) -> Arrays:
    """Every number of a snapshot, by its path: `state.model.dynamics…`; of the replay only what is filled."""
    arrays = _named(_without_replay(snapshot.state), "state") | _named(
        snapshot.state.replay.to_host(), "replay"
    )
    arrays |= {name: np.asarray(getattr(snapshot, name)) for name in COUNTERS}
    return arrays | (_episode_arrays(snapshot.episode) if snapshot.episode else {})


def from_arrays(
    arrays: Mapping[str, np.ndarray],
    start: TrainState,
    planner: AbstractPlanner,
    exploration: Exploration,
) -> Snapshot:
    """The snapshot that `to_arrays` took of a run with the same config; `start` is that run's first state, whose numbers are
    replaced.

    Raises ValueError where the arrays do not fit.
    """
    counters: Any = {name: kind(arrays[name]) for name, kind in COUNTERS.items()}
    replay = start.replay.from_host(
        _filled_in(start.replay.to_host(), arrays, "replay", same_length=False)
    )
    state = TrainState(**_filled_in(_without_replay(start), arrays, "state"), replay=replay)
    planner_state, noise = init_episode(
        planner, exploration, state.key, np.asarray(counters["num_episodes"])
    )
    episode = (
        _episode(arrays, planner_state, np.asarray(noise))
        if "episode.observations" in arrays
        else None
    )
    return Snapshot(state, **counters, episode=episode)


def _without_replay(state: TrainState) -> dict[str, PyTree]:
    return {name: part for name, part in state._asdict().items() if name != "replay"}


def _episode_arrays(episode: Episode) -> Arrays:
    infos = jax.device_get(episode.infos)
    return {
        "episode.observations": np.stack(episode.observations),
        "episode.actions": np.stack(episode.actions),
        "episode.rewards": np.asarray(episode.rewards, np.float64),
        **{
            f"episode.infos.{name}": np.stack([info[name] for info in infos])
            for name in (infos[0] if infos else ())
        },
        **_named(episode.planner_state, "episode.planner_state"),
    }


def _episode(arrays: Mapping[str, np.ndarray], planner_state: PyTree, noise: np.ndarray) -> Episode:
    infos = {
        name.removeprefix("episode.infos."): values
        for name, values in arrays.items()
        if name.startswith("episode.infos.")
    }
    return Episode(
        _filled_in(planner_state, arrays, "episode.planner_state"),
        noise,
        list(arrays["episode.observations"]),
        [np.asarray(action) for action in arrays["episode.actions"]],
        [float(reward) for reward in arrays["episode.rewards"]],
        [dict(zip(infos, values, strict=True)) for values in zip(*infos.values(), strict=True)],
    )


def _named(tree: PyTree, prefix: str) -> Arrays:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        _name(prefix, path): np.asarray(_numbers(leaf)) for path, leaf in leaves if _is_array(leaf)
    }


def _filled_in(
    tree: PyTree, arrays: Mapping[str, np.ndarray], prefix: str, same_length: bool = True
) -> PyTree:
    """The tree with each of its arrays replaced by the one of its name, of the same dtype and shape (but for the length)."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    wanted = {_name(prefix, path) for path, leaf in leaves if _is_array(leaf)}
    found = {name for name in arrays if name == prefix or name.startswith(f"{prefix}.")}
    if wanted != found:
        names = ", ".join(sorted(wanted ^ found)[:3])
        raise ValueError(
            f"The checkpoint is of another model, optimiser or planner than the config: {names} is only in one of them."
        )
    new = [
        _restored(_name(prefix, path), leaf, arrays, same_length) if _is_array(leaf) else leaf
        for path, leaf in leaves
    ]
    return jax.tree_util.tree_unflatten(structure, new)


def _restored(name: str, leaf: Any, arrays: Mapping[str, np.ndarray], same_length: bool) -> Any:
    numbers, saved = _numbers(leaf), arrays[name]
    first = 0 if same_length else 1
    if (
        saved.dtype != numbers.dtype
        or saved.ndim != numbers.ndim
        or saved.shape[first:] != numbers.shape[first:]
    ):
        raise ValueError(
            f"The checkpoint's {name} is {saved.dtype}{saved.shape}, the config's {numbers.dtype}{numbers.shape}."
        )
    if isinstance(leaf, np.ndarray):
        return saved
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(saved), impl=jax.random.key_impl(leaf))
    return jnp.asarray(saved)


def _name(prefix: str, path: tuple) -> str:
    return ".".join(
        part for part in (prefix, jax.tree_util.keystr(path, simple=True, separator=".")) if part
    )


def _numbers(leaf: Any) -> Any:
    """What a file can hold of an array: a typed PRNG key is kept as its words."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)
