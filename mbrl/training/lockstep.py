"""Lock-step: runs that differ in nothing but their seeds, each in a thread of its own, whose decisions are computed together.

A thread executes the story of one run, unchanged, and calls what is compiled through its `Place`. Where a function is
computed together, a call waits until every run of the group waits in such a call. Then those of the run that is furthest
behind are answered, and those of all runs that ask for the same: in fixed chunks of the group, each by one vmapped program of
constant size, in which copies stand in for the runs that do not ask. So what a run is answered follows from what the
runs ask, not from which thread was faster.

Computing together pays where a program is many small steps, each of which costs more to start than to compute: a tree
search, say. What fills a processor by itself is computed no faster together, and slower where it then exceeds the caches: such
functions are called by each run for itself, at once, with the bits of a run alone.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.planners.base import AbstractPlanner
from mbrl.training.collect import act, begin
from mbrl.training.compute import AbstractCompute
from mbrl.training.evaluate import act_all, begin_all
from mbrl.training.loop import Training, learn
from mbrl.training.memory import arrays, num_bytes
from mbrl.training.state import TrainState
from mbrl.training.together import Together

# What can be computed together, in the order in which a run calls it between two real steps.
ORDER = (learn, act_all, act)
NAMES = {"learn": learn, "act_all": act_all, "act": act}
CHUNK = 8  # runs; on CPUs more gain nothing (docs/lockstep.md)
LEAST_SHARE = 0.75  # of a chunk that must ask: below, one by one is faster there


class LeftBehind(Exception):
    """The run has been given up by its group, and must end."""


@dataclass(eq=False)
class Request:
    """A call that waits: either for its answer, or for being told to compute those of `chunk`, its own among them."""

    place: int
    function: Callable[..., Any]
    arguments: tuple
    env_steps: int
    ready: Event = field(default_factory=Event)
    chunk: "list[Request]" = field(default_factory=list)
    answer: Any = None
    error: BaseException | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        return self.env_steps, ORDER.index(self.function), self.place


class Lockstep:
    """A group of `num_runs` runs. `together` names the functions (of NAMES) that are computed together.

    A run holds its place as a context: `with lockstep.place(i) as compute`; leaving it lets the others go on.
    """

    def __init__(
        self,
        num_runs: int,
        together: Collection[str],
        chunk: int | None = CHUNK,
        least_share: float = LEAST_SHARE,
    ):
        self.num_runs = num_runs
        self.together = tuple(sorted(together))
        # Chunks as equal as can be; each run stays in its own.
        num_chunks = 1 if chunk is None else math.ceil(num_runs / chunk)
        self.chunk_size = math.ceil(num_runs / num_chunks)
        self._least = max(2, math.ceil(least_share * self.chunk_size))
        self._functions = tuple(NAMES[name] for name in together)
        self._programs: dict[tuple, Together] = {}
        self._waiting: dict[int, Request] = {}
        self._live = set(range(num_runs))
        self._changing = Lock()  # of what is above
        self._dispatching: dict[Callable, Lock] = {}  # so that a program is compiled once

    def place(self, number: int) -> "Place":
        """The place of run `number`."""
        return Place(self, number)

    def leave(self, number: int, error: BaseException | None = None) -> None:
        """Takes a run out of the group: a call of it, waiting or still to come, raises `error`, and the others go on."""
        with self._changing:
            self._live.discard(number)
            request = self._waiting.pop(number, None)
            if request is not None:
                request.error = error or LeftBehind("The run was given up by its group.")
                request.ready.set()
            self._serve_if_all_wait()

    def call(
        self, number: int, env_steps: int, function: Callable[..., Any], arguments: tuple
    ) -> Any:
        """See `Place`."""
        if number not in self._live:
            raise LeftBehind("The run was given up by its group.")
        if function not in self._functions:
            return self._dispatched(function, arguments)
        request = Request(number, function, arguments, env_steps)
        with self._changing:
            if number not in self._live:
                raise LeftBehind("The run was given up by its group.")
            self._waiting[number] = request
            self._serve_if_all_wait()
        request.ready.wait()
        if request.chunk:
            self._compute(request.chunk)
        if request.error is not None:
            raise request.error
        return request.answer

    def _serve_if_all_wait(self) -> None:
        """Wakes those whose turn it is: one of a chunk, who computes for all of it, or each to compute for itself."""
        if not self._waiting or len(self._waiting) < len(self._live):
            return
        first = min(self._waiting.values(), key=lambda request: request.order)
        asking = [
            self._waiting.pop(place)
            for place in sorted(self._waiting)
            if self._waiting[place].function is first.function
        ]
        chunks: dict[int, list[Request]] = {}
        for request in asking:
            chunks.setdefault(request.place // self.chunk_size, []).append(request)
        for chunk in chunks.values():
            for group in [chunk] if len(chunk) >= self._least else [[request] for request in chunk]:
                group[0].chunk = group
                group[0].ready.set()

    def _compute(self, chunk: list[Request]) -> None:
        """Answers each of the chunk, or hands each the error; nobody is left waiting."""
        try:
            answers = self._answers(chunk)
            for request, answer in zip(chunk, answers, strict=True):
                request.answer = answer
        except BaseException as error:
            for request in chunk:
                request.error = error
        for request in chunk[1:]:
            request.ready.set()

    def _answers(self, chunk: list[Request]) -> list[Any]:
        function = chunk[0].function
        if len(chunk) == 1:
            return [self._dispatched(function, chunk[0].arguments)]
        with self._changing:
            key = function, chunk[0].place // self.chunk_size
            program = self._programs.setdefault(
                key, Together(function, self.chunk_size, on_host=function is not learn)
            )
            dispatching = self._dispatching.setdefault(function, Lock())
        rows = {request.place % self.chunk_size: request.arguments for request in chunk}
        return program.answers(rows, dispatching)

    def _dispatched(self, function: Callable[..., Any], arguments: tuple) -> Any:
        with self._changing:
            dispatching = self._dispatching.setdefault(function, Lock())
        with dispatching:  # JAX goes on computing beyond it
            return function(*arguments)


class Place(AbstractCompute):
    """A run's place in a group, held as a context: it is free again when the run ends, however it ends."""

    def __init__(self, lockstep: Lockstep, number: int):
        self._lockstep, self.number = lockstep, number
        self._env_steps = 0

    def __call__(self, function, *arguments):
        return self._lockstep.call(self.number, self._env_steps, function, arguments)

    def reached(self, env_steps):
        self._env_steps = env_steps

    def facts(self):
        lockstep = self._lockstep
        company = {
            "runs": lockstep.num_runs,
            "place": self.number,
            "chunk": lockstep.chunk_size,
            "together": list(lockstep.together),
        }
        return {"lockstep": company}

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._lockstep.leave(self.number)


