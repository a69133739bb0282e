"""Text of a saved run or a foreign config reaches the terminal as plain characters only."""

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mbrl.__main__ import console
from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import printable
from mbrl.run_info import FORMAT
from tests.analysis.made_runs import make_run
from tests.faults.runs import QUICK, ROOT, run_here
from tests.test_terminal import COLOUR, is_harmless

# Those of tests/test_terminal.py, several at a time.
TEXTS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b31m\u202eevil",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\r\n\u2028forged",
    "\udc80",
    "[bold red]x[/x]:warning:",
)
ATTACKS = pytest.mark.parametrize("attack", TEXTS)


def as_name(attack: str) -> str:
    """As much of the text as the name of a file can hold."""
    return f"a{attack.replace('/', '')}"


def attack_provenance(folder: Path, attack: str) -> None:
    file, attack = folder / "provenance.json", attack.replace("\udc80", "�")
    provenance = json.loads(file.read_text())
    provenance |= {
        "format": FORMAT,
        "name": attack,
        "command": ["python", attack],
        "python": attack,
        "platform": attack,
        "packages": {"jax": attack, attack: attack},
        "devices": [{"kind": attack, "platform": attack}],
        "cores": {"usable": 1, "machine": 2},
        "threads": {"num_threads": 1, attack: attack},
        "git": {"commit": attack, "diff": attack},
        "resumes": [{"started": "2026-01-01", attack: attack}],
        "choices": provenance["choices"] | {"planner": attack, attack: attack},
        "overrides": [f"{attack}={attack}"],
    }
    file.write_text(json.dumps(provenance))


@pytest.fixture(scope="module")
def settings() -> dict:
    return resolve(compose(QUICK)).settings


@pytest.fixture
def sweep(tmp_path, monkeypatch, settings, attack) -> Path:
    """A sweep of runs that hold the text wherever a run holds text."""
    monkeypatch.chdir(tmp_path)
    sweep = Path("outputs", as_name(attack))
    text = attack.replace("\udc80", "�")  # which YAML cannot hold
    for job, status in enumerate(("completed", "failed", "killed", text, "failed")):
        run = make_run(sweep / f"{job}{as_name(attack)}", status=status, error=text)
        env = settings["env"] | {"id": text, "kwargs": {text: text}}
        planner = {"_target_": text, text: text}
        config = settings | {"seed": job, "env": env, "planner": planner, text: text}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        attack_provenance(run, attack)
    (run / "config.yaml").write_text(f"'{text}': 'x")  # damaged, but the run has an error
    (run / as_name(attack)).touch()
    (sweep / "multirun.yaml").touch()
    (sweep / "sweep.json").write_text(json.dumps({"num_jobs": 9, "command": [text]}))
    return sweep


