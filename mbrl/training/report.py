"""Reports what the loop is doing at the moment, and when the run is expected to end."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from mbrl.progress import Phase, Progress


class Remaining(NamedTuple):
    """What a run still has to do."""

    steps: int  # real ones
    learning_phases: int
    evaluation_episodes: int


class ProgressReporter:
    """Times the phases, and expects each to take as long as the last one of its kind.

    An evaluation's time is that of its episodes. Before the first evaluation, an episode counts as
    `episode_limit` steps of collection, since planning takes most of the time of both.
    """

    def __init__(
        self,
        show: Callable[[Progress], None],
        remaining: Callable[[Phase, int], Remaining],  # from the start of a phase at a real step
        episode_limit: int,
    ):
        self._show, self._remaining, self._episode_limit = show, remaining, episode_limit
        self._seconds: dict[Phase, float] = {}  # of a planned step, a phase of learning, an episode
        self._progress = Progress("collecting", 0)
        self._started = 0.0
        self._compiled: set[tuple[Phase, int]] = set()  # an evaluation's program has its episodes

    def begin(self, phase: Phase, env_steps: int, num_episodes: int = 0) -> None:
        """A phase begins. What it calls for the first time is compiled first."""
        self._started = perf_counter()
        seconds = self._seconds_left(self._remaining(phase, env_steps))
        self._progress = Progress(
            phase,
            env_steps,
            compiling=(phase, num_episodes) not in self._compiled,
            num_episodes=num_episodes,
            ends_at=None if seconds is None else self._started + seconds,
        )
        self._show(self._progress)

    def advance(self, env_steps: int, episodes: int = 0, episode_steps: int = 0) -> None:
        """The phase has taken a step, so all that it calls is compiled."""
        self._progress = self._progress._replace(
            env_steps=env_steps,
            episodes=episodes,
            episode_steps=episode_steps,
            compiling=False,
        )
        self._show(self._progress)

    def end(self, count: int = 1) -> float:
        """The phase has ended, after `count` planned steps or episodes; returns its seconds."""
        seconds = perf_counter() - self._started
        if count:
            self._seconds[self._progress.phase] = seconds / count
            self._compiled.add((self._progress.phase, self._progress.num_episodes))
        return seconds

    def _seconds_left(self, remaining: Remaining) -> float | None:
        """None before planned collection and learning have been measured."""
        step, learning = self._seconds.get("collecting"), self._seconds.get("learning")
        if step is None or learning is None:
            return None
        episode = self._seconds.get("evaluating", step * self._episode_limit)
        return (
            remaining.steps * step
            + remaining.learning_phases * learning
            + remaining.evaluation_episodes * episode
        )
