"""The terminal: all that is printed goes through a Console, since it may hold text of others."""

import argparse
import os
from collections.abc import Iterable
from typing import Any, NoReturn

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from mbrl.errors import printable, printable_lines


class Console(rich.console.Console):
    """Prints text as it is, except what steers a terminal: no markup, only the colours of styles.

    A string is printed on one line; a `Text` can have several. Where its output is closed, as by
    `| head -1`, the program ends.
    """

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def say(self, *lines: str) -> None:
        """Print each on a line of its own, as long as it is."""
        for line in lines:
            self.print(line, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text printable before it is measured, so that tables have room for it."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Make all text printable, also that of other renderables. Rich's own codes are kept."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable_lines(text), style)


class RunConsole(Console):
    """The console of a run, which does not end where its output is closed."""

    def on_broken_pipe(self) -> None:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), self.file.fileno())
        RunConsole(stderr=True).say(
            "The output was closed. The run continues; its folder has everything."
        )


class ArgumentParser(argparse.ArgumentParser):
    """Makes what it refuses printable: arguments can be the names of foreign files (`*`)."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))
