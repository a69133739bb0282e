import importlib.metadata
import json
import os
import platform
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from mbrl.runs import provenance as module
from mbrl.runs.provenance import git_state, provenance

NAMES_AND_VERSIONS = [("whole", "1.0"), (None, "1.0"), ("half", None), (None, None)]


def git(folder, *arguments):
    config = ["user.name=Name", "user.email=name@example.org", "commit.gpgsign=false"]
    options = [option for setting in config for option in ("-c", setting)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    result = subprocess.run(
        ["git", "-C", folder, *options, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return result.stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A repository that tracks a package, like this one."""
    package = tmp_path / "package"
    package.mkdir()
    git(tmp_path, "init", "--quiet")
    (package / "code.py").write_text("answer = 41\n")
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return package


def test_a_clean_checkout_has_a_commit_and_no_diff(package):
    commit = git(package, "rev-parse", "HEAD")
    assert git_state(package) == {"commit": commit, "diff": "", "untracked": []}


def test_changes_in_the_whole_repository_are_recorded(package):
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


def test_without_a_repository_a_commit_or_git_there_is_no_state(tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("")
    git(tmp_path, "add", ".")
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None


def test_a_slow_git_is_stopped(package, monkeypatch):
    monkeypatch.setattr(module, "GIT_SECONDS", 1e-6)
    assert git_state(package) is None


def test_inside_a_git_hook_the_package_s_own_repository_is_used(
    package, tmp_path_factory, monkeypatch
):
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    commit = git(package, "rev-parse", "HEAD")
    assert git_state(package) == {"commit": commit, "diff": "", "untracked": []}


def test_a_huge_diff_is_cut_off(package, monkeypatch):
    monkeypatch.setattr(module, "MAX_DIFF_LENGTH", 100)
    (package / "code.py").write_text("x = 0\n" * 1000)
    diff = git_state(package)["diff"]
    assert len(diff) < 200
    assert "cut off" in diff


def test_provenance_records_this_process(monkeypatch):
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
    age = datetime.now(UTC) - datetime.fromisoformat(record["started"])
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_packages_without_a_name_or_version_are_left_out(monkeypatch):
    found = [SimpleNamespace(name=name, version=version) for name, version in NAMES_AND_VERSIONS]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)
    assert module._packages.__wrapped__() == {"whole": "1.0"}


def test_neither_environment_variables_nor_the_host_s_name_are_recorded(monkeypatch):
    secret = secrets.token_hex()  # not in this file, whose changes a recorded diff would show
    monkeypatch.setenv("SOME_API_KEY", secret)
    monkeypatch.setattr(platform, "node", lambda: pytest.fail("asked for the host's name"))
    assert secret not in json.dumps(provenance(seed=0))
