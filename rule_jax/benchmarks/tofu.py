"""TOFU (arXiv 2401.06121): are invented authors forgotten as if they had never been learned, and is the rest kept?

Four sets of questions with a paraphrased true answer and wrong variants of it: the forget set, the retain set, real
authors and world facts. On each: ROUGE-L recall (stemmed) of a greedy answer, the probability of the true answer, and
the truth ratio; the model utility is the harmonic mean of the nine figures of the last three sets. Forget quality is
the p-value of a Kolmogorov-Smirnov test of truth ratios against those of a model that never saw the forget set.

Of the two published formulas of the truth ratio (see metrics.truth), figures without a suffix use the paper's
"mean_probability", those in _compat the leaderboard's "mean_loss"; forget quality uses "mean_loss" in both.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rule_jax import files
from rule_jax.benchmarks import Benchmark, _judges, _scores
from rule_jax.data import tofu
from rule_jax.errors import UserError
from rule_jax.metrics import truth
from rule_jax.reporting import recorded
from rule_jax.text.overlap import rouge_l
from rule_jax.types import (
    AnswerVariants,
    Continuations,
    Judged,
    Kind,
    PromptRecord,
    ScoringTask,
    Summary,
    Task,
    TokenScores,
)

MAX_NEW_TOKENS = 200
TABLES = {"retain": "retain_perturbed", "real_authors": "real_authors_perturbed", "real_world": "world_facts_perturbed"}
RATIO = "_ratio_mean_loss"  # of each question, for the test


def make(path: str, *, seed: int, data: Mapping[str, Any], retrained: str) -> Benchmark:
    """All of it."""
    return Benchmark(
        tasks(path, seed=seed, data=data),
        scoring(path, seed=seed, data=data),
        missing(path),
        summary(path, retrained=retrained),
    )


def tasks(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[Task, ...]:
    """ "forget", "retain", "real_authors" and "real_world", for the tables that there are.

    seed is the room's signature. data: the section "tofu" of the config, for the name of the forget set.
    """
    return tuple(
        Task(
            name,
            tuple(variants.record for variants in asked),
            _forgets if name == "forget" else _keeps,
            max_new_tokens=MAX_NEW_TOKENS,
        )
        for name, asked in _sets(path, data).items()
    )


def scoring(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[ScoringTask, ...]:
    """The same with "_probability" behind their names: the true answer, the paraphrased one, and the wrong ones."""
    judges = {"forget": _forgotten, "retain": _kept, "real_authors": _among_options, "real_world": _among_options}
    return tuple(
        ScoringTask(f"{name}_probability", tuple(map(_texts, asked)), judges[name], render="chat", ended=True)
        for name, asked in _sets(path, data).items()
    )


def missing(path: str) -> tuple[str, ...]:
    """The tables that are kept apart from the forget set and are not there."""
    return tuple(table for table in TABLES.values() if not tofu.has(path, table))


def summary(path: str, *, retrained: str) -> Summary:
    """ "tofu": model_utility, also _compat, and forget_quality with its statistic.

    retrained: what a model scores that never saw the forget set: a log of TOFU's own evaluation (a JSON file with
    "eval_log_forget.json"), or evaluate/<model> of a run of ours.
    """
    reference = _retrained_ratios(Path(retrained)) if retrained else None

    def summarize(judged: Judged) -> dict[str, dict[str, float | str]]:
        row: dict[str, float | str] = {"n": sum(len(judged.get(f"{name}_probability", ())) for name in TABLES)}
        for suffix in ("", "_compat"):
            row[f"model_utility{suffix}"] = _utility(judged, suffix)
        ratios = [values[RATIO] for values in judged.get("forget_probability", ())]
        if reference is None:
            row["forget_quality"] = "no model that never saw the forget set: set config.evaluate.retrained"
        elif ratios:
            row["forget_quality"], row["forget_ks"] = truth.ks(ratios, reference)
        return {"tofu": row}

    return summarize


def _sets(path: str, data: Mapping[str, Any]) -> dict[str, tuple[AnswerVariants, ...]]:
    tables = {"forget": f"{data['forget']}_perturbed", **TABLES}
    kinds: dict[str, Kind] = {"forget": "forget"}
    found = {
        name: tofu.variants(path, table, kinds.get(name, "retain"))
        for name, table in tables.items()
        if tofu.has(path, table)
    }
    if "forget" not in found:
        raise UserError(f"{path} has no {tables['forget']}: name the forget set with config.data.tofu.forget")
    return found


def _texts(asked: AnswerVariants) -> Continuations:
    """The true answer, the paraphrased one (itself where there is none), the wrong ones."""
    answer = asked.record.answers[0]
    paraphrased = asked.paraphrased[0] if asked.paraphrased else answer
    return Continuations(asked.record.prompt, (answer, paraphrased, *asked.perturbed), (0, 1), asked.record.source)


def _losses(scores: Sequence[TokenScores]) -> np.ndarray:
    return np.asarray([-found.logprob_N.mean() for found in scores], np.float64)


def _ratios(scores: Sequence[TokenScores]) -> tuple[float, float]:
    """The truth ratio by "mean_probability" and by "mean_loss"."""
    losses = _losses(scores)
    by = [truth.truth_ratio(losses[1:2], losses[None, 2:], formula) for formula in ("mean_probability", "mean_loss")]
    return float(by[0][0]), float(min(by[1][0], np.finfo(np.float64).max))


def _forgotten(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    ratio, by_loss = _ratios(scores)
    return {
        "probability": float(np.exp(-_losses(scores)[0])),
        "truth_ratio": truth.closer_to_one([ratio]),
        "truth_ratio_compat": truth.closer_to_one([by_loss]),
        RATIO: by_loss,
        **_scores.remembered(query, scores),
    }


def _kept(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    ratio, by_loss = _ratios(scores)
    return {
        "probability": float(np.exp(-_losses(scores)[0])),
        "truth_ratio": truth.below_one([ratio]),
        "truth_ratio_compat": truth.below_one([by_loss]),
    }


def _among_options(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    losses = _losses(scores)
    return {**_kept(query, scores), "probability": float(truth.share_of_options(losses[:1], losses[None, 2:])[0])}


def _utility(judged: Judged, suffix: str) -> float | str:
    parts = []
    for name in truth.KEPT:
        spoken, scored = judged.get(name), judged.get(f"{name}_probability")
        if not spoken or not scored:
            return f"the set {name} is missing"
        parts += [np.mean([values["rouge_l_recall_stem"] for values in spoken])]
        parts += [np.mean([values[metric] for values in scored]) for metric in ("probability", f"truth_ratio{suffix}")]
    return truth.harmonic_mean(parts)


def _retrained_ratios(place: Path) -> list[float]:
    if place.is_dir() and (place / "scores.jsonl").exists():
        scores = [
            row
            for row in recorded.lines(place / "scores.jsonl", recorded.JUDGEMENT)
            if row["task"] == "forget_probability"
        ]
        found = [ratio for row in scores if (ratio := (row.get("judged") or {}).get(RATIO)) is not None]
    else:
        found = _ratios_of_log(files.read_json(place).get("eval_log_forget.json", {}) if place.is_file() else {})
    if not found:
        raise UserError(
            f"config.evaluate.retrained={str(place)!r} is neither a log of TOFU's evaluation, with its "
            "eval_log_forget.json, nor a folder evaluate/<model> of a run on TOFU"
        )
    return found


def _recall(record: PromptRecord, text: str) -> dict[str, float]:
    return {"rouge_l_recall_stem": max(rouge_l(text, answer, stem=True).recall for answer in record.answers)}


def _forgets(record: PromptRecord, text: str) -> dict[str, float]:
    return {**_judges.forgetting(record, text), **_recall(record, text)}


def _keeps(record: PromptRecord, text: str) -> dict[str, float]:
    return {**_judges.keeping(record, text), **_recall(record, text)}


def _ratios_of_log(log: Any) -> list[float]:
    """The truth ratios of TOFU's own log; none where it holds something else."""
    try:
        right, wrong = (list(log[name].values()) for name in ("avg_paraphrased_loss", "average_perturb_loss"))
        return truth.truth_ratio(right, wrong, "mean_loss").tolist() if right and wrong else []
    except (LookupError, AttributeError, TypeError, ValueError, OverflowError):
        return []
