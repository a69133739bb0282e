"""Settings of the process: threads and the compilation cache."""

import os
from pathlib import Path

from mbrl.errors import ConfigError

_threads_of_this_process: int | None = None


def set_threads(num_threads: int) -> None:
    """Fixes the number of CPU threads of JAX, on which the last digits of results depend, before its first computation."""
    if num_threads < 1:
        raise ConfigError(f"num_threads={num_threads} must be at least 1, the default.")
    # XLA reads NPROC when it starts its threads: once a process, so that a later run in it cannot have another number.
    global _threads_of_this_process
    if _threads_of_this_process not in (None, num_threads):
        raise ConfigError(
            f"num_threads={num_threads} cannot follow num_threads={_threads_of_this_process} in one process, "
            "since JAX's threads are started once; give each value a command of its own."
        )
    _threads_of_this_process = num_threads
    os.environ.update({"NPROC": str(num_threads), "OMP_NUM_THREADS": str(num_threads)})


def enable_compilation_cache(num_threads: int) -> None:
    """Lets JAX keep compiled programs on disk: in JAX_COMPILATION_CACHE_DIR, or else in the user's cache folder."""
    import jax

    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # One for each number of threads: programs are compiled for it.
    folder = (
        os.environ.get("JAX_COMPILATION_CACHE_DIR")
        or cache_home / "mbrl" / f"jax-{num_threads}-threads"
    )
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
