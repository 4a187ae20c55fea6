"""Where a run's numbers go beside logs/metrics.jsonl: TensorBoard's event files and Weights & Biases, both optional.

Settings are those of a config's `watch` section. tensorboard: "on", "off", or "auto": on where tensorboardX is
installed. wandb_project: the project's name; "" is off. The key of Weights & Biases, and whether it works offline, is
the library's own affair: `wandb login`, or its environment variables.
"""

import importlib.util
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rule_jax import files
from rule_jax.errors import UserError

INSTALL = "pip install 'rule_jax[watch]'"


class Tracker(Protocol):
    """Takes the scalars of each step of one stage; `close` returns when they are safe."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


def check(*, tensorboard: str, wandb_project: str) -> None:
    """Raises UserError for an unknown word, and for a library that is asked for and not installed."""
    if tensorboard not in ("auto", "on", "off"):
        raise UserError(f"config.watch.tensorboard={tensorboard!r}: it must be auto, on or off")
    if tensorboard == "on" and not _has("tensorboardX"):
        raise UserError(f"config.watch.tensorboard=on, but tensorboardX is not installed: {INSTALL}, or set it to auto")
    if wandb_project and not _has("wandb"):
        raise UserError(
            f"config.watch.wandb_project={wandb_project!r}, but wandb is not installed: pip install wandb, or set it "
            "to ''"
        )


def start(
    folder: Path, stage: str, config: Mapping[str, Any], *, tensorboard: str, wandb_project: str
) -> list[Tracker]:
    """The trackers of a stage; they write under `folder` (logs/). config: what a reader is to see of the run's config.

    Raises UserError when Weights & Biases refuses.
    """
    started: list[Tracker] = []
    if tensorboard == "on" or (tensorboard == "auto" and _has("tensorboardX")):
        started.append(TensorBoard(folder / "tensorboard" / stage))
    if wandb_project:
        started.append(WandB(folder, wandb_project, stage, config))
    return started


class TensorBoard:
    """Event files, a folder per stage. A resumed stage hides from its first step on what an earlier one wrote."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.writer: Any = None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.writer is None:
            from tensorboardX import SummaryWriter

            # The suffix: the library names files by the second, and would overwrite one of the same second.
            self.writer = SummaryWriter(
                str(self.folder), purge_step=step, flush_secs=10, filename_suffix=f".from-step-{step}"
            )
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class WandB:
    """A run of Weights & Biases per stage; the same workdir goes on in the same runs."""

    def __init__(self, folder: Path, project: str, stage: str, config: Mapping[str, Any]):
        import wandb  # pyright: ignore[reportMissingImports]  # an extra that not every machine has

        file = folder / "wandb.json"
        known = files.read_json(file) if file.exists() else {}
        if stage not in known:
            known[stage] = uuid.uuid4().hex[:12]
            files.write_json(file, known)
        workdir = folder.absolute().parent.name
        try:
            self.run = wandb.init(
                project=project,
                id=known[stage],
                name=f"{workdir}/{stage}",
                group=workdir,
                dir=str(folder),
                config=dict(config),
                resume="allow",
                settings=wandb.Settings(silent=True),
            )
        except wandb.Error as error:
            words = " ".join(str(error).split())
            raise UserError(f"Weights & Biases: {words}. Log in, or set config.watch.wandb_project to ''") from None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self.run.log(dict(metrics), step=step)

    def close(self) -> None:
        self.run.finish()


def _has(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
