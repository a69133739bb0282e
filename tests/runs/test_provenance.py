import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest

from mbrl.runs import provenance as module
from mbrl.runs.provenance import git_state, provenance


def git(folder, *arguments):
    identity = [
        "-c",
        "user.name=Somebody",
        "-c",
        "user.email=somebody@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    result = subprocess.run(
        ["git", "-C", folder, *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return result.stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A repository with a tracked package in it, like this one."""
    package = tmp_path / "package"
    package.mkdir()
    git(tmp_path, "init", "--quiet")
    (package / "code.py").write_text("answer = 41\n")
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return package


def test_a_clean_checkout(package):
    commit = git(package, "rev-parse", "HEAD")
    assert git_state(package) == {"commit": commit, "diff": "", "untracked": []}


def test_changes_are_recorded_wherever_they_are(package):
    (package / "code.py").write_text("answer = 42\n")
    (package.parent / "staged.yaml").write_text("seed: 7\n")
    git(package.parent, "add", "staged.yaml")
    (package / "new.py").write_text("")
    (package / "ignored.pyc").write_text("")
    state = git_state(package)
    assert "-answer = 41\n+answer = 42\n" in state["diff"]
    assert "+seed: 7\n" in state["diff"]
    assert state["untracked"] == ["package/new.py"]


def test_a_package_that_its_repository_does_not_track_has_no_commit(package):
    installed = package.parent / ".venv" / "package"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("")
    assert git_state(installed) is None


def test_no_repository_no_commit_no_git(tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("")
    git(tmp_path, "add", ".")
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None


def test_a_slow_git_is_not_waited_for(package, monkeypatch):
    monkeypatch.setattr(module, "GIT_SECONDS", 1e-6)
    assert git_state(package) is None


def test_the_repository_is_the_packages_own_even_inside_a_git_hook(
    package, tmp_path_factory, monkeypatch
):
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_state(package) == {
        "commit": git(package, "rev-parse", "HEAD"),
        "diff": "",
        "untracked": [],
    }


def test_a_huge_diff_is_cut_off(package, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_DIFF", 100)
    (package / "code.py").write_text("x = 0\n" * 1000)
    diff = git_state(package)["diff"]
    assert len(diff) < 200
    assert "cut off" in diff


def test_what_is_recorded_of_this_process(monkeypatch):
    monkeypatch.setenv("NPROC", "2")
    record = provenance(seed=5, num_threads=2)
    assert record["seed"] == 5
    assert record["threads"]["num_threads"] == 2
    assert record["threads"]["NPROC"] == "2"
    assert record["command"] == sys.orig_argv
    assert record["python"] == platform.python_version()
    assert record["packages"]["jax"] == version("jax")
    assert record["packages"]["numpy"] == version("numpy")
    assert record["devices"][0]["platform"] in ("cpu", "gpu", "tpu")
    assert 1 <= record["cores"]["usable"] <= record["cores"]["machine"]
    assert (
        timedelta(0)
        <= datetime.now(UTC) - datetime.fromisoformat(record["started"])
        < timedelta(minutes=1)
    )
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_neither_the_environment_nor_the_host_is_recorded(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "a-very-secret-value")
    monkeypatch.setattr(platform, "node", lambda: pytest.fail("asked for the host's name"))
    assert "a-very-secret-value" not in json.dumps(provenance(seed=0))
