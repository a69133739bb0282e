"""How a run's state goes into its checkpoints and comes back when the run is resumed."""

import logging

from mbrl.assemble import Parts
from mbrl.errors import ConfigError, RunError, one_line, os_error_sentence
from mbrl.metrics_writer import MetricsWriter
from mbrl.runs.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from mbrl.runs.folder import RunFolder
from mbrl.runs.metric_diff import RowChecker
from mbrl.runs.reader import read_metrics
from mbrl.tables import resume_command
from mbrl.training.loop import Training
from mbrl.training.snapshot import Snapshot, from_arrays, max_bytes, to_arrays

logger = logging.getLogger(__name__)


class Checkpointer:
    """Saves snapshots of a run in its folder, and restores the last one.

    `fingerprint` is that of the config, which may not change in between.
    """

    def __init__(self, folder: RunFolder, writer: MetricsWriter, parts: Parts, fingerprint: str):
        self._folder, self._writer, self._parts = folder, writer, parts
        self._fingerprint = fingerprint

    def save(self, snapshot: Snapshot) -> None:
        """Save a snapshot. A full disk costs the checkpoint, not the run.

        Only the last one must be written, since a completed run has it: raises RunError otherwise,
        and OSError if the folder is gone.
        """
        try:
            self._folder.sync_rows()
            self._write(snapshot)
        except OSError as error:
            if not self._folder.path.is_dir():
                raise
            if snapshot.evaluated_at == self._parts.training.env_steps:
                raise RunError(
                    f"The last checkpoint could not be written: {os_error_sentence(error)}",
                    f"Then finish the run: {resume_command(self._folder.path)}",
                ) from error
            logger.warning(
                "No checkpoint at %d real steps (%s). A resumed run starts from an older one.",
                snapshot.env_steps,
                one_line(error),
            )

    def restore(self, tolerance: float) -> Snapshot:
        """The snapshot to continue from: the last checkpoint's, or the first where there is none.

        Rows after it move to metrics.superseded.jsonl; they must come out the same again. Raises
        ConfigError where config.yaml has changed, or where the budget is already exceeded.
        """
        folder, writer, training = self._folder, self._writer, self._parts.training
        num_recorded = len(read_metrics(folder.path))
        # A checkpoint that counts more rows than are recorded is useless: its rows would be
        # missing.
        checkpoint = load_checkpoint(
            folder.path,
            lambda facts: facts["num_rows"] <= num_recorded,
            max_bytes(self._parts.state, training.env_steps),
        )
        start, num_rows, seconds = Snapshot(self._parts.state), 0, 0.0
        if checkpoint is not None:
            start = self._load(checkpoint)
            num_rows, seconds = checkpoint.facts["num_rows"], checkpoint.facts["wall_seconds"]
        if start.env_steps > training.env_steps:
            raise ConfigError(
                f"training.env_steps={training.env_steps}: {start.env_steps} real steps are "
                "already taken. Give at least that many."
            )
        folder.mark_running()  # changes nothing of the run before here
        is_stale = _final_evaluation_is_stale(start, training)
        if is_stale:
            # The evaluation's row is dropped. A checkpoint that does not count it is saved first,
            # since there may be no time for another.
            start, num_rows = start._replace(evaluated_at=start.env_steps - 1), num_rows - 1
            writer.resume_at(num_rows, seconds, RowChecker([]))
            self._write(start)
        folder.truncate_metrics(num_rows)
        if is_stale and start.env_steps % training.evaluate_every == 0:
            folder.archive_superseded()  # this row is repeated with another number of episodes
        repeated = [
            row
            for row in read_metrics(folder.path, "metrics.superseded.jsonl")
            # With another budget, an evaluation can have another number of episodes.
            if "evaluation/returns" not in row
            or len(row["evaluation/returns"]) == training.evaluation_episodes_at(row["env_steps"])
        ]
        writer.resume_at(num_rows, seconds, RowChecker(repeated, tolerance))
        if tolerance > 0:
            folder.archive_superseded()
        return start

    def _write(self, snapshot: Snapshot) -> None:
        facts = {
            "env_steps": snapshot.env_steps,
            "num_rows": self._writer.num_rows,
            "wall_seconds": self._writer.wall_seconds,
            "config": self._fingerprint,
        }
        max_checkpoints = self._parts.training.max_checkpoints
        save_checkpoint(self._folder.path, to_arrays(snapshot), facts, max_checkpoints)

    def _load(self, checkpoint: Checkpoint) -> Snapshot:
        if checkpoint.facts["config"] != self._fingerprint:
            raise ConfigError(
                f"{self._folder.path / 'config.yaml'}: changed since the run's checkpoints were "
                "saved. Undo the change, or start a new run with it."
            )
        parts, exploration = self._parts, self._parts.training.exploration
        try:
            return from_arrays(
                checkpoint.arrays, parts.state, parts.learner, parts.planner, exploration
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._folder.path}: its last checkpoint does not fit this version of mbrl "
                f"({error}). Use the commit in its provenance.json."
            ) from error


def _final_evaluation_is_stale(start: Snapshot, training: Training) -> bool:
    """Whether the last row is an evaluation that a run with the present budget does not have.

    Or has with another number of episodes.
    """
    is_final = 0 < start.env_steps == start.evaluated_at < training.env_steps
    episodes = (None, training.evaluation_episodes)
    differs = training.final_evaluation_episodes not in episodes
    return is_final and (start.env_steps % training.evaluate_every != 0 or differs)
