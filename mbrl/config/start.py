"""Starting Hydra for a command line."""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

from mbrl.config.hydra_guard import guarded_command_line
from mbrl.config.hydra_internals import get_args_parser, use_own_plugins
from mbrl.config.plain_errors import plain_errors
from mbrl.terminal import Console


def start(hydra_main: Callable[[], Any], arguments: Sequence[str]) -> None:
    """Check the command line, then call Hydra's main function, which reads it from sys.argv.

    Exits with status 1 for what the user can correct.
    """
    given = get_args_parser().parse_args(arguments)
    with plain_errors(within_hydra=True):
        use_own_plugins()  # first, since the check composes with it
        with guarded_command_line(arguments):
            if given.help or given.hydra_help or given.cfg or given.info:
                # Hydra prints settings and the names of files, which can be those of others.
                reports = io.StringIO()
                try:
                    with redirect_stdout(reports):
                        hydra_main()
                finally:
                    Console().say(*reports.getvalue().splitlines())
            else:
                hydra_main()
