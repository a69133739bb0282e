import json

import pytest

from mbrl.loggers.files import FilesLogger
from mbrl.run_info import RunInfo


def files_logger(folder):
    return FilesLogger(RunInfo(folder, "run"))


def rows_in(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


def test_each_row_is_one_json_object_that_is_written_at_once(tmp_path):
    logger = files_logger(tmp_path)
    rows = [
        {"env_steps": 1, "wall_seconds": 0.1 + 0.2, "loss/value": None},
        {"env_steps": 2, "wall_seconds": 1.0, "evaluation/returns": [1.5, 2.5]},
    ]
    for count, row in enumerate(rows, start=1):
        logger.log(row)
        assert rows_in(tmp_path) == rows[:count]
    logger.finish("completed")


def test_a_second_logger_appends_to_the_rows_of_the_first(tmp_path):
    for steps in (1, 2):
        logger = files_logger(tmp_path)
        logger.log({"env_steps": steps})
        logger.finish("interrupted")
    assert rows_in(tmp_path) == [{"env_steps": 1}, {"env_steps": 2}]
