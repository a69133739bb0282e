"""The terminal: all that is printed goes through a Console, since it may hold text of others."""

import argparse
import os
import threading
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


class LineStream:
    """A stream whose lines a console prints, which may have a display below them.

    Rich's own redirection breaks long lines, and with them paths and commands. Colours are dropped,
    since the text may be that of others. Everything but writing is that of the original stream.
    """

    def __init__(self, console: Console, stream: Any):
        self._console, self._stream = console, stream
        self._line = ""
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._line = (self._line + text).split("\n")
            self._console.say(*(Text.from_ansi(line).plain for line in lines))
        return len(text)

    def flush(self) -> None:
        """Nothing, since a display has whole lines above it."""

    def finish(self) -> None:
        """Print what has no end of line."""
        if self._line:
            self.write("\n")


class ArgumentParser(argparse.ArgumentParser):
    """Makes what it refuses printable: arguments can be the names of foreign files (`*`)."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))
