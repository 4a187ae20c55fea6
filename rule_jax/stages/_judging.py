"""How a language model behind an OpenAI-compatible endpoint rates answers, and whether it agrees with itself.

The aspects are the files of `prompts/` beside "system": readability, helpfulness, truthfulness. Equal questions are
paid for once, ever: the replies are kept in a journal.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from rule_jax.journal import Journal
from rule_jax.llm.client import Client, Request, SetAside
from rule_jax.reporting.vocabulary import ASPECTS
from rule_jax.rewards.judge import rating

PROMPTS = Path(__file__).parent / "prompts"
RUNS = 2  # the same question, drawn anew


def judge(
    rows: Sequence[Mapping[str, Any]], journal: Path, llm: Mapping[str, Any], temperature: float
) -> dict[str, Any]:
    """{"ratings": {aspect: {"mean", "n", "unjudged", "agreement"}}, "by_row": [mean rating of a row, or None]}.

    rows: with "prompt", "text" and "answers". Ratings lie in [0, 1], the mean of both runs. agreement: {"within_one":
    the share of rows on which the runs differ by at most one point of ten, "rank_correlation": Spearman's, null where a
    run knows one rating only}. Raises UserError when the endpoint is lost; what it has answered is kept.
    """
    with Journal(journal) as kept:
        client = Client(kept, **llm)
        asked = [question(aspect, row, seed, temperature) for aspect in ASPECTS for seed in range(RUNS) for row in rows]
        replies = client.ask(asked, parse=rating)
    found = np.asarray([np.nan if isinstance(r, SetAside) else r for r in replies], np.float64)
    by_aspect = found.reshape(len(ASPECTS), RUNS, len(rows))
    means = [fmean(row) if not np.isnan(row).any() else None for row in by_aspect.mean(axis=1).T]
    return {"ratings": {name: _summary(runs) for name, runs in zip(ASPECTS, by_aspect)}, "by_row": means}


def reachable(llm: Mapping[str, Any]) -> None:
    """Raises UserError for settings that make no sense and for an endpoint that does not answer; asks nothing."""
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "none.jsonl") as empty:
        Client(empty, **llm).check()


def question(aspect: str, row: Mapping[str, Any], seed: int, temperature: float) -> Request:
    """What the judge is asked about one answer."""
    rule = (PROMPTS / f"{aspect}.txt").read_text(encoding="utf-8").strip()
    known = f" The truth is: {' or: '.join(row['answers'])}." if aspect == "truthfulness" and row["answers"] else ""
    system = (PROMPTS / "system.txt").read_text(encoding="utf-8").strip()
    material = f"<question>\n{row['prompt']}\n</question>\n\n<reply>\n{row['text']}\n</reply>"
    return Request.of(system, f"{rule}{known}\n\n{material}", temperature=temperature, seed=seed)


def agreement(ratings: Sequence[float | None], proxies: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """The rank correlation of each proxy with the ratings, over the rows that have one."""
    rated = [row for row, rating in enumerate(ratings) if rating is not None]
    own = [rating for rating in ratings if rating is not None]
    return {name: rank_correlation(own, [values[row] for row in rated]) for name, values in proxies.items()}


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's; None where either has one value only."""
    if len(one) < 2 or len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return float(spearmanr(one, other).statistic)  # type: ignore[attr-defined]


def _summary(runs: np.ndarray) -> dict[str, Any]:
    """runs: [RUNS, rows], NaN where the judge gave no usable reply."""
    both = runs[:, ~np.isnan(runs).any(axis=0)]
    count = both.shape[1]
    if not count:
        return {"mean": None, "n": 0, "unjudged": runs.shape[1], "agreement": None}
    first, second = both.tolist()
    within = float(np.mean(np.abs(both[0] - both[1]) <= 0.1 + 1e-9))
    agreement = {"within_one": within, "rank_correlation": rank_correlation(first, second)}
    return {"mean": float(both.mean()), "n": count, "unjudged": runs.shape[1] - count, "agreement": agreement}
