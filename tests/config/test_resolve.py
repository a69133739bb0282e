"""A config is resolved once, into plain values; what no run can have is refused in one sentence."""

import pytest
from omegaconf import OmegaConf, flag_override

from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.config.resolve import SETTINGS, ResolvedConfig, resolve
from mbrl.errors import ConfigError
from tests.configs import options


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(compose(overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("env=gymnasium", "env.id: has no value. Give it on the command line: env.id=…"),
        ("seed=-1", "seed=-1: must be a whole number in [0, 2^32)"),
        ("seed=one", "seed=one: must be a whole number in [0, 2^32)"),
        ("seed=${nowhere}", "seed: refers to something that does not exist"),
        ("horizon=0", "horizon=0: must be at least 1"),
        ("discount=1.5", "discount=1.5: must be in (0, 1]"),
        ("discount=null", "discount=null: must be a number"),
        ("num_threads=1.5", "num_threads=1.5: must be a whole number"),
        ("compilation_cache=maybe", "compilation_cache=maybe: must be true or false"),
        ("logger.console=null", "logger.console=null: must be a mapping with a _target_"),
        (
            "env.terminates_on=maybe",
            "env.terminates_on=maybe: must be one of failure, goal, both, never, unknown.",
        ),
        ("+trainning.env_steps=5", "trainning: not a setting, nor referred to. Did you mean"),
        ("+note=text", "note: not a setting, nor referred to."),
        ("by_termination.goal=1", "by_termination.goal=1: must be a mapping of defaults."),
        ("by_termination.never.discount=x", "by_termination.never.discount=x: must be a number"),
        (
            "by_termination.both.pessimism=nan",
            "by_termination.both.pessimism=nan: must be a number",
        ),
        ("by_termination.goal.bonus_floor=1", "by_termination.goal.bonus_floor=1: must be true or"),
        ("+hor=3", "hor: not a setting, nor referred to."),
        ("env.terminates_on=${nope}", "env.terminates_on: refers to something that does not exist"),
        ("seed='\\${oc.env:HOME}'", "${oc.env:HOME}: an interpolation where only plain values"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused(override, sentence):
    assert refusal(override).startswith(sentence)


def nested(depth: int) -> dict:
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    "value",
    [
        *("a\u2028b", "a\x85b", "\ud800", b"a", "x" * 2_000_000, 10**5000, nested(60)),
        {f"a{i}": {f"b{k}": 1 for k in range(900)} for i in range(6)},
    ],
    ids=["line", "next line", "surrogate", "bytes", "size", "digits", "depth", "keys"],
)
def test_a_config_that_could_not_be_read_back_is_refused(value):
    config = compose(["planner=random"])
    OmegaConf.update(config, "env.kwargs", {"x": value}, force_add=True)
    with pytest.raises(ConfigError, match=r"^env\.kwargs\.x[.a]*: must be readable from config"):
        resolve(config)


@pytest.mark.parametrize("name", ["model.pessimism", "env.kwargs", "trust", "seed"])
def test_a_list_or_mapping_too_long_to_be_copied_is_refused_at_once(name):
    config = compose()
    for value in ([1] * 2000, {str(number): 1 for number in range(2000)}):
        with flag_override(config, "struct", False):
            OmegaConf.update(config, name, value, merge=False)
        with pytest.raises(ConfigError, match=rf"^{name}: has 2000 entries, and must have at most"):
            resolve(config)


@pytest.mark.parametrize("name", ["env", "planner", "logger"])
def test_a_part_that_is_missing_is_named(name):
    config = compose()
    OmegaConf.set_struct(config, False)
    del config[name]
    with pytest.raises(ConfigError, match=f"{name}=null: must be a mapping"):
        resolve(config)


@pytest.mark.parametrize("value", ["abc", 3, [1], None])
def test_a_logger_that_is_not_a_mapping_is_refused(value):
    config = compose()
    OmegaConf.set_struct(config, False)
    config.logger = value
    with pytest.raises(ConfigError, match=r"logger=.*: must be a mapping of loggers"):
        resolve(config)


def test_a_setting_of_the_users_own_may_be_referred_to():
    resolved = resolve(compose(["+mine=3", "seed=${mine}"]))
    assert resolved.settings["seed"] == 3
    assert set(resolved.settings) <= set(SETTINGS)


@pytest.mark.parametrize("environment", options("env"))
def test_defaults_follow_from_what_terminates_an_episode(environment):
    overrides = [f"env={environment}", "env.id=CartPole-v1"]
    config = compose(overrides)
    row = config.by_termination[config.env.terminates_on]
    resolved = resolve(config).tree
    assert resolved.discount == resolved.planner.discount == row.discount
    assert resolved.model.pessimism == row.pessimism
    assert resolved.model.uncertainty_penalty == row.uncertainty_penalty
    assert resolved.model.disagreement_bonus == row.disagreement_bonus


def test_both_has_the_defaults_of_unknown():
    table = compose().by_termination
    assert table.both == table.unknown


def test_a_resolved_config_is_read_only_and_the_composed_one_unchanged():
    config = compose(["planner=random"])
    before = OmegaConf.to_yaml(config)
    resolved = resolve(config)
    assert OmegaConf.to_yaml(config) == before
    assert OmegaConf.is_readonly(resolved.tree)
    assert OmegaConf.to_container(resolved.tree) == resolved.settings


def test_the_fingerprint_depends_on_what_metrics_depend_on():
    base = resolve(compose())
    assert ResolvedConfig(dict(base.settings)).fingerprint() == base.fingerprint()
    for override in ("training.env_steps=7", "compilation_cache=false", "logger=files"):
        assert resolve(compose([override])).fingerprint() == base.fingerprint()
    for override in ("seed=1", "planner=mcts", "training.epsilon=0.5"):
        assert resolve(compose([override])).fingerprint() != base.fingerprint()
    other_seed = resolve(compose(["seed=1"]))
    assert other_seed.fingerprint(seed=None) == base.fingerprint(seed=None)


def test_a_run_resolves_its_config_once(tmp_path, monkeypatch):
    from mbrl.experiment import run

    to_container, calls = OmegaConf.to_container, []

    def counted(cfg, **options):
        if options.get("resolve") and "planner" in cfg:
            calls.append(cfg)
        return to_container(cfg, **options)

    monkeypatch.setattr(OmegaConf, "to_container", staticmethod(counted))
    overrides = ["training=smoke", "planner=random", "logger=files"]
    run(compose([*overrides, f"hydra.run.dir={tmp_path}/run"]))
    assert len(calls) == 1


def test_whole_numbers_may_be_written_as_floats():
    config = resolve(
        compose(["seed=3.0", "horizon=1e1", "num_threads=1.0", "training.env_steps=1e4"])
    )
    assert [config.settings[name] for name in ("seed", "horizon", "num_threads")] == [3, 10, 1]
    assert all(type(config.settings[name]) is int for name in ("seed", "horizon", "num_threads"))
    env_steps = build(config.tree.training).env_steps
    assert (type(env_steps), env_steps) == (int, 10_000)


def test_a_seed_from_a_variable_is_read_by_decoding_it(monkeypatch):
    monkeypatch.setenv("S", "7")
    sentence = refusal("seed=${oc.env:S}")
    assert sentence.startswith("seed=7: must be a whole number")
    assert "${oc.decode:${oc.env:NAME}} in a file" in sentence
    assert resolve(compose(["seed='${oc.decode:${oc.env:S}}'"])).settings["seed"] == 7


def test_a_whole_float_has_the_fingerprint_of_the_whole_number():
    one, other = (resolve(compose([f"training.learn_every={text}"])) for text in ("100", "1e2"))
    assert one.fingerprint() == other.fingerprint()
    assert one.fingerprint() != resolve(compose(["training.learn_every=1e3"])).fingerprint()
