"""Lock-step's promises: the answers of each run's own arguments, whoever comes first, leaves or fails."""

import threading
import time
from threading import Lock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.training import lockstep
from mbrl.training.compute import ALONE
from mbrl.training.lockstep import LeftBehind, Lockstep
from mbrl.training.together import Together


class Scaled(eqx.Module):
    factor: jax.Array
    name: str = eqx.field(static=True, default="scaled")


@eqx.filter_jit
def scale(model, key, number, state):
    luck = jax.random.normal(jax.random.fold_in(key, number))
    return model.factor * state["at"] + luck, {"at": state["at"] + 1.0, "key": key}


@eqx.filter_jit
def shift(number):
    return number - 1


def arguments(seed, at=2.0):
    return (
        Scaled(jnp.asarray(float(seed))),
        jax.random.key(seed),
        np.asarray(seed),
        {"at": np.full(3, at, np.float32)},
    )


def same(first, second):
    numbers = [jax.tree.map(as_numbers, tree) for tree in (first, second)]
    return eqx.tree_equal(*numbers)


def as_numbers(leaf):
    is_key = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_alone_a_call_is_a_call():
    assert same(ALONE(scale, *arguments(3)), scale(*arguments(3)))
    assert ALONE.facts() == {}


@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("asking", [(0, 1, 2), (2, 0)])
def test_each_row_is_answered_what_is_its_own(on_host, asking):
    together = Together(scale, 3, on_host)
    answers = together.answers({row: arguments(row) for row in asking}, Lock())
    for row, answer in zip(asking, answers, strict=True):
        assert same(answer, scale(*arguments(row)))
        assert isinstance(answer[1]["at"], np.ndarray) == on_host


def test_an_array_that_was_written_into_is_read_again():
    """As an evaluation's observations are."""
    together, given = Together(scale, 2, True), [arguments(0), arguments(1)]
    together.answers(dict(enumerate(given)), Lock())
    for each in given:
        each[3]["at"][:] = 7.0
    for answer, each in zip(together.answers(dict(enumerate(given)), Lock()), given, strict=True):
        assert same(answer, scale(*each))


def test_what_one_has_on_the_device_and_another_on_the_host_is_stacked_too():
    """As planners' states are, when one run has just begun an episode."""
    given = [arguments(0), arguments(1)]
    given[0][3]["at"] = jnp.asarray(given[0][3]["at"])
    for answer, each in zip(
        Together(scale, 2, True).answers(dict(enumerate(given)), Lock()), given, strict=True
    ):
        assert same(answer, scale(*each))


def test_what_stays_on_the_device_is_let_go_of():
    given = {row: arguments(row) for row in (0, 1)}
    Together(scale, 2, False).answers(given, Lock())
    assert all(row[0].factor.is_deleted() for row in given.values())


@pytest.fixture
def group(monkeypatch):
    """A group that computes `scale` and `shift` together."""
    monkeypatch.setattr(lockstep, "NAMES", {"scale": scale, "shift": shift})
    monkeypatch.setattr(lockstep, "ORDER", (scale, shift))

    def make(num_runs, **settings):
        return Lockstep(num_runs, ("scale", "shift"), **settings)

    return make


def in_threads(*stories):
    """What each story returned or raised; none may hang."""
    results = [None] * len(stories)

    def tell(number, story):
        try:
            results[number] = story()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=tell, args=pair, daemon=True) for pair in enumerate(stories)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def story_of(place, num_calls, delay=0.0, fault=None):
    def story():
        answers = []
        with place as compute:
            for step in range(num_calls):
                compute.reached(step)
                time.sleep(delay)
                answers.append(compute(scale, *arguments(place.number, at=float(step))))
            if fault:
                raise fault
        return answers

    return story


@pytest.mark.parametrize("settings", [{}, {"chunk": 2}, {"chunk": None, "least_share": 0.0}])
def test_runs_that_end_one_after_the_other_are_answered_to_the_end(group, settings):
    together = group(5, **settings)
    results = in_threads(
        *(story_of(together.place(i), 2 + 3 * i, 0.001 * (i % 2)) for i in range(5))
    )
    for i, answers in enumerate(results):
        assert len(answers) == 2 + 3 * i
        assert all(
            same(answer, scale(*arguments(i, at=float(step))))
            for step, answer in enumerate(answers)
        )


def test_one_that_fails_leaves_the_others_alone(group):
    together = group(3)
    results = in_threads(
        *(
            story_of(together.place(i), 4, fault=KeyError("broken") if i == 1 else None)
            for i in range(3)
        )
    )
    assert isinstance(results[1], KeyError)
    assert len(results[0]) == len(results[2]) == 4


def test_what_goes_wrong_in_the_computation_reaches_all_of_its_runs(group):
    together = group(3)

    def story(place):
        def call():
            with place as compute:
                return compute(scale, *arguments(place.number), "one too many")

        return call

    assert all(
        isinstance(result, TypeError)
        for result in in_threads(*(story(together.place(i)) for i in range(3)))
    )


def test_the_furthest_behind_is_answered_first(group):
    together, order = group(2), []

    def story(place, first, function, given):
        def call():
            with place as compute:
                compute.reached(first)
                compute(function, *given)
                order.append(place.number)
                time.sleep(0.1)

        return call

    ahead = story(together.place(0), 9, shift, (np.asarray(4),))
    in_threads(
        ahead, story(together.place(1), 5, shift, (np.asarray(5),))
    )  # the same function: both at once
    order.clear()
    together = group(2)
    in_threads(
        story(together.place(0), 9, shift, (np.asarray(4),)),
        story(together.place(1), 5, scale, arguments(1)),
    )
    assert order == [1, 0]


def test_one_that_is_given_up_while_it_waits_is_woken(group):
    together = group(2)
    waiting = story_of(together.place(0), 1)

    def give_up():
        time.sleep(0.2)
        together.leave(0)

    result, _ = in_threads(waiting, give_up)
    assert isinstance(result, LeftBehind)
    assert isinstance(in_threads(waiting)[0], LeftBehind)


def test_nothing_compiles_when_runs_leave(group):
    together, compiled = group(4), []
    in_threads(*(story_of(together.place(i), 2) for i in range(4)))

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    scale(*arguments(0))  # which those call who are too few to be computed together
    again = group(4)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        in_threads(*(story_of(again.place(i), 3 + i) for i in range(4)))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []
