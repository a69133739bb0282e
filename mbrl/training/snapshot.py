"""Snapshot: everything that a resumed run needs, converted to named arrays and back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from mbrl.data.replay_buffer import HostReplay, ReplayBuffer
from mbrl.models.base import AbstractLearner
from mbrl.planners.base import AbstractPlanner
from mbrl.runs.schemas import MAX_COUNT
from mbrl.training.actor import Actor
from mbrl.training.collect import Episode, init_episode
from mbrl.training.explore import Exploration
from mbrl.training.state import TrainState, is_key

Arrays = dict[str, np.ndarray]

MAX_OTHER_BYTES = 1_000_000_000  # of the planner's state and metrics in the episode in progress


class Snapshot(NamedTuple):
    """A run between two real steps."""

    state: TrainState
    env_steps: int = 0
    num_episodes: int = 0  # of collection, finished ones
    evaluated_at: int = 0  # real steps at the last evaluation
    collecting_seconds: float = 0.0  # since the last row that reports them
    episode: Episode | None = None  # in progress


COUNTERS = {"env_steps": int, "num_episodes": int, "evaluated_at": int, "collecting_seconds": float}


def to_arrays(snapshot: Snapshot) -> Arrays:
    """All arrays of a snapshot by their path, `state.learner.model.components.dynamics…`.

    Of the replay buffer only the valid time steps.
    """
    arrays = _named_arrays(_without_replay(snapshot.state), "state")
    arrays |= _named_arrays(snapshot.state.replay.to_host(), "replay")
    arrays |= {name: np.asarray(getattr(snapshot, name)) for name in COUNTERS}
    return arrays | (_episode_to_arrays(snapshot.episode) if snapshot.episode else {})


def from_arrays(
    arrays: Mapping[str, np.ndarray],
    start: TrainState,
    learner: AbstractLearner,
    planner: AbstractPlanner,
    exploration: Exploration,
) -> Snapshot:
    """The snapshot that `to_arrays` converted, for a run with the same config.

    `start` is that run's initial state, whose arrays are replaced. Raises ValueError if names,
    shapes or dtypes differ.
    """
    counters: Any = {name: arrays[name].item() for name in COUNTERS}
    host_replay = _replace_arrays(start.replay.to_host(), arrays, "replay", same_length=False)
    _check_counts(counters, host_replay, start.replay)
    state = TrainState(
        **_replace_arrays(_without_replay(start), arrays, "state"),
        replay=start.replay.from_host(host_replay),
    )
    index = counters["num_episodes"]
    model = learner.collection_model(state.learner, index)
    actor, noise = init_episode(planner, model, exploration, state.key, np.asarray(index))
    episode = None
    if "episode.observations" in arrays:
        _check_episode(arrays, counters["env_steps"])
        episode = _episode_from_arrays(arrays, actor, np.asarray(noise))
    return Snapshot(state, **counters, episode=episode)


def max_bytes(state: TrainState, env_steps: int) -> int:
    """An upper bound on the size of a checkpoint: a full replay buffer, and one long episode.

    `env_steps` is the run's budget, in real steps.
    """
    step = _num_bytes(state.replay.steps) // state.replay.insertion_index.size
    steps = 2 * step * (env_steps + 1)
    return _num_bytes(state) + steps + MAX_OTHER_BYTES


def _check_counts(counters: Mapping[str, float], saved: HostReplay, replay: ReplayBuffer) -> None:
    """Raises ValueError for counters and lengths that no run has."""
    env_steps = counters["env_steps"]
    bounds = dict.fromkeys(("env_steps", "num_episodes", "evaluated_at"), env_steps)
    bounds["collecting_seconds"] = MAX_COUNT
    for name, bound in bounds.items():
        if type(counters[name]) is not COUNTERS[name] or not 0 <= counters[name] <= bound:
            raise ValueError(f"The checkpoint's {name} is {counters[name]}.")
    lengths = {len(leaf) for leaf in jax.tree.leaves((saved.steps, saved.insertion_index))}
    added, transitions = saved.num_added, saved.num_transitions
    sizes = np.minimum(added, replay.num_slots - 1) + 1
    is_possible = added.shape == transitions.shape == (replay.num_envs,) and np.all(
        (transitions >= 0) & (transitions <= added) & (added <= 2 * transitions)
    )
    if not is_possible or transitions.sum() != env_steps or lengths != {sizes.sum()}:
        raise ValueError("The checkpoint's replay buffer does not hold its real steps.")


def _check_episode(arrays: Mapping[str, np.ndarray], env_steps: int) -> None:
    """Raises ValueError for an episode in progress that no run has."""
    num_steps = len(arrays["episode.actions"])
    for name, replayed in (("observations", "observation"), ("actions", "action")):
        saved, expected = arrays[f"episode.{name}"], arrays[f"replay.steps.{replayed}"]
        if saved.shape[1:] != expected.shape[1:] or saved.dtype.kind != expected.dtype.kind:
            raise ValueError(f"The checkpoint's episode.{name} is {saved.dtype}{saved.shape}.")
    lengths = [len(arrays[f"episode.{name}"]) for name in ("observations", "rewards")]
    if not 0 < num_steps <= env_steps or lengths != [num_steps + 1, num_steps]:
        raise ValueError("The checkpoint's episode has parts of different lengths, or no step.")


def _without_replay(state: TrainState) -> dict[str, PyTree]:
    return {name: part for name, part in state._asdict().items() if name != "replay"}


def _episode_to_arrays(episode: Episode) -> Arrays:
    infos = jax.device_get(episode.infos)
    return {
        "episode.observations": np.stack(episode.observations),
        "episode.actions": np.stack(episode.actions),
        "episode.rewards": np.asarray(episode.rewards, np.float64),
        **{
            f"episode.infos.{name}": np.stack([info[name] for info in infos])
            for name in (infos[0] if infos else ())
        },
        **_named_arrays(episode.actor, "episode.actor"),
    }


def _episode_from_arrays(
    arrays: Mapping[str, np.ndarray], actor: Actor, noise: np.ndarray
) -> Episode:
    infos = {
        name.removeprefix("episode.infos."): values
        for name, values in arrays.items()
        if name.startswith("episode.infos.")
    }
    return Episode(
        _replace_arrays(actor, arrays, "episode.actor"),
        noise,
        list(arrays["episode.observations"]),
        [np.asarray(action) for action in arrays["episode.actions"]],
        [float(reward) for reward in arrays["episode.rewards"]],
        [dict(zip(infos, values, strict=True)) for values in zip(*infos.values(), strict=True)],
    )


def _named_arrays(tree: PyTree, prefix: str) -> Arrays:
    """The tree's arrays by their path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(prefix, path): np.asarray(_raw(leaf)) for path, leaf in leaves if _is_array(leaf)}


