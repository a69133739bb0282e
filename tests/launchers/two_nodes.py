"""A Ray cluster of two nodes on this machine, and a sweep during which one node is lost.

    python tests/launchers/two_nodes.py SWEEP OVERRIDES…

The node is killed when two jobs, one on each, have a checkpoint. The exit status is the sweep's.
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
TIMEOUT = 300.0  # seconds
# All nodes share one token, and notice a lost node soon.
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_initial_delay_ms": "1000",
}


def main(sweep: Path, overrides: list[str]) -> int:
    """Run the sweep in a network that has only a loopback interface."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ |= SETTINGS
    launcher = ["hydra/launcher=ray", f"hydra.launcher.address={HEAD}", f"hydra.sweep.dir={sweep}"]
    command = [sys.executable, str(ROOT / "run.py"), "-m", *overrides, *launcher]
    head = ["--head", "--port=6379", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    with node(*head), node(f"--address={HEAD}", "--node-ip-address=127.0.0.2") as second:
        process = subprocess.Popen(command)
        wait_until(lambda: process.poll() is not None or num_checkpointed(sweep) >= 2)
        second.kill()
        moment = "was running" if process.poll() is None else "had ended"
        print(f"The second node was lost while the sweep {moment}.", flush=True)
        return process.wait(timeout=TIMEOUT)


def num_checkpointed(sweep: Path) -> int:
    """The number of jobs that have a checkpoint."""
    return len({file.parent for file in sweep.glob("*/checkpoint/*.npz")})


@contextmanager
def node(*arguments: str) -> Iterator[subprocess.Popen]:
    """A node in its own process namespace: all its processes die at once, as on a lost machine."""
    with tempfile.TemporaryDirectory(prefix="node", ignore_cleanup_errors=True) as folder:
        namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", *arguments, "--num-cpus=1"]
        options = ["--object-store-memory=100000000", "--block", f"--temp-dir={folder}"]
        output = Path(folder, "output")
        with output.open("w") as file:
            process = subprocess.Popen([*namespace, *ray, *options], stdout=file, stderr=file)
        try:
            started = "Ray runtime started"
            wait_until(lambda: started in output.read_text() or process.poll() is not None)
            assert process.poll() is None, output.read_text()
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(condition) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
