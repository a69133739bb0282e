"""All that this project uses of wandb beyond its public interface. Tried with wandb 0.31.0.

- `wandb.sdk.wandb_setup.singleton()._connection._proc`: the handle of W&B's background process,
  through which every call goes. wandb has no public way to end a call that does not return, and
  its own timeouts do not cover a process that is stuck. Killing the process makes the call raise.
- `wandb.sdk.lib.wbauth`: `authenticate_session` finds the credentials that `wandb.init` would use,
  without asking for a key on the terminal and without a server. The public `wandb.login` asks, or
  contacts the server. `unauthenticate_session` lets the tests log out.

For another version of wandb, run tests/loggers/test_wandb.py and tests/faults/test_wandb_server.py.
"""

import contextlib
import subprocess
import threading
from collections.abc import Iterator

import wandb
from wandb.sdk import wandb_setup
from wandb.sdk.lib import wbauth


def background_process() -> subprocess.Popen | None:
    """W&B's own process; None before it was started, and where another process owns it."""
    connection = wandb_setup.singleton()._connection
    handle = connection._proc if connection is not None else None
    return handle._process if handle is not None else None


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Kill W&B's process if the block takes longer; the call that waits for it then raises."""
    at_start = background_process()

    def kill() -> None:
        process = at_start or background_process()
        if process is not None:
            process.kill()
            process.wait()

    watchdog = threading.Timer(seconds, kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


def is_logged_in() -> bool:
    """Whether `wandb.init` would find an API key. Neither prompts nor contacts a server.

    Raises `wandb.errors.AuthenticationError` for a key that has an invalid format.
    """
    credentials = wbauth.authenticate_session(
        host=wandb.setup().settings.base_url, source="mbrl", prompt=False, update_session=False
    )
    return credentials is not None


def log_out() -> None:
    """Forget the credentials of this process."""
    wbauth.unauthenticate_session(update_settings=False)
