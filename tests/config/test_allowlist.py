"""A config runs only the project's own parts and trusted ones; a canary file would show it."""

import sys
from pathlib import Path

import gymnasium
import pytest
from omegaconf import DictConfig, OmegaConf

from mbrl.assemble import assemble
from mbrl.config.allowlist import allowed_target, load_saved_config, trusted_packages
from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.config.validation import format_value
from mbrl.errors import ConfigError, CorruptRun
from mbrl.experiment import build_loggers, run
from tests.configs import new_run_info

SMALL = ["planner=random", "env=point_mass", "model=oracle", "training=smoke"]
ENVIRONMENT = "mbrl.envs.gymnasium.GymnasiumEnvironment"
SOUND = {"_target_": "mbrl.loggers.console.ConsoleLogger"}

FOREIGN_MODULE = """
import gymnasium
from pathlib import Path
from mbrl.envs.point_mass import PointMass

Path({canary!r}).touch()
gymnasium.register("Foreign-v0", entry_point=PointMass, max_episode_steps=5)

class Part:
    def __init__(self, **settings):
        self.settings = settings
"""


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """A file that exists once the module `foreign` was imported."""
    path = tmp_path / "canary"
    (tmp_path / "foreign.py").write_text(FOREIGN_MODULE.format(canary=str(path)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign", raising=False)
    monkeypatch.delitem(gymnasium.registry, "Foreign-v0", raising=False)
    return path


def refusal(node: object, trust: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        build(node if isinstance(node, DictConfig) else OmegaConf.create(node), trust)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("os.system", {"command": "touch {canary}"}),
        ("os.mkdir", {"path": "{canary}"}),
        ("urllib.request.urlretrieve", {"url": "file:///etc/hostname", "filename": "{canary}"}),
        ("jax.numpy.save", {"file": "{canary}", "arr": [1]}),
        ("builtins.open", {"file": "{canary}", "mode": "w"}),
        ("pathlib.Path.touch", {"self": "{canary}"}),
        ("functools.partial", {"_args_": ["{canary}"]}),
        ("hydra.utils.get_object", {"path": "foreign.Part"}),
        ("mbrl.config.process.os.mkdir", {"path": "{canary}"}),
        ("mbrl.training.loop.jax.numpy.save", {"file": "{canary}", "arr": [1]}),
        ("mbrl.envs.gymnasium.np.save", {"file": "{canary}", "arr": [1]}),
        ("mbrl.loggers.files.os.mkdir", {"path": "{canary}"}),
        ("mbrl.loggers.files.FilesLogger.log", {"self": {"path": "{canary}"}, "row": {}}),
        ("mbrl.envs.gymnasium.GymnasiumEnvironment.__init__.__globals__", {}),
        ("mbrl.envs.gymnasium.GymnasiumEnvironment.__subclasses__", {}),
        ("mbrl.loggers.files.logger.handle", {}),
        ("mbrl.envs.gymnasium._to_float32", {"space": 1}),
        ("optax.schedules._join.jnp.save", {"file": "{canary}", "arr": [1]}),
        ("optax._src.base.jax.numpy.save", {"file": "{canary}", "arr": [1]}),
        ("optax.tree_utils.tree_get", {"tree": {}, "key": "__class__"}),
        ("optax.tree_map_params", {}),
        ("foreign.Part", {}),
    ],
)
def test_what_a_target_names_is_not_run(canary, target, arguments):
    node = OmegaConf.create(
        str(OmegaConf.to_yaml({"_target_": target, **arguments})).replace("{canary}", str(canary))
    )
    places = ({"console": node}, {"console": [[{1: {"a.b": node}}]]}, {"_args_": [node]})
    for hidden in (node, *(SOUND | place for place in places)):
        sentence = refusal(hidden)
        assert f"_target_={target}" in sentence or "_args_" in sentence
        assert "trust=[" in sentence or "Remove it" in sentence
        assert not canary.exists()
    assert f"_target_={target}: not one of this project's own parts" in refusal(node)
    package = target.split(".")[0]
    remedy = "Remove it" if package == "hydra" else f"add trust=[{package}] to the command line"
    assert remedy in refusal(node)


@pytest.mark.parametrize("word", ["hydra", "wandb"])
def test_trust_in_hydra_s_settings_or_an_account_allows_no_package(word):
    for node in ({"_target_": f"{word}.init"}, {"_target_": ENVIRONMENT, "id": f"{word}:A-v0"}):
        assert "not one of this project's own parts" in refusal(node, (word,))


NOT_NAMES = (None, 1, True, "", "foreign", "..foreign", "foreign..Part", "foreign.Part\n", "a b.c")


@pytest.mark.parametrize("target", [*NOT_NAMES, ["os.mkdir"], {"a": "os.mkdir"}])
def test_a_target_that_is_not_a_dotted_name_is_refused(target):
    sentence = refusal({"_target_": target})
    assert f"_target_={format_value(target)}".strip() in sentence
    assert ": must be the dotted name of a class or function" in sentence
    assert "trust=[" in sentence


def test_a_trusted_package_is_run(canary):
    part = OmegaConf.create({"_target_": "foreign.Part", "width": 3})
    assert build(part, ("foreign",)).settings == {"width": 3}
    assert canary.exists()


def test_trust_in_a_package_is_no_trust_in_what_it_imports(canary):
    assert "add trust=[pathlib]" in refusal({"_target_": "foreign.Path"}, ("foreign",))
    assert "_target_=foreigner.Part" in refusal({"_target_": "foreigner.Part"}, ("foreign",))


def test_parts_of_optax_are_allowed_by_their_public_names():
    for name in ("adamw", "nadam", "chain", "schedules.linear_schedule", "contrib.muon"):
        assert callable(allowed_target(f"optax.{name}", ()))
    clip = {"_target_": "optax.clip", "max_delta": 1.0}
    chain = {"_target_": "optax.chain", "_args_": [clip, clip | {"max_delta": 2.0}]}
    assert len(build(OmegaConf.create(chain))) == 2


@pytest.mark.parametrize(
    "hidden",
    [
        r"\${evil}",  # resolved to ${evil}, and to the part only if it is resolved once more
        r"\${oc.create:${evil}}",
        [r"\${evil}"],
        {"a": r"\${evil}"},
    ],
)
def test_an_interpolation_that_would_be_resolved_twice_is_refused(canary, hidden):
    evil = {"_target_": "os.mkdir", "path": str(canary)}
    config = compose(["+evil={}"])
    OmegaConf.update(config, "evil", evil, force_add=True)
    OmegaConf.update(config, "logger.console", SOUND | {"console": hidden}, force_add=True)
    with pytest.raises(ConfigError, match=r"\$\{"):
        resolve(config)
    assert not canary.exists()


@pytest.mark.parametrize("hidden", ["${evil}", "${oc.create:${evil}}"])
def test_a_target_behind_an_interpolation_is_seen(canary, hidden):
    config = compose(["+evil._target_=foreign.Part"])
    OmegaConf.update(config, "logger.console", SOUND | {"console": hidden}, force_add=True)
    assert "_target_=foreign.Part: not one of" in refusal(resolve(config).tree.logger.console)
    config = compose(["+name=foreign.Part", "planner._target_=${name}"])
    assert "_target_=foreign.Part: not one of" in refusal(resolve(config).tree.planner)
    assert not canary.exists()


def test_the_module_of_an_environment_is_not_imported(canary):
    overrides = ["env=gymnasium", "env.id=foreign:Foreign-v0", "planner=random", "training=smoke"]
    with pytest.raises(ConfigError) as caught:
        assemble(resolve(compose(overrides)))
    named = "env.id=foreign:Foreign-v0 (which imports foreign): not one of this project's own parts"
    assert named in str(caught.value)
    assert "add trust=[foreign] to the command line" in str(caught.value)
    assert not canary.exists()
    trusting = compose([*overrides, "trust=[foreign]"])
    trust = new_run_info(trusting).trust
    assert assemble(resolve(trusting), trust).environment.observation_size == 4
    assert canary.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"id": "foreign:Foreign-v0"},
        {"id": " foreign:Foreign-v0"},
        {"id": "foreign.more:Foreign-v0"},
        {"id": "mbrl.envsforeign:Foreign-v0"},
        {"_args_": ["foreign:Foreign-v0"]},
        {"id": "GymV26Environment-v0", "kwargs": {"env_id": "foreign:Foreign-v0"}},
        {"id": "A-v1", "kwargs": {"make_kwargs": {"id": "foreign:Foreign-v0"}}},
        {"id": "A-v1", "kwargs": {"a": [{"_target_": ENVIRONMENT, "id": "foreign:Foreign-v0"}]}},
    ],
)
def test_the_module_of_an_environment_is_seen_at_any_depth(canary, settings):
    assert "foreign" in refusal({"_target_": ENVIRONMENT, **settings})
    assert not canary.exists()


