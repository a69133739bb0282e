import io
import logging
import re
import sys
from pathlib import Path
from time import perf_counter

import pytest

from mbrl.loggers.console import ConsoleLogger, result_table
from mbrl.progress import Progress
from mbrl.run_info import RunInfo
from mbrl.runs.log import logged_to
from mbrl.tables import format_duration, format_number, print_table
from mbrl.terminal import Console

FOLDER = Path("outputs/runs/2025-12-31/23-59-59.123456_gymnasium_ensemble_mcts_seed12345")
TOTAL = 1000


def rows_of_a_run():
    """A run at 50 steps/s."""
    for steps in range(20, TOTAL + 1, 20):
        times = {"env_steps": steps, "wall_seconds": steps / 50}
        yield times | {"episode/return": 20.0 + steps, "episode/length": 20}
        if steps % 100 == 0:
            losses = {"loss/dynamics": 1 / steps, "loss/value": float("nan")}
            yield times | losses | {"time/collect": 1.0, "time/learn": 0.5}
        if steps % 500 == 0:
            yield times | {
                "evaluation/return_mean": 111.0 * steps / 500,
                "evaluation/return_std": 7.5,
                "evaluation/return_min": 99.0,
                "evaluation/returns": [1.0] * 20,
                "time/evaluate": 2.0,
            }


def terminal(width=100):
    return Console(file=io.StringIO(), force_terminal=True, width=width)


def pipe(width=80):
    return Console(file=io.StringIO(), force_terminal=False, width=width)


def console_logger(console, folder="unused", owns_terminal=True):
    config = {"training": {"env_steps": TOTAL}}
    info = RunInfo(Path(folder), "run", config=config, owns_terminal=owns_terminal)
    return ConsoleLogger(info, console)


def output_of(console, rows, status="completed", **info):
    logger = console_logger(console, **info)
    shown(logger, rows)
    logger.finish(status)
    return console.file.getvalue()