def on_this_device(pays: Collection[str]) -> dict[str, Any]:
    """Arguments of a Lockstep: `pays` names what pays to be computed together on a CPU; an accelerator, which a run alone leaves idle,
    computes all together."""
    if jax.default_backend() == "cpu":
        return {"together": pays}
    return {"together": tuple(NAMES), "chunk": None, "least_share": 0.0}


def sizes_of_decisions(
    training: Training,
    environment: GymnasiumEnvironment,
    planner: AbstractPlanner,
    state: TrainState,
) -> dict[str, int]:
    """Of each kind of decision, the bytes of its largest product of matrices: how much there is to do at each of its steps."""

    def decide(state, observation, epsilon):
        model, number = training.exploration.model(state), np.asarray(0)
        planner_state, noise = begin(planner, training.exploration, state.key, number)
        return act(planner, model, state.key, number, observation, planner_state, epsilon, noise[0])

    def decide_all(state, observations):
        episodes = np.arange(training.most_evaluation_episodes)
        planner_states = begin_all(planner, state.key, episodes)
        return act_all(
            planner, state.model, state.key, episodes, np.asarray(0), observations, planner_states
        )

    observations = jax.ShapeDtypeStruct(
        (training.most_evaluation_episodes, environment.observation_size), jnp.float32
    )
    observation, epsilon = (
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (observations.shape[1:], ())
    )
    return {
        "act": _largest_product(decide, state, observation, epsilon),
        "act_all": _largest_product(decide_all, state, observations),
    }


def _largest_product(function: Callable[..., Any], *arguments: Any) -> int:
    traced, _, _ = eqx.filter_make_jaxpr(function)(*arguments)
    return max((num_bytes(array) for array in arrays(traced.jaxpr, by="dot_general")), default=0)
