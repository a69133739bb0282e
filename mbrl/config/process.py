"""Settings of the whole process: CPU threads and the compilation cache."""

import os
from pathlib import Path

from mbrl.errors import ConfigError, one_line

MAX_THREADS = 1024  # with very many, JAX crashes

_num_threads_of_this_process: int | None = None


def start_jax(num_threads: int, compilation_cache: bool) -> None:
    """Starts JAX as a run's settings say. Raises ConfigError where no run can work."""
    set_threads(num_threads)
    check_devices()
    if compilation_cache:
        enable_compilation_cache(num_threads)


def set_threads(num_threads: int) -> None:
    """Sets JAX's number of CPU threads, before its first computation; last digits depend on it."""
    global _num_threads_of_this_process
    if not 1 <= num_threads <= MAX_THREADS:
        raise ConfigError(
            f"num_threads={num_threads}: must be from 1 to {MAX_THREADS}. Try 1, the default."
        )
    # XLA reads NPROC once, when it starts its threads.
    if _num_threads_of_this_process not in (None, num_threads):
        raise ConfigError(
            f"num_threads={num_threads}: this process already runs JAX with "
            f"{_num_threads_of_this_process}. Use one command for each number of threads."
        )
    _num_threads_of_this_process = num_threads
    os.environ.update({"NPROC": str(num_threads), "OMP_NUM_THREADS": str(num_threads)})


def check_devices() -> None:
    """Starts JAX. Raises ConfigError for variables of JAX with which no run can work."""
    import jax

    if jax.config.values["jax_enable_x64"]:
        raise ConfigError(
            "JAX_ENABLE_X64: runs compute in single precision, in which they can be compared and "
            "reproduced. Unset it."
        )
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # which of them depends on JAX's version
        platforms = jax.config.values["jax_platforms"]
        named = f"JAX_PLATFORMS={platforms}: " if platforms else ""
        raise ConfigError(
            f"{named}JAX finds no device ({one_line(error)}). Install JAX for it, or set "
            "JAX_PLATFORMS=cpu."
        ) from error


def enable_compilation_cache(num_threads: int) -> None:
    """Keeps compiled programs in JAX_COMPILATION_CACHE_DIR, or else in the user's cache folder."""
    import jax

    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    default = cache_home / "mbrl" / f"jax-{num_threads}-threads"  # programs depend on the threads
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or default
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
