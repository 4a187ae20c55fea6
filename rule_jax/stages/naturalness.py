"""Would a person take the answers? How likely the original model finds them, and how a judge rates them.

Not in a default run: name it in config.stages, after evaluate. Reads the greedy chat answers of the evaluation, writes
naturalness/<model>.json; what can be said of their shape without any model stands in the report anyway.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rule_jax import files, hf, processes, telemetry
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.reporting import recorded
from rule_jax.reporting.answers import shape
from rule_jax.reporting.vocabulary import counts, side
from rule_jax.stages import Run, _judging, check_positive, evaluate, subject
from rule_jax.stages._likelihood import Scorer
from rule_jax.types import Continuations, ScoringTask


def check(run: Run) -> None:
    """Raises UserError when nothing is evaluated, and for a judge that cannot be asked."""
    settings = run.config.naturalness
    if "evaluate" not in run.config.stages:
        raise UserError("config.stages has naturalness but not evaluate, whose answers it looks at")
    check_positive("naturalness", settings, "records")
    if settings.judge.journal:
        _judging.reachable(settings.judge.llm.to_dict())


def run(run: Run) -> None:
    """Writes naturalness/<model>.json for the first and the last model of the run: {"forget" | "retain":
    {"perplexity_original", "ratings", "agreement", "n"}}. agreement: of the judge's ratings with the likelihood and
    with the shape of the answers."""
    settings, examined = run.config.naturalness, subject(run)
    scorer, original = Scorer(run, examined), hf.load_params(examined.path, examined.model, run.mesh)
    for name in evaluate.ends(run):
        table = {}
        for where in ("forget", "retain"):
            said = run.workdir / "evaluate" / name / "generations.jsonl"
            rows = _chosen(said, where, settings.records, run.config.seed)
            if not rows:
                continue
            logprobs, tokens = _likelihood(scorer, original, rows, f"{name}, {where}")
            row: dict[str, Any] = {"n": len(rows), "perplexity_original": float(np.exp(-logprobs.sum() / tokens.sum()))}
            if settings.judge.journal:
                judged = _judging.judge(
                    rows, Path(settings.judge.journal), settings.judge.llm.to_dict(), settings.judge.temperature
                )
                shapes = [shape(answer["text"].strip()) for answer in rows]
                proxies = {name: [one[name] for one in shapes] for name in shapes[0]}
                row["ratings"] = judged["ratings"]
                row["agreement"] = _judging.agreement(
                    judged["by_row"], {"likelihood": (logprobs / tokens).tolist(), **proxies}
                )
            table[where] = row
        if processes.first():
            files.write_json(run.workdir / "naturalness" / f"{name}.json", table)
        shown = ", ".join(f"{where} {row['perplexity_original']:.1f}" for where, row in table.items())
        telemetry.info(f"naturalness: {name}: perplexity under the original model: {shown}")


def _chosen(path: Path, where: str, count: int, seed: int) -> list[Mapping[str, Any]]:
    """So many of the greedy chat answers of a side that say something, in their order; the seed draws which."""
    found = recorded.lines(path, recorded.ANSWER)
    said = [row for row in found if side(row["task"]) == where and counts(row["task"]) and row["text"].strip()]
    drawn = sorted(np.random.default_rng([seed, *where.encode()]).permutation(len(said))[:count])
    return [said[number] for number in drawn]


def _likelihood(
    scorer: Scorer, original: Params, rows: Sequence[Mapping[str, Any]], label: str
) -> tuple[np.ndarray, np.ndarray]:
    """(log-probability, tokens) of each answer with its end, under the original model."""
    queries = tuple(Continuations(row["prompt"], (row["text"],)) for row in rows)
    task = ScoringTask("naturalness", queries, lambda query, scores: {}, render="chat", ended=True)
    found = [texts[0].logprob_N for texts in scorer(original, [task], label)["naturalness"]]
    return np.asarray([x.sum() for x in found], np.float64), np.asarray([len(x) for x in found], np.float64)
