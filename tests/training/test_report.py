"""The reports of the loop: phases, and the expected end of the run."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbrl.assemble import assemble
from mbrl.config.build import build
from mbrl.training import report
from mbrl.training.loop import train
from mbrl.training.report import ProgressReporter, Remaining
from mbrl.training.snapshot import Snapshot
from tests.configs import resolved

EPISODE_LIMIT = 200


@pytest.fixture(scope="module")
def training():
    return build(resolved().tree.training)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test sets."""
    now = [0.0]
    monkeypatch.setattr(report, "perf_counter", lambda: now[0])
    return now


def phase(reporter, clock, name, seconds, count=1):
    reporter.begin(name, 0)
    clock[0] += seconds
    reporter.end(count)


def test_the_time_left_is_that_of_all_phases_that_follow(clock):
    shown = []
    remaining = Remaining(steps=100, learning_phases=3, evaluation_episodes=20)
    reporter = ProgressReporter(shown.append, lambda *_: remaining, EPISODE_LIMIT)
    phase(reporter, clock, "collecting", 2.0, count=10)
    assert shown[-1].ends_at is None  # learning has not been measured
    phase(reporter, clock, "learning", 7.0)
    reporter.begin("collecting", 0)
    # Before an evaluation, its episodes are expected to be as long as the limit.
    expected = 100 * 0.2 + 3 * 7.0 + 20 * EPISODE_LIMIT * 0.2
    assert shown[-1].ends_at == pytest.approx(clock[0] + expected)
    phase(reporter, clock, "evaluating", 5.0, count=10)
    reporter.begin("learning", 0)
    expected = 100 * 0.2 + 3 * 7.0 + 20 * 0.5
    assert shown[-1].ends_at == pytest.approx(clock[0] + expected)


def test_random_steps_do_not_count_as_planned_ones(clock):
    shown = []
    reporter = ProgressReporter(shown.append, lambda *_: Remaining(1, 1, 1), EPISODE_LIMIT)
    phase(reporter, clock, "collecting", 0.1, count=0)
    phase(reporter, clock, "learning", 7.0)
    reporter.begin("collecting", 0)
    assert shown[-1].ends_at is None


def test_a_phase_compiles_until_its_first_step(clock):
    shown = []
    reporter = ProgressReporter(shown.append, lambda *_: Remaining(1, 1, 1), EPISODE_LIMIT)
    reporter.begin("evaluating", 40, num_episodes=5)
    reporter.advance(40, 2, 7)
    reporter.end(5)
    reporter.begin("evaluating", 80, num_episodes=5)
    assert [progress.compiling for progress in shown] == [True, False, False]
    assert (shown[1].episodes, shown[1].episode_steps, shown[1].env_steps) == (2, 7, 40)


def test_an_evaluation_of_another_size_is_compiled_too(clock):
    shown = []
    reporter = ProgressReporter(shown.append, lambda *_: Remaining(1, 1, 1), EPISODE_LIMIT)
    for num_episodes in (5, 5, 20, 20):
        reporter.begin("evaluating", 40, num_episodes)
        reporter.end(num_episodes)
    assert [progress.compiling for progress in shown] == [True, False, True, False]


@settings(max_examples=200, deadline=None)
@given(
    budget=st.integers(1, 2000),
    warmup=st.sampled_from([1, 7, 50, 200]),
    learn_every=st.sampled_from([1, 3, 20, 100]),
    growth=st.sampled_from([0.0, 0.013, 0.05, 0.5, 1.0]),
    evaluate_every=st.sampled_from([1, 40, 999, 5000]),
    final=st.sampled_from([None, 20]),
    data=st.data(),
)
def test_what_remains_is_what_the_schedule_has(
    training, budget, warmup, learn_every, growth, evaluate_every, final, data
):
    """Counted without a walk over all events, which a long run has many of."""
    changed = {
        "env_steps": budget,
        "warmup_steps": warmup,
        "learn_every": learn_every,
        "learn_interval_growth": growth,
        "evaluate_every": evaluate_every,
        "evaluation_episodes": 5,
        "final_evaluation_episodes": final,
    }
    training = copy.copy(training)
    for name, value in changed.items():
        object.__setattr__(training, name, value)
    events = [0]
    while events[-1] < budget:
        events.append(training.next_event(events[-1]))
    now = data.draw(st.sampled_from(events[:-1]))
    later = [event for event in events if event > now]
    learned = sum(map(training.learning_is_due, later))
    evaluated = filter(training.evaluation_is_due, later)
    episodes = sum(map(training.evaluation_episodes_at, evaluated))
    assert training.remaining("collecting", now) == (budget - now, learned, episodes)
    if now and training.evaluation_is_due(now):
        expected = (budget - now, learned, episodes + training.evaluation_episodes_at(now))
        assert training.remaining("evaluating", now) == expected


@pytest.mark.slow
def test_the_loop_reports_every_phase_and_expects_what_its_schedule_has():
    overrides = ["training=smoke", "planner=random", "model/value=none", "model.num_members=2"]
    overrides += ["model.disagreement_bonus=0", "training.final_evaluation_episodes=3"]
    *parts, state = assemble(resolved(*overrides))
    shown, rows = [], []
    train(*parts, Snapshot(state), rows.append, show=shown.append)
    begun = [
        (progress.phase, progress.env_steps)
        for before, progress in zip([None, *shown], shown, strict=False)
        if before is None or progress.phase != before.phase
    ]
    assert begun == [
        ("collecting", 0),
        ("learning", 40),
        ("evaluating", 40),
        ("collecting", 40),
        ("learning", 60),
        ("evaluating", 60),
    ]
    assert [progress.env_steps for progress in shown if progress.phase == "collecting"][-1] == 60
    assert (shown[-1].episodes, shown[-1].num_episodes) == (3, 3)
    remaining = [parts[0].remaining(*each) for each in begun]
    assert remaining[0] == Remaining(steps=60, learning_phases=2, evaluation_episodes=5)
    assert remaining[2] == Remaining(steps=20, learning_phases=1, evaluation_episodes=5)
    assert remaining[3] == Remaining(steps=20, learning_phases=1, evaluation_episodes=3)
    assert remaining[5] == Remaining(steps=0, learning_phases=0, evaluation_episodes=3)
