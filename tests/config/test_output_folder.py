"""Nothing is written into a run's folder that leads elsewhere, not even by Hydra."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mbrl
from mbrl.errors import CorruptRun
from tests.faults.runs import QUICK, ROOT


@pytest.fixture(params=[("run.log", "link"), ("run.log", "pipe"), (".hydra", "link")], ids="-".join)
def folder(request, tmp_path) -> Path:
    """A folder with such an entry; the target of the link is `outside`."""
    name, kind = request.param
    (tmp_path / "run").mkdir()
    (tmp_path / "outside").mkdir() if name == ".hydra" else (tmp_path / "outside").touch()
    if kind == "pipe":
        os.mkfifo(tmp_path / "run" / name)
    else:
        (tmp_path / "run" / name).symlink_to(tmp_path / "outside")
    return tmp_path / "run"


def is_untouched(folder: Path) -> bool:
    outside = folder.parent / "outside"
    return not (os.listdir(outside) if outside.is_dir() else outside.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("full_error", ["0", "1"])
def test_run_py_refuses_the_folder(folder, full_error):
    result = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *QUICK, f"hydra.run.dir={folder}"],
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
        mbrl.run(mbrl.compose([*QUICK, f"hydra.run.dir={folder}"]))
    assert is_untouched(folder)
    assert len(os.listdir(folder)) == 1
