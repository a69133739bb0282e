"""A Ray cluster of two nodes on this machine, in a network of their own, and a sweep on it during which one node is lost.

    python tests/launchers/two_nodes.py SWEEP OVERRIDES…

The node is lost once two jobs, one on each, have written a checkpoint. The exit status is that of the sweep.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HEAD = "127.0.0.1:6379"
PATIENCE = 300.0  # seconds
# One secret for all, and a node is given up soon.
TOGETHER = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
TOGETHER |= {"RAY_health_check_period_ms": "500", "RAY_health_check_initial_delay_ms": "1000"}


def main(sweep: Path, overrides: list[str]) -> int:
    """Runs the sweep, in a network that has nothing but its own loopback interface."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ |= TOGETHER
    launcher = ["hydra/launcher=ray", f"hydra.launcher.address={HEAD}", f"hydra.sweep.dir={sweep}"]
    with (
        node("--head", "--port=6379", "--node-ip-address=127.0.0.1", "--include-dashboard=false"),
        node_beside() as second,
    ):
        running = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "-m", *overrides, *launcher]
        )
        wait_until(
            lambda: (
                running.poll() is not None
                or len({file.parent for file in sweep.glob("*/checkpoint/*.npz")}) >= 2
            )
        )
        second.kill()
        print(
            f"The second node was lost while the sweep {'was running' if running.poll() is None else 'had ended'}.",
            flush=True,
        )
        return running.wait(timeout=PATIENCE)


@contextmanager
def node_beside() -> Iterator[subprocess.Popen]:
    """The second node, once the first one is there."""
    with node(f"--address={HEAD}", "--node-ip-address=127.0.0.2") as started:
        yield started


@contextmanager
def node(*arguments: str) -> Iterator[subprocess.Popen]:
    """A node in a process namespace of its own: it dies as a machine does, all its processes at one instant."""
    with tempfile.TemporaryDirectory(prefix="node", ignore_cleanup_errors=True) as folder:
        ray = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            *arguments,
            "--num-cpus=1",
            "--object-store-memory=100000000",
        ]
        own = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        said = Path(folder, "said")
        with said.open("w") as file:
            process = subprocess.Popen(
                [*own, *ray, "--block", f"--temp-dir={folder}"], stdout=file, stderr=file
            )
        try:
            wait_until(
                lambda: "Ray runtime started" in said.read_text() or process.poll() is not None
            )
            assert process.poll() is None, said.read_text()
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(reached) -> None:
    give_up = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
