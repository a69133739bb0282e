import io
import logging
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mbrl.loggers.console import ConsoleLogger, result_table
from mbrl.run_info import RunInfo
from mbrl.tables import format_duration, format_number, print_table

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
    for row in rows:
        logger.log(row)
    logger.finish(status)
    return console.file.getvalue()


def last_frame(output):
    """What is left on the screen: the text after the display was cleared for the last time."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", re.split(r"\x1b\[2K", output)[-1])


def test_without_a_terminal_ten_lines_show_the_progress():
    lines = output_of(pipe(), rows_of_a_run()).splitlines()
    assert [int(line.split("/")[0]) for line in lines] == list(range(100, TOTAL + 1, 100))
    assert all("\x1b" not in line for line in lines)
    evaluated = next(line for line in lines if line.startswith(" 500/1000 steps"))
    assert evaluated.split("  ")[1:] == [
        "0:10",
        "episode return 520",
        "evaluation return 111 ± 7.5",
        "loss/dynamics 0.002",
        "loss/value –",
        "50 steps/s",
        "0:10 left",
    ]
    assert lines[-1].startswith("1000/1000 steps")
    assert "evaluation return 222" in lines[-1]


def test_each_evaluation_has_its_own_line():
    rows = [
        {"env_steps": steps, "wall_seconds": 1.0, "evaluation/return_mean": float(steps)}
        for steps in range(1, 31)
    ]
    assert len(output_of(pipe(), rows).splitlines()) == 30


def test_the_last_line_of_a_run_that_ends_early_shows_its_steps():
    rows = list(rows_of_a_run())[:2]
    assert output_of(pipe(), rows, "failed").splitlines()[-1].startswith("  40/1000 steps")


def test_a_run_without_rows_prints_nothing():
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


def test_a_terminal_shows_the_speed_and_the_time_left():
    console = terminal()
    logger = console_logger(console)
    for row in list(rows_of_a_run())[:20]:
        logger.log(row)
    logger._live.refresh()
    logger.finish("interrupted")
    assert "50 steps/s" in console.file.getvalue()
    assert re.search(r"0:1\d left", console.file.getvalue())
    assert "interrupted" in last_frame(console.file.getvalue())


def test_log_messages_appear_above_the_display_and_streams_are_restored():
    original = sys.stderr
    handler = logging.StreamHandler(original)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        console = terminal()
        logger = console_logger(console)
        logger.log({"env_steps": 1, "wall_seconds": 0.0})
        assert handler.stream is not original
        logging.getLogger("other").warning("a message")
        logger.finish("completed")
        assert "a message" in console.file.getvalue()
        assert handler.stream is original
        assert sys.stderr is original
    finally:
        root.removeHandler(handler)


def test_where_other_runs_use_the_terminal_lines_begin_with_the_folder_s_name():
    output = output_of(terminal(200), rows_of_a_run(), folder="sweep/3_seed=3", owns_terminal=False)
    lines = output.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("3_seed=3: ") for line in lines)


def result(console, rows):
    print_table(result_table("Acrobot-v1", "ensemble", "mcts", 3, rows, FOLDER), console)
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


def test_without_a_terminal_the_path_stays_on_one_line():
    assert str(FOLDER) in result(pipe(width=40), list(rows_of_a_run()))


@pytest.mark.parametrize("width", [60, 25, 10])
def test_a_narrow_terminal_folds_the_whole_path(width):
    text = re.sub(r"\x1b\[[0-9;]*m", "", result(terminal(width), list(rows_of_a_run())))
    assert max(map(len, text.splitlines())) <= width
    if width > 20:
        cells = "".join(
            line.split("│")[2].strip() for line in text.splitlines() if line.count("│") == 3
        )
        assert str(FOLDER) in cells


def test_the_result_table_of_a_run_without_an_evaluation():
    rows = [{"env_steps": 5, "wall_seconds": 1.0}]
    assert re.search(r"evaluation return +│ none", result(pipe(), rows))
    assert re.search(r"env steps +│ 0", result(pipe(), []))


def test_format_number_and_format_duration():
    numbers = [0.123456, 12345.6, 9999.7, -1000001.0, None, float("nan"), 500.0]
    texts = ["0.1235", "12346", "10000", "-1000001", "–", "–", "500"]
    assert list(map(format_number, numbers)) == texts
    durations = [0, 59.6, 61, 3723]
    assert list(map(format_duration, durations)) == ["0:00", "1:00", "1:01", "1:02:03"]
