"""What a config names is refused before it runs or is imported, unless the command line vouches for it; a canary would show it."""

import sys
from pathlib import Path

import gymnasium
import pytest
from omegaconf import DictConfig, OmegaConf

from mbrl.assemble import assemble
from mbrl.config.allowlist import allowed_target, load_saved_config, trusted_packages
from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.config.launch import run_info_from_hydra
from mbrl.config.resolve import resolve, to_yaml
from mbrl.errors import ConfigError
from mbrl.experiment import build_loggers, run

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
    """A file that is there once anybody has imported the module `foreign`."""
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
        ("mbrl.envs.gymnasium._sentence", {"reason": 1}),
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
    for hidden in (
        node,
        SOUND | {"console": node},
        SOUND | {"console": [[{1: {"a.b": node}}]]},
        SOUND | {"_args_": [node]},
    ):
        sentence = refusal(hidden)
        assert f"_target_={target}" in sentence or "_args_" in sentence
        assert "trust=[" in sentence or "leave it out" in sentence
        assert not canary.exists()
    assert f"_target_={target} is not one of this project's own parts" in refusal(node)
    assert f"say trust=[{target.split('.')[0]}] on the command line" in refusal(node)


@pytest.mark.parametrize(
    "target",
    [
        None,
        1,
        True,
        "",
        "foreign",
        "..foreign",
        "foreign..Part",
        "a b.c",
        ["os.mkdir"],
        {"a": "os.mkdir"},
    ],
)
def test_a_target_that_is_no_dotted_name_is_refused(target):
    sentence = refusal({"_target_": target})
    assert f"_target_={target} must be the dotted name of a class or function" in sentence
    assert "trust=[" in sentence


@pytest.mark.parametrize("node", [None, {}, {"width": 3}, {"_target_": "???"}])
def test_what_describes_no_part_is_refused(node):
    assert "must be described by its _target_" in refusal(node)


def test_a_package_that_the_command_line_vouches_for_is_run(canary):
    assert build(
        OmegaConf.create({"_target_": "foreign.Part", "width": 3}), ("foreign",)
    ).settings == {"width": 3}
    assert canary.exists()


def test_trust_in_a_package_is_no_trust_in_what_it_imports(canary):
    assert "say trust=[pathlib]" in refusal({"_target_": "foreign.Path"}, ("foreign",))
    assert "_target_=foreigner.Part" in refusal({"_target_": "foreigner.Part"}, ("foreign",))


def test_parts_of_optax_are_allowed_by_their_public_names():
    for name in (
        "optax.adamw",
        "optax.nadam",
        "optax.chain",
        "optax.schedules.linear_schedule",
        "optax.contrib.muon",
    ):
        assert callable(allowed_target(name, ()))
    chained = {
        "_target_": "optax.chain",
        "_args_": [
            {"_target_": "optax.clip", "max_delta": 1.0},
            {"_target_": "optax.sgd", "learning_rate": 1.0},
        ],
    }
    assert len(build(OmegaConf.create(chained))) == 2


@pytest.mark.parametrize(
    "hidden",
    [
        r"\${evil}",  # what is read as ${evil} first, and as the part only when it is built
        r"\${choose:a,{a:${evil}}}",
        [r"\${evil}"],
        {"a": r"\${evil}"},
    ],
)
def test_an_interpolation_that_is_worked_out_twice_is_refused(canary, hidden):
    config = OmegaConf.create(
        {"evil": {"_target_": "os.mkdir", "path": str(canary)}, "part": SOUND | {"console": hidden}}
    )
    assert "${" in refusal(config.part)
    assert not canary.exists()


@pytest.mark.parametrize("hidden", ["${evil}", "${oc.create:${evil}}", "${choose:a,{a:${evil}}}"])
def test_a_target_behind_an_interpolation_is_seen(canary, hidden):
    config = OmegaConf.create(
        {"evil": {"_target_": "foreign.Part"}, "part": SOUND | {"console": hidden}}
    )
    assert "_target_=foreign.Part is not one of" in refusal(config.part)
    config = OmegaConf.create({"name": "foreign.Part", "part": {"_target_": "${name}"}})
    assert "_target_=foreign.Part is not one of" in refusal(config.part)
    assert not canary.exists()


