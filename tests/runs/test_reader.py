import json
import logging

import pytest

from mbrl.runs.reader import CorruptRun, final_values, read_metrics, read_summary


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [
        {"env_steps": 1, "loss/value": 0.1},
        {"env_steps": 2, "loss/value": None, "evaluation/returns": [1.0, 2.0]},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_metrics(tmp_path) == rows
    assert read_metrics(str(tmp_path)) == rows


def test_rows_without_a_metric_can_be_left_out(tmp_path):
    rows = [
        {"env_steps": 1, "x": 0.1},
        {"env_steps": 2, "note": "x"},
        {"env_steps": 3, "x": None},
        {"env_steps": 4},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_metrics(tmp_path, having="x") == [rows[0], rows[2]]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"env_steps"\n{"env_steps": 5}\n')
    with pytest.raises(CorruptRun, match="line 5 is no JSON object"):
        read_metrics(tmp_path, having="x")


def test_nothing_logged_is_no_rows(tmp_path):
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    "half",
    [
        '{"env_steps": 2, "lo',
        '{"env_steps": 2, "x": 1.',
        '"',
        "{",
        '{"name": "\xc3'.encode("latin-1"),
    ],
)
def test_a_last_line_that_is_cut_off_is_dropped_and_reported(tmp_path, caplog, half):
    half = half if isinstance(half, bytes) else half.encode()
    (tmp_path / "metrics.jsonl").write_bytes(b'{"env_steps": 1}\n' + half)
    with caplog.at_level(logging.WARNING):
        assert read_metrics(tmp_path) == [{"env_steps": 1}]
    assert "line 2 is cut off" in caplog.text


def test_whole_files_are_read_without_a_word(tmp_path, caplog):
    (tmp_path / "metrics.jsonl").write_text('{"env_steps": 1}\n')
    read_metrics(tmp_path)
    assert caplog.text == ""


def test_damage_elsewhere_is_an_error_that_names_the_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"env_steps": 1}\n{"env_st\n{"env_steps": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 is no JSON object"):
        read_metrics(tmp_path)


def test_a_folder_without_summary_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not the folder of a run"):
        read_summary(tmp_path)


def test_the_summary_of_a_run(tmp_path):
    (tmp_path / "summary.json").write_text('{"status": "completed", "env_steps": 3}')
    assert read_summary(tmp_path) == {"status": "completed", "env_steps": 3}


def test_final_values_are_the_last_of_each():
    rows = [
        {"env_steps": 1, "episode/return": 5.0},
        {"env_steps": 2, "loss/value": 1.0},
        {"env_steps": 3, "loss/value": None},
    ]
    assert final_values(rows) == {"env_steps": 3, "episode/return": 5.0, "loss/value": None}
    assert final_values([]) == {}
