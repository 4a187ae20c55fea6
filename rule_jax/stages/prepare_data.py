"""Stage 0: settle which model forgets and write what training will read, as files under `data/`."""

from pathlib import Path

from rule_jax import files, hf, plugin, telemetry
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.stages import Run, _world_model, load_subject
from rule_jax.types import UnlearningData


def check(run: Run) -> None:
    """Reads all data and everything about the model but its weights. Raises UserError for what is wrong with them."""
    data = _load(run)
    for name, records in (("rejection", data.rejection), ("forget", data.forget)):
        if not records:
            raise UserError(f"data source {run.config.data.source!r} has no {name} records; nothing could be forgotten")
    path = run.config.model.path
    if path:
        hf.check(path)
        load_subject(run, Path(path))
    elif run.config.data.source != "world":
        raise UserError(
            f"config.data.source={run.config.data.source!r} needs a model that knows its subject: set "
            "config.model.path to an HF directory (only the world source brings a model of its own)"
        )


def run(run: Run) -> None:
    """Writes data/model.json, rejection.jsonl, forget.jsonl and boundary.jsonl."""
    path = Path(run.config.model.path) if run.config.model.path else _world_model.ensure(run)
    data = _load(run)
    jsonl.write(run.data_file("rejection"), data.rejection)
    jsonl.write(run.data_file("forget"), data.forget)
    jsonl.write(run.data_file("boundary"), data.boundary)
    files.write_json(run.workdir / "data" / "model.json", {"path": str(path.absolute()), "targets": data.targets})
    telemetry.info(
        f"data: {len(data.targets)} targets ({', '.join(data.targets)}), {len(data.rejection)} rejection, "
        f"{len(data.forget)} forget and {len(data.boundary)} boundary records"
    )


def _load(run: Run) -> UnlearningData:
    config = run.config
    source = plugin.load("data", config.data.source)
    if not hasattr(source, "load"):
        raise UserError(f"config.data.source={config.data.source!r} is no data source")
    if config.data.source != "world" and not config.data.path:
        raise UserError(f"config.data.source={config.data.source!r} reads files: set config.data.path to where they are")
    return source.load(config.data.path, seed=config.seed, **config.data[config.data.source])
