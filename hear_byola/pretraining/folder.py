"""The folder of a run: which files it has, whose run it is, and that one process writes it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from filelock import FileLock, Timeout
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.checkpoint import read_checkpoint
from hear_byola.errors import UserError
from hear_byola.pretraining.config import differing
from hear_byola.pretraining.state import replacing

STATE = "resume.ckpt"
# Processes that read audio hold their killed parent's lock until they miss it: torch's look every
# five seconds.
_PATIENCE = 8.0


@dataclass(frozen=True)
class Folder:
    """A run's folder.

    Attributes:
        out: where it is.
        name: of the checkpoint.
    """

    out: Path
    name: str

    @property
    def config(self) -> Path:
        """Every field of the run's config."""
        return self.out / "config.yaml"

    @property
    def corpus(self) -> Path:
        """What the run trains on."""
        return self.out / "corpus.json"

    @property
    def state(self) -> Path:
        """What the run goes on from."""
        return self.out / STATE

    @property
    def metrics(self) -> Path:
        """The curves as numbers."""
        return self.out / "metrics.csv"

    @property
    def figure(self) -> Path:
        """The curves as a figure."""
        return self.out / "curves.png"

    @property
    def checkpoint(self) -> Path:
        """The result so far."""
        return self.out / f"{self.name}.safetensors"

    @property
    def trial(self) -> Path:
        """The checkpoint that a quick probe looks at."""
        return self.out / f".{self.name}-probe.safetensors"

    def begun(self) -> bool:
        """Whether a run has saved anything here."""
        return self.state.is_file() or self.checkpoint.is_file()

    def finished(self, steps: int) -> bool:
        """Whether the checkpoint here is that of a whole run."""
        if not self.checkpoint.is_file():
            return False
        try:
            progress = read_checkpoint(self.checkpoint).training_config.get("progress")
        except ValueError as error:
            raise UserError(f"{error} Delete it, and it is written again.") from error
        return isinstance(progress, dict) and progress["step"] >= steps

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folder, and keep other runs out of it until the block ends.

        If the block raises before anything was trained, what it wrote is removed, and so are the
        folders that were made for it.

        Raises:
            UserError: it cannot be made, or another run is at it.
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
            except Exception:
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
            with contextlib.suppress(OSError):  # another process has written there meanwhile
                path.rmdir()

    def keep_config(self, wanted: Mapping[str, object]) -> None:
        """Write the config, or refuse if the run here has another one.

        Raises:
            UserError: the run here has another config, or none that can be read.
        """
        if not _is_rank_zero():
            return
        fields = differing(self._read_config(), wanted) if self.begun() else []
        if fields:
            raise UserError(
                f"{self.out} holds a run with another config; {'; '.join(fields)}. Take the "
                "fields as they were to go on, or another --out."
            )
        with replacing(self.config) as temporary:
            temporary.write_text(yaml.safe_dump(dict(wanted), sort_keys=False), "utf-8")

    def _read_config(self) -> Mapping[str, object]:
        try:
            content = yaml.safe_load(self.config.read_text("utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            content = None
        if not isinstance(content, dict):
            raise UserError(
                f"{self.config} is damaged or missing: it cannot be told whether the run in "
                f"{self.out} is this one. Take another --out."
            )
        return content


def _is_rank_zero() -> bool:
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    lock = FileLock(out / ".lock", timeout=_PATIENCE)
    try:
        lock.acquire()
    except NotImplementedError:  # a file system without locks
        pass
    except Timeout:
        raise UserError(f"another process is training in {out}.") from None
    except OSError as error:
        raise UserError(f"the folder {out} cannot be written ({error.strerror}).") from error
    try:
        yield
    finally:
        lock.release()
