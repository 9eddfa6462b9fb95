"""The folder of a run: its files, its config, and the lock of the process that writes it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.checkpoint import read_checkpoint
from hear_byola.core import yamltext
from hear_byola.core.errors import UserError
from hear_byola.core.locks import claimed
from hear_byola.pretraining.config import differing
from hear_byola.pretraining.state import replacing

STATE = "resume.ckpt"
# Workers of a killed process hold its lock until they notice: torch's look every five seconds.
_PATIENCE = 8.0


@dataclass(frozen=True)
class Folder:
    """The folder of a run.

    Attributes:
        out: its path.
        name: name of the checkpoint.
    """

    out: Path
    name: str

    @property
    def config(self) -> Path:
        """File with every field of the run's config."""
        return self.out / "config.yaml"

    @property
    def corpus(self) -> Path:
        """File that describes the audio."""
        return self.out / "corpus.json"

    @property
    def state(self) -> Path:
        """State that the run resumes from."""
        return self.out / STATE

    @property
    def metrics(self) -> Path:
        """Logged values."""
        return self.out / "metrics.csv"

    @property
    def figure(self) -> Path:
        """Figure of the logged values."""
        return self.out / "curves.png"

    @property
    def checkpoint(self) -> Path:
        """The current checkpoint."""
        return self.out / f"{self.name}.safetensors"

    @property
    def trial(self) -> Path:
        """The checkpoint for a quick probe."""
        return self.out / f".{self.name}-probe.safetensors"

    def begun(self) -> bool:
        """Return whether a run has saved a state or a checkpoint here."""
        return self.state.is_file() or self.checkpoint.is_file()

    def finished(self, steps: int) -> bool:
        """Return whether the checkpoint here is that of a finished run."""
        if not self.checkpoint.is_file():
            return False
        try:
            progress = read_checkpoint(self.checkpoint).training_config.get("progress")
        except ValueError as error:
            raise UserError(f"{error} Delete it; it is then written again.") from error
        step = progress.get("step") if isinstance(progress, dict) else None
        return isinstance(step, int) and step >= steps

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folder, and lock it until the block ends.

        If the block raises before anything was trained, its files and new folders are removed.

        Raises:
            UserError: the folder cannot be made, or another run is using it.
        """
        made = [path for path in (self.out, *self.out.parents) if not path.exists()]
        before = set(self.out.iterdir()) if self.out.is_dir() else set()
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {self.out} cannot be made ({error.strerror}).") from error
        with _locked(self.out) if _is_rank_zero() else contextlib.nullcontext():
            try:
                yield
            except Exception:  # whatever it was; an interrupt keeps what is there
                if _is_rank_zero() and not self.begun() and not self.metrics.is_file():
                    self._clear(before, made)
                raise

    def _clear(self, before: Collection[Path], made: Sequence[Path]) -> None:
        for path in set(self.out.iterdir()) - set(before):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in made:
            with contextlib.suppress(OSError):  # another process has written there
                path.rmdir()

    def keep_config(self, wanted: Mapping[str, object]) -> None:
        """Write the config, if the run here has the same one.

        Raises:
            UserError: the run here has another config, or its config cannot be read.
        """
        if not _is_rank_zero():
            return
        fields = differing(self._read_config(), wanted) if self.begun() else []
        if fields:
            raise UserError(
                f"{self.out} contains a run with another config: {'; '.join(fields)}. To resume "
                "it, use the values on the left; otherwise choose another --out."
            )
        with replacing(self.config) as temporary:
            temporary.write_text(yaml.safe_dump(dict(wanted), sort_keys=False), "utf-8")

    def precision(self) -> str | None:
        """Return the precision of the run here; None if its config does not name one.

        Raises:
            UserError: its config cannot be read.
        """
        found = self._read_config().get("precision")
        return None if found is None else str(found)

    def _read_config(self) -> Mapping[str, object]:
        try:
            # Written by PyYAML, which reads some numbers otherwise than our loader.
            content = yamltext.load(self.config.read_text("utf-8"), yaml.SafeLoader)
        except (OSError, ValueError):
            content = None
        if not isinstance(content, dict):
            raise UserError(
                f"{self.config} is damaged or missing, so the run in {self.out} cannot be resumed. "
                "Choose another --out."
            )
        return content


def _is_rank_zero() -> bool:
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        with claimed(out / "run", wait=_PATIENCE) as mine:
            if not mine:
                raise UserError(f"another process is training in {out}.")
            yield
    except OSError as error:
        if error.filename != str(out):
            raise
        raise UserError(f"the folder {out} cannot be written ({error.strerror}).") from error
