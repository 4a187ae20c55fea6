"""Converts between a Hugging Face directory and an Orbax checkpoint of ours, either way.

    python -m rule_jax.convert --src=models/llama --dst=start                  # HF directory -> checkpoint
    python -m rule_jax.convert --src=start --dst=models/again --like=models/llama
    python -m rule_jax.convert --src=runs/king --dst=models/king [--step=20] [--dtype=bfloat16]

A checkpoint holds parameters and nothing else of a model. Config, tokenizer and chat template are those of --like; of a
run's checkpoint they are those of the model that the run began from, and with LoRA the run's adapters are merged into
that model. --src=RUN takes the last stage that has a checkpoint, --src=RUN/rejection_steering that stage.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
from absl import flags
from jax.sharding import Mesh

from rule_jax import files, hf, sharding, telemetry
from rule_jax.checkpoint import Checkpoints, load_params
from rule_jax.errors import UserError, one_line
from rule_jax.models.decoder import Model, Params
from rule_jax.stages import TRAINING, Run, subject
from rule_jax.stages._weights import after

SRC = flags.DEFINE_string("src", None, "An HF directory, a run, a stage of a run, or a folder of checkpoints.")
DST = flags.DEFINE_string("dst", None, "What to write; must not exist yet.")
DTYPE = flags.DEFINE_enum(
    "dtype", None, ["float32", "bfloat16", "float16"], "Of the result; default: --like's own, in a checkpoint float32."
)
STEP = flags.DEFINE_integer("step", None, "Which checkpoint; default the newest. Of one that is written: default 0.")
LIKE = flags.DEFINE_string("like", None, "HF directory with config and tokenizer, for checkpoints outside a run.")


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    if not SRC.value or not DST.value:
        raise UserError("give --src=DIR, what is to be converted, and --dst=DIR, where to write it")
    telemetry.start_logging()
    convert(SRC.value, DST.value, dtype=DTYPE.value, step=STEP.value, like=LIKE.value)
    telemetry.info(f"convert: wrote {DST.value}")


def convert(
    src: str | Path, dst: str | Path, *, dtype: Any = None, step: int | None = None, like: str | Path | None = None
) -> None:
    """Writes `dst`, whole or not at all. The arguments are the flags. Raises UserError for what does not fit."""
    src, dst = Path(src), Path(dst)
    if not src.is_dir():
        raise UserError(f"--src: {src} is no directory")
    if dst.exists():
        raise UserError(f"--dst: {dst} exists; choose a place that does not")
    mesh = sharding.make_mesh(data=1, fsdp=-1, tensor=1)
    if (src / "config.json").exists() and "stages" not in files.read_json(src / "config.json"):
        if like:
            raise UserError("--like is for checkpoints; an HF directory brings its own config and tokenizer")
        _to_checkpoint(src, dst, mesh, dtype or np.float32, step or 0)
    else:
        like, model, params = _from_checkpoint(src, mesh, step, like)
        hf.save(dst, model, params, like=like, dtype=dtype, watch=_watch("writing"))


def _to_checkpoint(src: Path, dst: Path, mesh: Mesh, dtype: Any, step: int) -> None:
    """The weights of an HF directory as a folder with one checkpoint."""
    hf.check(src)
    params = hf.load_params(src, hf.load_model(src), mesh, dtype, watch=_watch("reading"))
    with files.whole_folder(dst) as draft, Checkpoints(draft, keep=1) as checkpoints:
        checkpoints.save_params(step, params)


def _from_checkpoint(src: Path, mesh: Mesh, step: int | None, like: str | Path | None) -> tuple[Path, Model, Params]:
    """(the HF directory that has everything else, model, parameters) of a run's or of any other checkpoint."""
    run = _run_of(src, mesh)
    if run:
        if like:
            raise UserError(f"--like is for checkpoints outside a run; {src} is of the run {run.workdir}")
        learner = subject(run)
        return learner.path, learner.model, after(run, learner, _stage(run, src), step=step)
    if not any(place.name.isdigit() for place in src.iterdir()):
        raise UserError(f"{src} is no HF directory (it has no config.json), no run and no folder of checkpoints")
    if not like:
        raise UserError(f"{src} is of no run: give --like=DIR, an HF directory with the config and the tokenizer")
    model = hf.load_model(like)
    return Path(like), model, load_params(src, model, mesh, step)


def _run_of(src: Path, mesh: Mesh) -> Run | None:
    """The run that a path is, or is a stage of, or is the checkpoints of a stage of."""
    for place in (src, *src.absolute().parents[:2]):
        if (place / "config.json").exists() and (place / "data" / "model.json").exists():
            config = ml_collections.ConfigDict(files.read_json(place / "config.json"))
            return Run(config=config, workdir=place, cache_dir=place, mesh=mesh)
    return None


def _stage(run: Run, src: Path) -> str:
    """The stage that the path names, else the last one of the run that has left a checkpoint."""
    named = {src.name, src.absolute().parent.name} & set(TRAINING)
    if named:
        return named.pop()
    left = [stage for stage in run.trained if run.checkpoints(stage).is_dir()]
    if not left:
        raise UserError(f"{run.workdir} has no checkpoints yet; run one of {', '.join(TRAINING)} first")
    return left[-1]


def _watch(name: str) -> Any:
    return lambda items: telemetry.watched(name, items, "tensors")


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line(flags.Error):
        main(flags.FLAGS(sys.argv))


if __name__ == "__main__":
    console()