def test_an_environment_is_not_handed_to_a_caller_that_gives_it_another_id(canary):
    deferred = {"_target_": ENVIRONMENT, "_partial_": True}
    caller = {
        "_target_": "mbrl.models.optimisation.filter_while_loop",
        "condition": deferred,
        "body": deferred,
        "start": "foreign:Foreign-v0",
    }
    assert "body._partial_=True: a config may not set this" in refusal(caller)
    assert not canary.exists()


def test_a_config_does_not_choose_where_a_logger_writes(tmp_path):
    logger = {"_target_": "mbrl.loggers.files.FilesLogger"}
    run_info = {"_target_": "mbrl.run_info.RunInfo", "folder": str(tmp_path), "name": "a"}
    for settings in ({"run_info": run_info}, {"_args_": [str(tmp_path)]}, {"_partial_": True}):
        sentence = refusal(SOUND | {"console": logger | settings})
        assert "a config may not set this" in sentence or "not one of this project's" in sentence
    config = compose(["logger=files", "+logger.files.run_info=3"])
    with pytest.raises(ConfigError, match=r"logger\.files\.run_info=3: a config may not set this"):
        list(build_loggers(resolve(config), new_run_info(config)))


@pytest.mark.parametrize(
    ("overrides", "packages"),
    [
        ("", ()),
        ("seed=1 +a.trust=[x] trust.a=x", ()),
        ("trust=[]", ()),
        ("trust=null", ()),
        ("trust=mine", ("mine",)),
        ("trust=[mine,'yours.part']", ("mine", "yours.part")),
        ("++trust=[mine]", ("mine",)),
        ("trust=[mine] trust=[yours]", ("yours",)),
        ("trust=mine,yours", ()),
    ],
)
def test_trust_is_read_from_the_command_line(overrides, packages):
    assert trusted_packages(overrides.split()) == packages


