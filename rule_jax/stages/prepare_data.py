"""Stage 0: settle which model forgets and write what training will read, as files under `data/`."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import jax

from rule_jax import data, files, hf, plugin, processes, telemetry
from rule_jax.data import _budget, jsonl
from rule_jax.errors import UserError
from rule_jax.stages import Run, Subject, _exchanges, _lengths, _world_model, baseline, load_subject
from rule_jax.types import UnlearningData


def check(run: Run) -> None:
    """Reads all data and everything about the model but its weights. Raises UserError for what is wrong with them."""
    _lengths.check(run)
    found = _load(run)
    for name, records in (("rejection", found.rejection), ("forget", found.forget)):
        if not records:
            raise UserError(f"data source {run.config.data.source!r} has no {name} records; nothing could be forgotten")
    path, wanted = run.config.model.path, run.config.boundary_optimization.boundary_prompts
    if not path and run.config.data.source != "world":
        raise UserError(
            f"config.data.source={run.config.data.source!r} needs a model that knows its subject: set "
            "config.model.path to an HF directory (only the world source brings a model of its own)"
        )
    if "boundary_optimization" in run.config.stages and wanted and not found.boundary:
        raise UserError(
            f"data source {run.config.data.source!r} has no boundary records, and boundary_optimization wants {wanted} "
            "in a batch; give some, or set config.boundary_optimization.boundary_prompts=0"
        )
    if "baseline" in run.config.stages:
        parts = _exchanges.parts(found.rejection, found.forget, found.boundary, found.retain)
        wanted = [part for part in baseline.read(baseline.terms(run)) if part not in _exchanges.WORDED]
        _exchanges.check(parts, wanted, run.config.data.source)
    if path:
        hf.check(path)
        _check_space(run, load_subject(run, Path(path)))


def run(run: Run) -> None:
    """Writes data/model.json, rejection.jsonl, forget.jsonl, boundary.jsonl and retain.jsonl."""
    found = _load(run)
    settle_model(run, found.targets)
    if processes.first():
        jsonl.write(run.data_file("rejection"), found.rejection)
        jsonl.write(run.data_file("forget"), found.forget)
        jsonl.write(run.data_file("boundary"), found.boundary)
        jsonl.write(run.data_file("retain"), found.retain)
    telemetry.info(
        f"data: {len(found.targets)} targets ({', '.join(found.targets)}), {len(found.rejection)} rejection, "
        f"{len(found.forget)} forget, {len(found.boundary)} boundary and {len(found.retain)} retain records"
    )


def settle_model(run: Run, targets: Sequence[str] = ()) -> None:
    """Writes data/model.json: where the model is that the run begins from, the world's made now if the cache has none,
    and who is to be forgotten."""
    path = Path(run.config.model.path) if run.config.model.path else _world_model.ensure(run)
    if processes.first():
        files.write_json(run.workdir / "data" / "model.json", {"path": str(path.absolute()), "targets": list(targets)})
    processes.wait("model settled")


def _check_space(run: Run, subject: Subject) -> None:
    """Raises UserError unless the workdir's disk can hold all checkpoints and the export at once."""
    trained, model = (
        4 * sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(of.init, jax.random.key(0))))
        for of in (subject.tuning, subject.model)
    )
    kept = sum(run.config[stage].keep_checkpoints + 1 for stage in run.trained)
    kept += run.config.boundary_optimization.validation.patience > 0  # the best one
    need = 3 * trained * kept + model  # a checkpoint has what is trained and two moments, all float32
    place = next(p for p in (run.workdir.absolute(), *run.workdir.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if free < need:
        raise UserError(
            f"{place} has {free / 1e9:.1f} GB free, this run needs {need / 1e9:.1f} GB: {kept} checkpoints and "
            "an export. Use another --workdir or lower keep_checkpoints."
        )


def _load(run: Run) -> UnlearningData:
    config = run.config
    plugin.load("data", config.data.source)  # an unknown source is told before a missing path
    if config.data.source == "world":
        if config.data.more_paths:
            raise UserError(
                "config.data.more_paths: the world's requests come one after the other (launch/sequence.py); "
                "config.data.world.forget_people says how many are forgotten together"
            )
        paths = (config.data.path,)
    elif config.data.path:
        paths = (config.data.path, *config.data.more_paths)
    else:
        raise UserError(
            f"config.data.source={config.data.source!r} reads files: set config.data.path to where they are"
        )
    found = data.load(config.data.source, paths, seed=config.seed, options=config.data[config.data.source])
    found = _budget.thinned(found, config.data.forget_share, config.seed)
    found = _budget.misanswered(found, **config.data.boundary_answers, seed=config.seed)
    return _budget.reworded(found, config.data.refusal_wordings, config.seed)