def test_building_changes_nothing_in_the_config():
    config = compose(["planner=random"])
    before = OmegaConf.to_yaml(config)
    assemble(config)
    assert OmegaConf.to_yaml(config) == before


def test_an_environment_s_module_is_not_imported(canary):
    overrides = ["env=gymnasium", "env.id=foreign:Foreign-v0", "planner=random", "training=smoke"]
    with pytest.raises(ConfigError) as caught:
        assemble(compose(overrides))
    assert (
        "env.id=foreign:Foreign-v0 (which imports foreign) is not one of this project's own parts"
        in str(caught.value)
    )
    assert "say trust=[foreign] on the command line" in str(caught.value)
    assert not canary.exists()
    trusting = compose([*overrides, "trust=[foreign]"])
    assert assemble(trusting, run_info_from_hydra(trusting).trust)[1].observation_size == 4
    assert canary.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"_args_": ["foreign:Foreign-v0"]},
        {"id": "GymV26Environment-v0", "kwargs": {"env_id": "foreign:Foreign-v0"}},
        {
            "id": "CartPole-v1",
            "kwargs": {"a": [{"_target_": ENVIRONMENT, "id": "foreign:Foreign-v0"}]},
        },
        {"id": "${oc.decode:'foreign:Foreign-v0'}"},
    ],
)
def test_an_environment_s_module_is_seen_wherever_it_stands(canary, settings):
    assert "foreign:Foreign-v0" in refusal({"_target_": ENVIRONMENT, **settings})
    assert not canary.exists()


def test_an_environment_is_not_handed_to_what_calls_it_with_another_id(canary):
    deferred = {"_target_": ENVIRONMENT, "_partial_": True}
    caller = {
        "_target_": "mbrl.training.optimisation.filter_while_loop",
        "condition": deferred,
        "body": deferred,
        "start": "foreign:Foreign-v0",
    }
    assert "body._partial_=True is not for a config to say" in refusal(caller)
    assert not canary.exists()


def test_a_config_does_not_choose_where_a_logger_writes(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"env_steps": 1}\nhalf a row')
    logger = {"_target_": "mbrl.loggers.files.FilesLogger"}
    run_info = {"folder": str(tmp_path)}
    for settings in ({"run_info": run_info}, {"_args_": [run_info]}, {"_partial_": True}):
        assert "is not for a config to say" in refusal(SOUND | {"console": logger | settings})
    config = compose(["logger=files", f"+logger.files.run_info.folder={tmp_path}"])
    with pytest.raises(ConfigError, match=r"logger\.files\.run_info=.* is not for a config to say"):
        list(build_loggers(config, resolve(config), run_info_from_hydra(config)))
    assert (tmp_path / "metrics.jsonl").read_text().endswith("half a row")


@pytest.mark.parametrize(
    ("overrides", "packages"),
    [
        ([], ()),
        (["seed=1", "+a.trust=[x]"], ()),
        (["trust=[]"], ()),
        (["trust=null"], ()),
        (["trust=mine"], ("mine",)),
        (["trust=[mine, 'yours.part']"], ("mine", "yours.part")),
        (["++trust=[mine]"], ("mine",)),
        (["trust=[mine]", "trust=[yours]"], ("yours",)),
    ],
)
def test_trust_is_what_the_command_line_says(overrides, packages):
    assert trusted_packages(overrides) == packages


@pytest.fixture
def saved(tmp_path) -> Path:
    """A config as a run saves it."""
    path = tmp_path / "config.yaml"
    path.write_text(
        to_yaml(
            resolve(compose(["planner=random", "env=point_mass", "model=oracle", "training=smoke"]))
        )
    )
    return path


