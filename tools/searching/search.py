"""The runs of a search: those that are done, which a folder keeps, and those that are left."""

import pathlib
import sys
from collections.abc import Iterable

import tqdm

from mpl_tf import data, files
from mpl_tf.config import flags
from mpl_tf.options import ConfigError
from mpl_tf.runs import callbacks, provenance
from searching import ledger
from searching.trials import Runner, Trial

RUNS, SETTINGS = "runs.csv", "settings.json"


class Search:
    """The runs of a search, those that are done and those that are left.

    Args:
      out: its folder.
      job: what all runs have.

    Attributes:
      source: the images.
    """

    def __init__(self, out: pathlib.Path, job: flags.Job):
        self._out, self._settings = out, job.settings
        run = job.config.run
        self.source = data.find(run.dataset, job.config.data.data_dir).load(job.config.data)
        self._runner = Runner(job.settings, self.source)
        self._rows: dict[tuple[str, ...], ledger.Row] = {}
        self._checked, self._revision = set[str](), ""

    def check(self, trials: Iterable[Trial]) -> None:
        """Raises ConfigError if a run cannot have its options; the same are checked once."""
        for trial in trials:
            condition, variant = trial.condition, trial.variant
            key = condition.per_class, condition.changes, variant.options, trial.options
            if repr(key) in self._checked:
                continue
            self._checked.add(repr(key))
            try:
                self._runner.config(trial)
            except ConfigError as error:
                raise ConfigError(f"{condition.name}, {variant.name}: {error}") from error

    def start(self) -> None:
        """Reads the runs in the folder, which nobody else may write to, and keeps the settings.

        Raises:
          ConfigError: it has runs of other settings or images, or damaged ones.
        """
        file = self._out / SETTINGS
        rows = ledger.read(self._out / RUNS)
        text = {name: str(value) for name, value in sorted(self._settings.items())}
        images = {part: held.digest() for part, held in self.source.contents().items()}
        if rows and not file.exists():
            raise ConfigError(
                f"{self._out} has runs, but no {SETTINGS}, which says of what settings; choose "
                "another --out."
            )
        if rows:
            there = files.read_json(file, dict)
            if there.pop("images", images) != images:
                raise ConfigError(f"{self._out} has runs on other images; choose another --out.")
            if there != text:
                raise ConfigError(f"{self._out} has runs of other settings; choose another --out.")
        files.write_json(str(file), text | {"images": images})
        self._rows = {ledger.key(row): row for row in rows}
        self._revision = provenance.git_revision() or ""

    def run(self, name: str, trials: Iterable[Trial], part: str = "validation") -> list[ledger.Row]:
        """Runs what is not done; a run that failed is done, too.

        Args:
          name: what the bar shows.
          trials: all runs.
          part: of whose images accuracies are.

        Returns:
          Their rows, and none of runs that other arguments have left.
        """
        keys = {ledger.key_of(trial, part): trial for trial in trials}
        with tqdm.tqdm(total=len(keys), desc=name, unit="run", file=sys.stdout) as bar:
            for key, trial in keys.items():
                if key not in self._rows:
                    self._rows[key] = row = self._row(trial, part)
                    if row["failed"]:
                        bar.write(f"{', '.join(key)} failed: {row['failed']}")
                    ledger.write(self._out / RUNS, list(self._rows.values()))
                bar.update()
        return [self._rows[key] for key in keys]

    def _row(self, trial: Trial, part: str) -> ledger.Row:
        """Runs a trial; returns its row."""
        try:
            values = self._runner.run(trial, part)
        except callbacks.NonFiniteError as error:
            return ledger.row_of(trial, part, {}, self._revision, str(error))
        return ledger.row_of(trial, part, values, self._revision)
