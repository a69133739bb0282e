"""Search spaces of command lines, compared with what Hydra's own sweeper would run."""

import pytest

pytest.importorskip("optuna")

from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mbrl.errors import ConfigError
from mbrl.sweepers.search_space import search_space

pytestmark = pytest.mark.extras


def space(*overrides):
    return search_space(OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("sweep", "distribution"),
    [
        ("3,5", CategoricalDistribution(["3", "5"])),
        ("choice(a,b,a)", CategoricalDistribution(["a", "b"])),
        (
            "null,true,0.5,'a b',[1,2]",
            CategoricalDistribution(["null", "True", "0.5", "'a b'", "[1,2]"]),
        ),
        ("shuffle(choice(d,c,b,a))", CategoricalDistribution(["d", "c", "b", "a"])),
        ("range(1,4)", IntDistribution(1, 3)),
        ("range(10,30,5)", IntDistribution(10, 25, step=5)),
        ("range(5,1,-2)", IntDistribution(3, 5, step=2)),
        ("shuffle(range(1,4))", IntDistribution(1, 3)),
        ("range(0.1,0.35,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("float(range(1,3))", FloatDistribution(1.0, 2.0, step=1.0)),
        ("tag(log,range(1,100))", IntDistribution(1, 99, log=True)),
        ("interval(0,1)", FloatDistribution(0.0, 1.0)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(interval(1,9))", IntDistribution(1, 9)),
        ("tag(int,interval(1,9))", IntDistribution(1, 9)),
        ("tag(log,int,interval(8,512))", IntDistribution(8, 512, log=True)),
        ("tag(log,int(interval(8,512)))", IntDistribution(8, 512, log=True)),
    ],
)
def test_a_sweep_becomes_a_distribution(sweep, distribution):
    assert space(f"a.b={sweep}").distributions == {"a.b": distribution}


@pytest.mark.parametrize(
    "sweep", ["3,5", "x,'a b',{c:1},null", "range(1,9,3)", "range(0.1,0.75,0.1)"]
)
def test_the_values_are_those_that_hydra_would_run(sweep):
    [override] = OverridesParser.create().parse_overrides([f"a={sweep}"])
    found = search_space([override])
    distribution = found.distributions["a"]
    drawn = getattr(distribution, "choices", None)
    if drawn is None:
        count = round((distribution.high - distribution.low) / distribution.step) + 1
        drawn = [distribution.low + index * distribution.step for index in range(count)]
    parsed = [
        OverridesParser.create().parse_overrides(found.overrides({"a": value}))[0].value()
        for value in drawn
    ]
    wanted = [
        OverridesParser.create().parse_overrides([f"a={text}"])[0].value()
        for text in override.sweep_string_iterator()
    ]
    assert parsed == [
        pytest.approx(value) if isinstance(value, float) else value for value in wanted
    ]


def test_a_number_survives_the_command_line_exactly():
    found = space("a=tag(log,interval(1e-4,1e-2))", "b=interval(-1,1)")
    drawn = {"a": 0.1 + 0.2, "b": -1.2345678901234567e-05}
    read = OverridesParser.create().parse_overrides(found.overrides(drawn))
    assert {override.key_or_group: override.value() for override in read} == drawn


def test_an_override_without_a_sweep_is_fixed_as_given():
    found = space("planner=cem,mcts", "+a.b='x y'", "~c", "env.kwargs={m:1}", "+d@e=range(2)")
    assert found.fixed == ("+a.b='x y'", "~c", "env.kwargs={m:1}")
    assert found.overrides({"planner": "mcts", "+d@e": 1}) == ["planner=mcts", "+d@e=1"]


def test_validation_points_contain_each_option():
    found = space("planner=cem,mcts,greedy", "model=mlp,ensemble", "a=interval(0,1)")
    points = list(found.validation_points())
    assert len(points) == 4
    assert {point[0] for point in points} == {"planner=cem", "planner=mcts", "planner=greedy"}
    assert {point[1] for point in points} == {"model=mlp", "model=ensemble"}


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ([], "nothing to search"),
        (["planner=mcts"], "nothing to search"),
        (["a=interval(2,1)"], "a=interval(2,1)"),
        (["a=interval(1,1)"], "larger"),
        (["a=interval(0,inf)"], "finite"),
        (["a=tag(log,interval(0,1))"], "above 0"),
        (["a=tag(int,interval(0.5,3))"], "whole ends"),
        (["a=tag(int,range(0.5,3,1))"], "whole ends"),
        (["a=tag(log,range(1,9,2))"], "steps must be 1"),
        (["a=tag(log,range(0,9))"], "start above 0"),
        (["a=tag(log,range(1.0,9.0,1.0))"], "steps must be 1"),
        (["a=tag(log,range(0.5,3,1))"], "steps must be 1"),
        (["a=tag(int,range(1,5,inf))"], "is empty"),
        (["a=range(3,3)"], "is empty"),
        (["a=range(1,3,0)"], "is empty"),
        (["a=tag(lgo,interval(1,2))"], "lgo"),
        (["a=tag(log,choice(1,2))"], "tags a choice"),
    ],
)
def test_an_invalid_space_is_refused_in_one_sentence(overrides, named):
    with pytest.raises(ConfigError) as caught:
        space(*overrides)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
