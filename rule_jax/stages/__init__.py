"""The loops: each stage holds its state, does its I/O and leaves its result under the workdir. One file each.

Every file that can be named in config.stages has `check(run)`, which raises UserError for whatever can be known to be
wrong before work starts, and `run(run)`. A stage that has finished is not run again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh

from rule_jax import files, hf, processes, sharding, telemetry, trackers
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.models import lora
from rule_jax.models.decoder import Execution, Model
from rule_jax.models.tuning import Tuning
from rule_jax.ops import kernels
from rule_jax.text import chat
from rule_jax.types import PromptRecord

TRAINING = ("rejection_steering", "boundary_optimization", "baseline")  # stages that make a model of another


@dataclass(frozen=True)
class Run:
    """One run: its resolved config, where it writes, where things that outlive it are kept, and its devices."""

    config: Any  # an ml_collections.ConfigDict, whose fields a type checker cannot know
    workdir: Path
    cache_dir: Path
    mesh: Mesh

    @property
    def log_file(self) -> Path:
        return self.workdir / "logs" / "metrics.jsonl"

    @property
    def compute_dtype(self) -> Any:
        """config.model.compute_dtype; "auto" is bfloat16 on accelerators and float32 on a CPU."""
        name = self.config.model.compute_dtype
        if name == "auto":
            name = "float32" if self.mesh.devices.flat[0].platform == "cpu" else "bfloat16"
        if name not in ("float32", "bfloat16"):
            raise UserError(f"config.model.compute_dtype={name!r}: it must be auto, float32 or bfloat16")
        return jnp.dtype(name)

    @property
    def execution(self) -> Execution:
        """How config.model wants its models computed."""
        settings, platform = self.config.model, self.mesh.devices.flat[0].platform
        limits = kernels.LIMITS.get(settings.attention)
        where = f"config.model.attention={settings.attention!r}"
        if limits is None:
            raise UserError(f"{where}: it must be one of {', '.join(kernels.LIMITS)}")
        if limits.platform and limits.platform != platform:
            raise UserError(
                f"{where} runs on a {limits.platform} alone, and this is a {platform}; einsum runs anywhere"
            )
        if limits.dtypes and self.compute_dtype.name not in limits.dtypes:
            raise UserError(
                f"{where} computes in {' or '.join(limits.dtypes)}, and config.model.compute_dtype makes it "
                f"{self.compute_dtype.name}"
            )
        return Execution(settings.remat, settings.attention)

    @property
    def logit_chunk(self) -> int | None:
        """config.model.logit_chunk; None where it is 0, which leaves it to `ops.logprobs.places_at_once`."""
        chunk = self.config.model.logit_chunk
        if chunk < 0:
            raise UserError(f"config.model.logit_chunk={chunk}: it must be a number of tokens, or 0 to go by size")
        return chunk or None

    def log(self, stage: str) -> telemetry.MetricsFile:
        """Where a stage's numbers go; the first process writes for all."""
        if not processes.first():
            return telemetry.MetricsFile(None, stage)
        config = self.config.to_dict()
        also = trackers.start(self.log_file.parent, stage, config, **config["watch"])
        return telemetry.MetricsFile(self.log_file, stage, also)

    @property
    def trained(self) -> tuple[str, ...]:
        """The stages that leave checkpoints, in order: those of TRAINING, but for a baseline that trains nothing."""
        idle = () if "baseline" not in self.config or self.config.baseline.terms else ("baseline",)
        return tuple(stage for stage in self.config.stages if stage in TRAINING and stage not in idle)

    def checkpoints(self, stage: str) -> Path:
        return self.workdir / stage / "checkpoints"

    def data_file(self, name: str) -> Path:
        return self.workdir / "data" / f"{name}.jsonl"

    def records(self, name: str) -> tuple[PromptRecord, ...]:
        """Records that prepare_data wrote, "forget", "boundary" or "retain", or recollection, "own_words" or
        "recalled"; all but the first may be empty."""
        file = self.data_file(name)
        return jsonl.read(file) if file.stat().st_size else ()


@dataclass(frozen=True)
class Subject:
    """The model that is to forget, as its directory has it: architecture, tokenizer and the ids that end a turn.

    tuning: what of it is trained, as config.lora says.
    """

    path: Path
    model: Model
    tuning: Tuning
    tokenizer: Any
    eos_ids: tuple[int, ...]


def load_model(run: Run, path: Path) -> Model:
    """The Model of a directory, computed as config.model says. Raises UserError where it cannot be."""
    model = hf.load_model(path, run.execution)
    if model.config.attention_softcap is not None and not kernels.LIMITS[model.execution.attention].caps:
        raise UserError(
            f"config.model.attention={model.execution.attention!r} has no soft cap on its scores, which {path} has; "
            "take einsum, or splash on a TPU"
        )
    return model


def sparing_attention(run: Run, model: Model) -> str | None:
    """What config.model.attention could be, in place of what it is, to keep no scores of this model in memory."""
    capped = model.config.attention_softcap is not None
    found = kernels.sparing(run.mesh.devices.flat[0].platform, run.compute_dtype.name, capped=capped)
    return None if found == run.config.model.attention else found


def load_subject(run: Run, path: Path) -> Subject:
    """Everything about a model directory but its weights. Raises UserError naming what it lacks."""
    model, eos_ids = load_model(run, path), hf.eos_ids(path)
    tokenizer = chat.load_tokenizer(path, run.config.model.chat_template)
    chat.check_vocabulary(tokenizer, path, model.config.vocab_size, eos_ids)
    return Subject(
        path=path, model=model, tuning=lora.make(model, **run.config.lora), tokenizer=tokenizer, eos_ids=eos_ids
    )


def subject(run: Run) -> Subject:
    """The model that prepare_data settled on."""
    return load_subject(run, Path(files.read_json(run.workdir / "data" / "model.json")["path"]))


def check_model(run: Run) -> None:
    """Raises UserError for settings of config.model that stages read alike."""
    _ = run.compute_dtype, run.logit_chunk, run.execution


def check_divides(run: Run, what: str, rows: int, parts: int = 1, called: str = "microbatches") -> None:
    """Raises UserError unless `rows` can be cut into parts (as the config calls them) and spread over the mesh. parts:
    0 for as many as their size makes, which divides any."""
    ways = sharding.row_shards(run.mesh)
    by_size = called == "microbatches"
    if parts < (0 if by_size else 1):
        least = "at least 1, or 0 to go by size" if by_size else "at least 1"
        raise UserError(f"{what} is cut into {called}={parts}: it must be {least}")
    parts = parts or 1
    if rows < 1 or rows % (ways * parts):
        raise UserError(
            f"{what}={rows} must be a positive multiple of {ways * parts}: {parts} {called} times "
            f"{ways} ways of the mesh's data and fsdp axes"
        )


def check_positive(section: str, settings: Any, *names: str) -> None:
    """Raises UserError naming the first of the settings that is not above 0."""
    for name in names:
        if settings[name] <= 0:
            raise UserError(f"config.{section}.{name}={settings[name]}: it must be positive")