@pytest.fixture
def shown(monkeypatch, capfd):
    """A function that runs a command and returns all that it prints."""
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def show(*arguments, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["mbrl", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            console()
        output = "".join(capfd.readouterr())
        assert exit_.value.code == status, output
        assert is_harmless(COLOUR.sub("", output))
        return output

    return show


def jobs(sweep: Path) -> list[Path]:
    return sorted(path for path in sweep.iterdir() if path.is_dir())


@ATTACKS
def test_show_list_and_clean(sweep, shown, attack):
    name = printable(as_name(attack))
    for job in jobs(sweep)[:3]:
        assert printable(attack) in shown("show", job)
    assert "summary.json is damaged" in shown("show", jobs(sweep)[3], status=2)
    assert "cannot be read" in shown("show", jobs(sweep)[4], status=2)
    for arguments in (["show", sweep], ["list"], ["list", "--failed"], ["list", sweep]):
        assert name in shown(*arguments)
    refused = shown("clean", status=2)
    assert f"outputs/{name}/1{name}" in refused
    assert f"it holds {name}, which no run writes" in refused
    assert f"outputs/{name}/1{name}" in shown("clean", "--yes")


@pytest.mark.slow
@ATTACKS
def test_compare(sweep, shown, attack):
    name = printable(as_name(attack))
    assert f"outputs/{name}/1{name}" in shown("compare", "--csv=curves", "--folder=made")
    for file in ("compare.csv", "curves.csv", "compare.html"):
        text = Path("made", file).read_text(encoding="utf-8")
        assert is_harmless(text)
        assert name in html.unescape(text)


@ATTACKS
@pytest.mark.parametrize("columns", ["40", "240"])
def test_on_a_terminal_only_our_own_colours_are_printed(sweep, shown, attack, columns, monkeypatch):
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": columns}
    for variable, value in terminal.items():
        monkeypatch.setenv(variable, value)
    for arguments in (["show", jobs(sweep)[1]], ["show", sweep], ["list", "--failed"]):
        found = COLOUR.findall(shown(*arguments))
        assert found
        codes = {code for style in found for code in style[2:-1].split(";")}
        assert codes <= {"0", "1", "2", "3", "31", "32", "33", "36"}  # those of commands/list.py


@ATTACKS
@pytest.mark.parametrize("command", ["resume", "reproduce"])
def test_refusals_of_a_saved_run(sweep, shown, attack, command):
    for job in jobs(sweep):
        (job / "summary.json").unlink()  # a completed run needs no resume
        assert shown(command, job, status=2).startswith("Error: ")
    assert printable(as_name(attack)) in shown(command, f"{sweep}-", status=2)
    (jobs(sweep)[0] / as_name(attack)).symlink_to(as_name(attack))
    assert "is a link to" in shown(command, jobs(sweep)[0], status=2)


@ATTACKS
def test_messages_on_a_sweep_that_lacks_jobs(sweep, shown, attack):
    assert "To run them, repeat its command, which is in" in shown("resume", sweep, status=2)
    (sweep / "sweep.json").write_text(attack, errors="surrogateescape")
    assert "sweep.json is damaged" in shown("resume", sweep, status=2)


@pytest.mark.slow
@pytest.mark.parametrize("attack", TEXTS[:1])
def test_a_warning_that_no_handler_of_logging_formats(sweep, attack):
    with (jobs(sweep)[0] / "metrics.jsonl").open("a") as file:
        file.write('{"cut')
    result = subprocess.run(
        [sys.executable, "-m", "mbrl", "compare"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )
    assert "is cut off and was left out" in result.stderr.decode()
    assert is_harmless(result.stderr.decode())


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory) -> Path:
    return run_here(tmp_path_factory.mktemp("quick") / "run", *QUICK)


@pytest.mark.slow
@ATTACKS
def test_a_run_that_is_resumed_and_reproduced(quick_run, tmp_path, shown, attack):
    run = tmp_path / as_name(attack)
    run.mkdir()
    for name in ("config.yaml", "provenance.json", "metrics.jsonl"):
        (run / name).write_bytes((quick_run / name).read_bytes())
    attack_provenance(run, attack)
    text = attack.replace("\udc80", "�")  # which JSON cannot hold
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"env_steps": 60, f"loss/{text}": 1.0}) + "\n")
    again = tmp_path / f"{as_name(attack)}-again"
    output = shown("reproduce", run, f"--folder={again}", status=1)
    assert f"loss/{printable(attack)}" in output
    assert "What else differs" in output
    (run / "metrics.jsonl").unlink()
    assert "Run folder: " in shown("resume", run)
    assert f"{printable(as_name(attack))} is completed, with" in shown("resume", run)
    log = (run / "run.log").read_text()
    assert f"{printable(attack)} on cpu" in log
    assert is_harmless(log)


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> Path:
    """A folder of foreign configs whose names and settings hold the texts."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "planner").mkdir()
    texts = TEXTS[:3]  # which YAML can hold
    settings = yaml.safe_dump({text: text for text in texts} | {"_target_": texts[0]})
    for name in ("evil\u202e", *map(as_name, texts)):
        (folder / "planner" / f"{name}.yaml").write_text(settings)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("program", [[str(ROOT / "run.py")], ["-m", "mbrl", "run"]])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["planner=none_such"], f"a{printable(TEXTS[0])}"),
        (["--help"], f"a{printable(TEXTS[0])}"),
        (["planner='evil\u202e'", "--cfg", "job"], "_target_: "),
        (["planner='evil\u202e'", "--info", "config"], "Config search path"),
        (["planner='evil\u202e'"], "Error: "),
        (["evil\u202e=1"], "evil�=1"),
    ],
)
def test_a_foreign_config(configs, tmp_path, program, arguments, expected):
    result = subprocess.run(
        [sys.executable, *program, *arguments, "--config-dir", str(configs)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:surrogateescape"},
        capture_output=True,
        timeout=120,
    )
    output = (result.stdout + result.stderr).decode()
    assert expected in output
    assert "Traceback" not in output
    assert is_harmless(output)
