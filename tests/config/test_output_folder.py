"""Nothing is written into a run's folder that leads elsewhere, not even by Hydra."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mbrl
from mbrl.errors import ConfigError, CorruptRun
from tests.faults.runs import QUICK, ROOT

ENTRIES = [("run.log", "link"), ("run.log", "pipe"), (".hydra", "link")]
ENTRIES += [(".hydra/overrides.yaml", "link"), ("theirs/config.yaml", "link")]


@pytest.fixture(params=ENTRIES, ids="-".join)
def folder(request, tmp_path) -> Path:
    """A folder with such an entry; the target of the link is `outside`."""
    name, kind = request.param
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "outside").mkdir() if name == ".hydra" else (tmp_path / "outside").touch()
    if kind == "pipe":
        os.mkfifo(tmp_path / "run" / name)
    else:
        (tmp_path / "run" / name).symlink_to(tmp_path / "outside")
    return tmp_path / "run"


def words(folder: Path) -> list[str]:
    """The settings of a run in the folder, with Hydra's files in the subfolder that is there."""
    subfolder = "theirs" if (folder / "theirs").exists() else ".hydra"
    return [*QUICK, f"hydra.run.dir={folder}", f"hydra.output_subdir={subfolder}"]


def is_untouched(folder: Path) -> bool:
    outside = folder.parent / "outside"
    return not (os.listdir(outside) if outside.is_dir() else outside.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("full_error", ["0", "1"])
def test_run_py_refuses_the_folder(folder, full_error):
    result = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words(folder)],
        env=os.environ | {"HYDRA_FULL_ERROR": full_error},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"Error: {folder}/")
    assert is_untouched(folder)
    assert len(os.listdir(folder)) == 1


def test_a_run_from_python_refuses_the_folder(folder):
    with pytest.raises(CorruptRun, match="which no run writes"):
        mbrl.run(mbrl.compose(words(folder)))
    assert is_untouched(folder)
    assert len(os.listdir(folder)) == 1


@pytest.mark.parametrize("name", ["..", "a/b", "../b", "''", "/elsewhere", "."])
def test_hydra_s_files_stay_in_the_folder(tmp_path, name):
    with pytest.raises(ConfigError, match=r"^hydra\.output_subdir=.*: must be a name without '/'"):
        mbrl.run(mbrl.compose([*words(tmp_path / "run"), f"hydra.output_subdir={name}"]))
    assert os.listdir(tmp_path) == []
