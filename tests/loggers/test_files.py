import json
import logging

import pytest

from mbrl.loggers.files import FilesLogger


def rows_in(folder):
    return [
        json.loads(line, parse_constant=pytest.fail)
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def test_one_json_object_a_line_flushed_as_written(tmp_path):
    logger = FilesLogger(tmp_path, config={}, total_env_steps=10)
    rows = [
        {"env_steps": 1, "wall_seconds": 0.1 + 0.2},
        {"env_steps": 2, "wall_seconds": 1.0, "evaluation/returns": [1.5, 2.5]},
    ]
    for count, row in enumerate(rows, start=1):
        logger.log(row)
        assert rows_in(tmp_path) == rows[:count]
    logger.finish("completed")


def test_what_is_not_finite_is_null(tmp_path):
    logger = FilesLogger(tmp_path)
    logger.log(
        {"env_steps": 1, "loss/value": float("nan"), "evaluation/returns": [float("inf"), 1.0]}
    )
    logger.finish("failed")
    assert rows_in(tmp_path) == [
        {"env_steps": 1, "loss/value": None, "evaluation/returns": [None, 1.0]}
    ]


def test_what_is_no_python_number_is_refused_not_written_as_text(tmp_path):
    logger = FilesLogger(tmp_path)
    with pytest.raises(TypeError):
        logger.log({"env_steps": 1, "loss/value": object()})
    logger.finish("failed")
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_second_logger_goes_on_after_the_first(tmp_path):
    for steps in (1, 2):
        logger = FilesLogger(tmp_path)
        logger.log({"env_steps": steps})
        logger.finish("interrupted")
    assert rows_in(tmp_path) == [{"env_steps": 1}, {"env_steps": 2}]


def test_half_a_row_of_a_killed_run_does_not_spoil_the_next(tmp_path, caplog):
    (tmp_path / "metrics.jsonl").write_text('{"env_steps": 1}\n{"env_ste')
    with caplog.at_level(logging.WARNING):
        logger = FilesLogger(tmp_path)
    logger.log({"env_steps": 2})
    logger.finish("completed")
    assert rows_in(tmp_path) == [{"env_steps": 1}, {"env_steps": 2}]
    assert "ended in half a row" in caplog.text