def _replace_arrays(
    tree: PyTree, arrays: Mapping[str, np.ndarray], prefix: str, same_length: bool = True
) -> PyTree:
    """The tree with the arrays of the same path, dtype and shape.

    Without `same_length` the first axis may have another length.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    expected = {_name(prefix, path) for path, leaf in leaves if _is_array(leaf)}
    present = {name for name in arrays if name == prefix or name.startswith(f"{prefix}.")}
    if expected != present:
        names = ", ".join(sorted(expected ^ present)[:3])
        raise ValueError(
            "The checkpoint's model, optimiser or planner differs from that of the config: "
            f"{names} is only in one of them."
        )
    new = [
        _replace_array(_name(prefix, path), leaf, arrays, same_length) if _is_array(leaf) else leaf
        for path, leaf in leaves
    ]
    return jax.tree_util.tree_unflatten(structure, new)


def _replace_array(
    name: str, leaf: Any, arrays: Mapping[str, np.ndarray], same_length: bool
) -> Any:
    expected, saved = _raw(leaf), arrays[name]
    first_axis = 0 if same_length else 1
    if (
        saved.dtype != expected.dtype
        or saved.ndim != expected.ndim
        or saved.shape[first_axis:] != expected.shape[first_axis:]
    ):
        raise ValueError(
            f"The checkpoint's {name} is {saved.dtype}{saved.shape}, the config's "
            f"{expected.dtype}{expected.shape}."
        )
    if isinstance(leaf, np.ndarray):
        return saved
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(saved), impl=jax.random.key_impl(leaf))
    return jnp.asarray(saved)


def _name(prefix: str, path: tuple) -> str:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return f"{prefix}.{name}" if name else prefix


def _raw(leaf: Any) -> Any:
    """The leaf as a file can hold it: a typed PRNG key as its integers."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def _num_bytes(tree: PyTree) -> int:
    return sum(_raw(leaf).nbytes for leaf in jax.tree.leaves(tree) if _is_array(leaf))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)