def saved_refusal(path: Path, trust: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_saved_config(path, trust)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_saved_config_is_read_as_it_was_composed(saved):
    composed = compose(["planner=random", "env=point_mass", "model=oracle", "training=smoke"])
    config = load_saved_config(saved, ())
    assert OmegaConf.to_container(config) == OmegaConf.to_container(composed, resolve=True)
    assert OmegaConf.is_struct(config)
    assert type(assemble(config)[2]).__name__ == "RandomPlanner"


@pytest.mark.parametrize(
    ("added", "named"),
    [
        ("hostile: ${oc.env:HOME}", "${oc.env:HOME} is an interpolation"),
        ('hostile: "\\x24{oc.env:HOME}"', "${oc.env:HOME} is an interpolation"),
        ("hostile: [{'${oc.env:HOME}': 1}]", "${oc.env:HOME} is an interpolation"),
        ("hostile: &a [1]", "the YAML anchor or alias 'a'"),
        ("hostile: &a [x, x]\nworse: [*a, *a]", "the YAML anchor or alias 'a'"),
        (
            "hostile: !!python/object/apply:os.mkdir [{canary}]",
            "the YAML tag 'tag:yaml.org,2002:python/object/apply:os.mkdir'",
        ),
        ("hostile: !!python/object/apply:pathlib.Path [a]", "the YAML tag"),
        ("hostile: !!set {a}", "the YAML tag 'tag:yaml.org,2002:set'"),
        ("hostile: ! 3", "the YAML tag '!'"),
        ("hostile: " + "[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        ("hostile: " + "[" * 5000, "nested more than 50 levels deep"),
        ("hostile: " + "x" * 1_000_000, "larger than 1000000 bytes"),
        ("hostile: " + "9" * 5000, "not the YAML of a saved config"),
        ("hostile: [", "not the YAML of a saved config"),
        ("seed: 1", "not the YAML of a saved config"),
        ("---\nseed: 1", "not the YAML of a saved config"),
        ("hostile: \x00", "not the YAML of a saved config"),
    ],
)
def test_a_saved_config_holds_nothing_but_plain_values(saved, canary, added, named):
    saved.write_text(saved.read_text() + added.replace("{canary}", str(canary)) + "\n")
    assert named in saved_refusal(saved)
    assert not canary.exists()


@pytest.mark.parametrize("text", ["", "3", "- env", "text"])
def test_a_file_that_is_no_saved_config_is_refused(saved, text):
    saved.write_text(text)
    assert "config" in saved_refusal(saved)


def test_a_saved_config_that_lacks_a_part_is_refused(saved):
    saved.write_text(saved.read_text().replace("seed:", "sead:").replace("planner:", "planer:"))
    assert saved_refusal(saved).endswith("it has no planner, seed.")


def test_what_is_no_readable_file_is_refused(tmp_path):
    assert "is not there, or is no file" in saved_refusal(tmp_path)
    assert "is not there, or is no file" in saved_refusal(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    assert "cannot be read" in saved_refusal(tmp_path / "config.yaml")


def test_a_saved_trust_counts_only_with_the_command_line_s(saved, canary):
    saved.write_text(saved.read_text().replace("trust: []", "trust: [foreign]"))
    sentence = saved_refusal(saved)
    assert "says trust=[foreign], which counts from the command line only" in sentence
    assert "say trust=[foreign] there too" in sentence
    assert "say trust=[foreign] there too" in saved_refusal(saved, ("foreigner",))
    assert not canary.exists()
    assert load_saved_config(saved, ("foreign",)).trust == ["foreign"]


def test_a_hostile_saved_config_runs_nothing_unless_it_is_trusted(saved, canary):
    saved.write_text(
        saved.read_text().replace("mbrl.planners.random.RandomPlanner", "foreign.Part")
    )
    with pytest.raises(
        ConfigError, match=r"_target_=foreign\.Part is not one of .* say trust=\[foreign\]"
    ):
        assemble(load_saved_config(saved, ()))
    assert not canary.exists()
    build(load_saved_config(saved, ("foreign",)).planner, ("foreign",))
    assert canary.exists()


def test_a_run_with_a_hostile_config_leaves_no_trace_of_it(tmp_path, canary):
    with pytest.raises(ConfigError, match=r"_target_=foreign\.Part"):
        run(compose(["planner._target_=foreign.Part", f"hydra.run.dir={tmp_path}/run"]))
    assert not canary.exists()
