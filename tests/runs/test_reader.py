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
        {"env_steps": 2, "not": 1.0},
        {"env_steps": 3, "x": None},
        {"env_steps": 4},
    ]
    write_rows(tmp_path, rows)
    assert read_metrics(tmp_path, having="x") == [rows[0], rows[2]]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"env_steps"\n{"env_steps": 5}\n')
    with pytest.raises(CorruptRun, match="line 5 is not a row of metrics"):
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
    with pytest.raises(CorruptRun, match=r"metrics.jsonl: line 2 is not a row of metrics"):
        read_metrics(tmp_path)


def test_a_folder_without_a_summary_is_not_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not the folder of a run"):
        read_summary(tmp_path)


def test_a_summary_is_read(tmp_path):
    (tmp_path / "summary.json").write_text('{"status": "completed", "env_steps": 3}')
    assert read_summary(tmp_path) == {"status": "completed", "env_steps": 3}


ROWS = {
    "[1]": "Input should be an object",
    "{}": "env_steps must be a whole number of at least 0",
    '{"env_steps": -7}': "env_steps must be a whole number of at least 0",
    '{"env_steps": 1.5}': "env_steps must be a whole number of at least 0",
    '{"env_steps": true}': "env_steps=True: must be a number",
    '{"env_steps": 1, "wall_seconds": -1}': "wall_seconds must be a number of at least 0",
    '{"env_steps": 1, "wall_seconds": null}': "wall_seconds must be a number of at least 0",
    '{"env_steps": 1, "loss": "x"}': "loss='x': must be a number",
    '{"env_steps": 1, "loss": NaN}': "loss=nan: must be a number",
    '{"env_steps": 1, "loss": 1e400}': "loss=inf: must be a number",
    '{"env_steps": 1, "loss": {}}': "loss={}: must be a number",
    '{"env_steps": 1, "loss": [1]}': "loss=[1]: must be a number",
    '{"env_steps": 1, "evaluation/returns": 3}': "evaluation/returns=3: must be a list of numbers",
    '{"env_steps": 1, "evaluation/returns": [[]]}': "evaluation/returns=[[]]: must be a number",
    '{"env_steps": ' + "9" * 6000 + "}": "Invalid JSON: number out of range",
    '{"env_steps": ' + "[" * 100_000 + "}": "Invalid JSON: recursion limit exceeded",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[:40])
def test_a_row_of_another_type_is_an_error_that_names_it(tmp_path, row):
    (tmp_path / "metrics.jsonl").write_text(row + '\n{"env_steps": 1}\n')
    with pytest.raises(CorruptRun) as error:
        read_metrics(tmp_path)
    assert f"line 1 is not a row of metrics ({ROWS[row]}" in str(error.value)


DAMAGED = {
    "provenance.json": {
        "[1": "Invalid JSON",
        "[]": "Input should be an object",
        '{"choices": []}': "choices: ",
        '{"choices": {"model": 1}}': "choices.model: ",
        '{"overrides": [1]}': "overrides.0: ",
        '{"resumes": {}}': "resumes: ",
        '{"resumes": [{}]}': "resumes.0.started: Field required",
        '{"devices": ["cpu"]}': "devices.0: ",
        '{"devices": [{"platform": 3}]}': "devices.0.platform: ",
        '{"cores": {"machine": 2, "usable": [1]}}': "cores.usable: ",
        '{"packages": {"jax": [1]}}': "packages.jax: ",
        '{"git": {"commit": 3}}': "git.commit: ",
        '{"run_id": 3}': "run_id: ",
        '{"started": "yesterday"}': "started: ",
        '{"started": "0001-01-01T00:00:00+23:00"}': "started: the year must be in 1970 to 9998",
        '{"started": "9999-12-31T23:00:00-23:00"}': "started: the year must be in 1970 to 9998",
    },
    "summary.json": {
        "{": "Invalid JSON",
        "[" * 100_000: "Invalid JSON: recursion limit exceeded",
        "{}": "status: Field required",
        '{"status": "excellent"}': "status: Input should be 'running', 'completed'",
        '{"status": "failed", "error": 3}': "error: ",
        '{"status": "failed", "env_steps": "many"}': "env_steps: ",
        '{"status": "failed", "env_steps": -7}': "env_steps: ",
        '{"status": "failed", "wall_seconds": 1e400}': "wall_seconds: ",
        '{"status": "failed", "wall_seconds": -1e9}': "wall_seconds: ",
        '{"status": "failed", "env_steps": ' + "9" * 6000 + "}": "Invalid JSON: number out of",
        '{"status": "failed", "evaluation/return_mean": [1]}': "evaluation/return_mean: ",
        '{"status": "failed", "evaluation/return_mean": NaN}': "evaluation/return_mean: ",
    },
}


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name, texts in DAMAGED.items() for text in texts],
    ids=lambda text: text[:40],
)
def test_a_record_of_another_type_is_an_error_that_names_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(CorruptRun) as error:
        (read_summary if name == "summary.json" else read_provenance)(tmp_path)
    assert f"{name} is damaged ({DAMAGED[name][text]}" in str(error.value)
    assert len(str(error.value)) < 400


def test_a_large_return_is_read(tmp_path):
    text = '{"status": "completed", "evaluation/return_mean": 1e32}'
    (tmp_path / "summary.json").write_text(text)
    assert read_summary(tmp_path)["evaluation/return_mean"] == 1e32


def test_provenance_may_be_missing_or_incomplete_and_keeps_what_it_holds(tmp_path):
    assert read_provenance(tmp_path) == {}
    (tmp_path / "provenance.json").write_text('{"git": null, "resumes": [], "more": [1, {}]}')
    assert read_provenance(tmp_path) == {"git": None, "resumes": [], "more": [1, {}]}


def test_final_values_are_the_last_of_each_metric():
    rows = [
        {"env_steps": 1, "episode/return": 5.0},
        {"env_steps": 2, "loss/value": 1.0},
        {"env_steps": 3, "loss/value": None},
    ]
    assert final_values(rows) == {"env_steps": 3, "episode/return": 5.0, "loss/value": None}
    assert final_values([]) == {}