@pytest.fixture
def saved(tmp_path) -> Path:
    """A config as a run saves it."""
    path = tmp_path / "config.yaml"
    path.write_text(resolve(compose(SMALL)).to_yaml())
    return path


def saved_refusal(path: Path, trust: tuple[str, ...] = ()) -> str:
    with pytest.raises((ConfigError, CorruptRun)) as caught:
        load_saved_config(path, trust)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_saved_config_is_read_as_it_was_composed(saved):
    config = load_saved_config(saved, ())
    assert OmegaConf.to_container(config) == resolve(compose(SMALL)).settings
    assert resolve(config).fingerprint() == resolve(compose(SMALL)).fingerprint()
    assert OmegaConf.is_struct(config)
    assert type(assemble(resolve(config)).planner).__name__ == "RandomPlanner"


@pytest.mark.parametrize(
    ("added", "named"),
    [
        ("hostile: ${oc.env:HOME}", "${oc.env:HOME}: an interpolation"),
        ('hostile: "\\x24{oc.env:HOME}"', "${oc.env:HOME}: an interpolation"),
        ("hostile: [{'${oc.env:HOME}': 1}]", "${oc.env:HOME}: an interpolation"),
        ("hostile: !!python/object/apply:os.mkdir [{canary}]", "a YAML anchor, alias or tag"),
    ],
)
def test_a_saved_config_holds_nothing_but_plain_values(saved, canary, added, named):
    saved.write_text(saved.read_text() + added.replace("{canary}", str(canary)) + "\n")
    assert named in saved_refusal(saved)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        *((name, None, f"{name}: Field required") for name in ("planner", "seed", "num_threads")),
        ("training", 3, "training: Input should be a valid dictionary"),
        ("logger", {"files": []}, "logger.files: Input should be a valid dictionary"),
        ("training", {"env_steps": "5000"}, "training.env_steps: Input should be a valid number"),
    ],
)
def test_settings_of_another_type_are_refused(saved, setting, value, problem):
    settings = resolve(compose(SMALL)).settings | {setting: value}
    if value is None:
        del settings[setting]
    saved.write_text(OmegaConf.to_yaml(settings))
    assert f"config.yaml is not the saved config of a run ({problem})." in saved_refusal(saved)


def test_a_file_without_a_run_s_settings_is_refused(saved):
    for text in ("", "3", "- env", "text"):
        saved.write_text(text)
        assert "config" in saved_refusal(saved)
    saved.write_bytes(b"\xff\xfe")
    assert "cannot be read" in saved_refusal(saved)
    saved.unlink()
    assert "has no config.yaml" in saved_refusal(saved)


def test_a_saved_trust_counts_only_together_with_the_command_line(saved, canary):
    saved.write_text(saved.read_text().replace("trust: []", "trust: [foreign]"))
    sentence = saved_refusal(saved)
    assert "has trust=[foreign], which only counts on the command line" in sentence
    assert "add trust=[foreign] there too" in sentence
    assert "add trust=[foreign] there too" in saved_refusal(saved, ("foreigner",))
    assert not canary.exists()
    assert load_saved_config(saved, ("foreign",)).trust == ["foreign"]


def test_a_hostile_saved_config_runs_nothing_unless_it_is_trusted(saved, canary):
    own = "mbrl.planners.random.RandomPlanner"
    saved.write_text(saved.read_text().replace(own, "foreign.Part"))
    with pytest.raises(ConfigError, match=r"_target_=foreign\.Part: .* add trust=\[foreign\]"):
        assemble(resolve(load_saved_config(saved, ())))
    assert not canary.exists()
    build(resolve(load_saved_config(saved, ("foreign",))).tree.planner, ("foreign",))
    assert canary.exists()


def test_a_run_with_a_hostile_config_leaves_no_trace_of_it(tmp_path, canary):
    with pytest.raises(ConfigError, match=r"_target_=foreign\.Part"):
        run(compose(["planner._target_=foreign.Part", f"hydra.run.dir={tmp_path}/run"]))
    assert not canary.exists()
