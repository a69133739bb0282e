import json
import logging

import pytest

from mbrl.errors import CorruptRun
from mbrl.runs.reader import final_values, read_metrics, read_provenance, read_summary


def write_rows(folder, rows):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_rows_are_read_as_they_were_written(tmp_path, caplog):
    rows = [
        {"env_steps": 1, "loss/value": 0.1},
        {"env_steps": 2, "loss/value": None, "evaluation/returns": [1.0, 2.0]},
    ]
    write_rows(tmp_path, rows)
    assert read_metrics(tmp_path) == rows
    assert read_metrics(str(tmp_path)) == rows
    assert caplog.text == ""


def test_rows_without_a_metric_can_be_left_out(tmp_path):
    rows = [
        {"env_steps": 1, "x": 0.1},
        {"env_steps": 2, "note": "x"},
        {"env_steps": 3, "x": None},
        {"env_steps": 4},
    ]
    write_rows(tmp_path, rows)
    assert read_metrics(tmp_path, having="x") == [rows[0], rows[2]]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"env_steps"\n{"env_steps": 5}\n')
    with pytest.raises(CorruptRun, match="line 5 is not a JSON object"):
        read_metrics(tmp_path, having="x")


def test_without_a_file_there_are_no_rows(tmp_path):
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    "half",
    [
        b'{"env_steps": 2, "lo',
        b'{"env_steps": 2, "x": 1.',
        b'"',
        b"{",
        '{"name": "\xc3'.encode("latin-1"),
    ],
)
def test_a_last_line_that_is_cut_off_is_dropped_with_a_warning(tmp_path, caplog, half):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"env_steps": 1}\n' + half)
    with caplog.at_level(logging.WARNING):
        assert read_metrics(tmp_path) == [{"env_steps": 1}]
    assert "line 2 is cut off" in caplog.text


def test_any_other_damaged_line_is_an_error_that_names_it(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"env_steps": 1}\n{"env_st\n{"env_steps": 3}\n')
    with pytest.raises(CorruptRun, match=r"metrics.jsonl: line 2 is not a JSON object"):
        read_metrics(tmp_path)


def test_a_folder_without_a_summary_is_not_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not the folder of a run"):
        read_summary(tmp_path)


def test_a_summary_is_read(tmp_path):
    (tmp_path / "summary.json").write_text('{"status": "completed", "env_steps": 3}')
    assert read_summary(tmp_path) == {"status": "completed", "env_steps": 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1", "Expecting"),
        ('{"choices": []}', "choices has the wrong type"),
        ('{"resumes": {}}', "resumes has the wrong type"),
        ('{"devices": ["cpu"]}', "devices has the wrong type"),
    ],
)
def test_damaged_provenance_is_an_error(tmp_path, text, problem):
    (tmp_path / "provenance.json").write_text(text)
    with pytest.raises(CorruptRun, match=rf"is damaged \({problem}.*\)"):
        read_provenance(tmp_path)


def test_provenance_may_be_missing_or_incomplete(tmp_path):
    assert read_provenance(tmp_path) == {}
    (tmp_path / "provenance.json").write_text('{"git": null, "resumes": [{}]}')
    assert read_provenance(tmp_path) == {"git": None, "resumes": [{}]}


def test_final_values_are_the_last_of_each_metric():
    rows = [
        {"env_steps": 1, "episode/return": 5.0},
        {"env_steps": 2, "loss/value": 1.0},
        {"env_steps": 3, "loss/value": None},
    ]
    assert final_values(rows) == {"env_steps": 3, "episode/return": 5.0, "loss/value": None}
    assert final_values([]) == {}