def last_frame(output):
    """What is left on the screen: the text after the display was cleared for the last time."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", re.split(r"\x1b\[2K", output)[-1])


def shown(logger, rows):
    """What the loop does: it reports each phase, and then logs its row."""
    ends_at = perf_counter() + 100.0
    for row in rows:
        phase = "learning" if "time/learn" in row else "collecting"
        logger.show(Progress(phase, row["env_steps"], ends_at=ends_at))
        logger.log(row)


def test_without_a_terminal_each_phase_of_learning_and_each_evaluation_has_a_short_line():
    lines = output_of(pipe(), rows_of_a_run()).splitlines()
    learned = [line for line in lines if "learned" in line]
    assert [int(line.split("/")[0]) for line in learned] == list(range(100, TOTAL + 1, 100))
    assert learned[4].split("  ") == [
        " 500/1000 steps",
        "0:10",
        "learned in 0.5 s",
        "episode return 520",
        "1:40 left",
    ]
    evaluated = [line.split("  ")[2] for line in lines if "evaluated" in line]
    assert evaluated == [
        "evaluated: return 111 ± 7.5, 20 episodes",
        "evaluated: return 222 ± 7.5, 20 episodes",
    ]
    assert len(lines) == 12
    assert all("\x1b" not in line and len(line) <= 80 for line in lines)


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_the_last_line_of_a_run_that_ends_early_shows_its_steps(status):
    rows = list(rows_of_a_run())[:2]
    lines = output_of(pipe(), rows, status).splitlines()
    assert lines[-1].startswith("  40/1000 steps")
    assert status in lines[-1]


def test_a_run_that_never_begins_prints_nothing():
    assert output_of(pipe(), []) == ""
    assert output_of(terminal(), []) == ""


@pytest.mark.parametrize("width", [100, 20, 5])
def test_a_terminal_shows_the_final_state(width):
    output = output_of(terminal(width), rows_of_a_run())
    frame = " ".join(last_frame(output).split())
    assert output.endswith("\x1b[?25h")  # the cursor is visible again
    if width == 100:
        for part in (
            "1000/1000 steps",
            "completed",
            "episode return 1020",
            "evaluation return 222 ± 7.5",
            "loss/dynamics 0.001",
        ):
            assert part in frame
        assert "left" not in frame


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress("collecting", 150), "150/1000 steps"),
        (Progress("collecting", 150), "\ncollecting"),
        (Progress("collecting", 150, compiling=True), "\ncompiling, then collecting"),
        (Progress("learning", 150), "\nlearning"),
        (
            Progress("evaluating", 150, episodes=3, num_episodes=20, episode_steps=90),
            "\nevaluating, 3 of 20 episodes finished, step 90",
        ),
    ],
)
def test_a_terminal_shows_the_phase_before_anything_is_logged(progress, text):
    console = terminal()
    logger = console_logger(console)
    logger.show(progress)
    logger._live.refresh()
    logger.finish("interrupted")
    assert text in console.file.getvalue().replace("\r", "")


@pytest.mark.parametrize(("seconds", "text"), [(90.5, "1:30 left"), (-5.0, "0:00 left")])
def test_the_time_left_counts_down_to_the_expected_end_of_the_run(seconds, text):
    console = terminal()
    logger = console_logger(console)
    logger.show(Progress("evaluating", TOTAL, ends_at=perf_counter() + seconds))
    logger._live.refresh()
    logger.finish("interrupted")
    assert text in console.file.getvalue()
    assert "interrupted" in last_frame(console.file.getvalue())


def test_messages_appear_above_the_display_unbroken_and_streams_are_restored():
    original = sys.stderr
    handler = logging.StreamHandler(original)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        console = terminal(40)
        logger = console_logger(console)
        logger.show(Progress("collecting", 1))
        assert handler.stream is not original
        logging.getLogger("other").warning("resume by: %s", FOLDER)
        print(f"a line for {FOLDER}", file=sys.stderr)
        logger.finish("completed")
        for text in ("resume by: ", "a line for "):
            assert f"{text}{FOLDER}\n" in console.file.getvalue()
        assert handler.stream is original
        assert sys.stderr is original
    finally:
        root.removeHandler(handler)


def test_all_that_is_printed_appears_and_streams_keep_what_they_can_do():
    console = terminal(40)
    logger = console_logger(console)
    original = sys.stdout
    logger.show(Progress("collecting", 1))
    assert sys.stdout is not original
    assert sys.stdout.encoding == original.encoding
    assert sys.stdout.isatty() == original.isatty()
    print("no end of", end=" ", flush=True)
    print("other", end=" ", file=sys.stderr)
    print("line", end="")
    logger.finish("completed")
    assert "no end of line\n" in console.file.getvalue()
    assert "other \n" in console.file.getvalue()


def test_what_is_printed_above_the_display_has_no_colours_and_links():
    console = terminal()
    logger = console_logger(console)
    logger.show(Progress("collecting", 1))
    print("\x1b]8;;http://x\x1b\\a link\x1b]8;;\x1b\\ \x1b[31mred\x1b[0m \u202e\x9b2J [/x]")
    logger.finish("completed")
    assert "a link red ��2J [/x]\n" in console.file.getvalue()
    assert not re.search("\x1b]|[\x9b\u202e]", console.file.getvalue())


def test_a_program_without_logging_of_its_own_can_show_the_display(tmp_path, monkeypatch):
    """As a Python session on a terminal: then warnings go to Python's handler of last resort."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    console = terminal()
    with logged_to(tmp_path):
        logger = console_logger(console)
        logger.show(Progress("collecting", 1))
        logging.getLogger("theirs").warning("a warning")
        logger.finish("completed")
    assert "a warning" in console.file.getvalue()


def test_where_other_runs_use_the_terminal_only_evaluations_are_printed_with_the_folder_s_name():
    output = output_of(terminal(200), rows_of_a_run(), folder="sweep/3_seed=3", owns_terminal=False)
    lines = output.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("3_seed=3: ") for line in lines)


def result(console, rows):
    print_table(result_table("Acrobot-v1", "ensemble", "mcts", 3, rows), console)
    return console.file.getvalue()


def test_the_result_table():
    text = result(pipe(), list(rows_of_a_run()))
    for part in (
        "Acrobot-v1",
        "ensemble",
        "mcts",
        "222 ± 7.5 (min 99, 20 episodes)",
        "0:20 (collect 0:10, learn 0:05, evaluate 0:04)",
    ):
        assert part in text
    assert re.search(r"seed +│ 3 ", text)
    assert re.search(r"env steps +│ 1000 ", text)


def test_the_result_table_of_a_run_without_an_evaluation():
    rows = [{"env_steps": 5, "wall_seconds": 1.0}]
    assert re.search(r"evaluation return +│ none", result(pipe(), rows))
    assert re.search(r"env steps +│ 0", result(pipe(), []))


def test_format_number_and_format_duration():
    numbers = [0.123456, 12345.6, 9999.7, -1000001.0, None, float("nan"), 500.0]
    texts = ["0.1235", "12346", "10000", "-1000001", "–", "–", "500"]
    assert list(map(format_number, numbers)) == texts
    durations = [float("nan"), 0, 59.6, 61, 3723]
    assert list(map(format_duration, durations)) == ["–", "0:00", "1:00", "1:01", "1:02:03"]
