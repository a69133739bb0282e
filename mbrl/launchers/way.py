"""What a launcher does differently from the others."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from mbrl.launchers.job import Job


class AbstractBackend(ABC):
    """How jobs are carried out. A constructor's arguments are the settings of its file in conf/hydra/launcher, and it refuses
    with ConfigError what it cannot have.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> None:
        """Brings each job to its end, if it can. What failed is in its summary.json, and leaves the others alone.

        Raises KeyboardInterrupt where asked to stop, once each has written a checkpoint and ended.
        """
