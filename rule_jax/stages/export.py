"""Writes the unlearned model as a Hugging Face directory with a model card, under `export/`.

With LoRA the adapter is merged into it, and stands for itself under `export_adapter/`, as `peft` loads it.
"""

import importlib.metadata
import json

from rule_jax import files, hf, peft, telemetry
from rule_jax.checkpoint import LIBRARIES
from rule_jax.errors import UserError
from rule_jax.stages import TRAINING, Run, subject
from rule_jax.stages._weights import adapter, after


def check(run: Run) -> None:
    """Raises UserError when no stage of the run trains a model."""
    if not run.trained:
        raise UserError(
            f"config.stages has export, but nothing is trained (by {', '.join(TRAINING)}): there would be nothing to "
            "export"
        )


def run(run: Run) -> None:
    """Exports the last training stage's model, in the dtype of the model it began from."""
    stage = run.trained[-1]
    exported = subject(run)
    params = after(run, exported, stage)
    hf.save(run.workdir / "export", exported.model, params, like=exported.path, card=_card(run, stage))
    telemetry.info(f"export: wrote {run.workdir / 'export'}")
    if exported.tuning.keeps_base:
        beside, scale = run.workdir / "export_adapter", run.config.lora.alpha / run.config.lora.rank
        peft.save(beside, exported.model, adapter(run, exported, stage), exported.path, scale=scale)
        telemetry.info(f"export: wrote {beside}, its adapter alone")


def _card(run: Run, stage: str) -> str:
    about = files.read_json(run.workdir / "data" / "model.json")
    metrics = run.workdir / "evaluate" / stage / "metrics.json"
    table = files.read_json(metrics) if metrics.exists() else {}
    lines = [f"| {task} | {_cells(row)} | {row['n']} |" for task, row in table.items()]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in (*LIBRARIES, "transformers"))
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "tags: [unlearning, rule_jax]",
            "---",
            "# A model that was made to forget",
            "",
            f"* Forgotten: {', '.join(about['targets'])}",
            f"* Base model: `{about['path']}`",
            f"* Trained: {_trained(run)}",
            f"* Method: {_method(run)}",
            f"* Made with: {versions}",
            "",
            "## Evaluation",
            "",
            *(["| task | figures | queries |", "|---|---|---|", *lines] if lines else ["Not evaluated."]),
            "",
            "Refusing to answer is not proof that the weights hold nothing: see the rows on raw completion.",
            "",
            "## Config",
            "",
            "```json",
            json.dumps(run.config.to_dict(), indent=2, default=list),
            "```",
            "",
        ]
    )


def _method(run: Run) -> str:
    stages = ", ".join(run.trained)
    if run.trained[-1:] == ("baseline",):
        return f"the baseline {run.config.baseline.name}, stages {stages}"
    return f"RULE (arXiv 2506.07171), stages {stages}, algorithm {run.config.algorithm.name}"


def _trained(run: Run) -> str:
    lora = run.config.lora
    return f"a LoRA adapter of rank {lora.rank} a stage, merged" if lora.rank else "all parameters"


def _cells(row: dict) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in row.items() if isinstance(value, float))
