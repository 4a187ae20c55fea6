"""A rollout as the host sees it: token ids to texts, texts to scores, scores to what a user watches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rule_jax import processes, sharding
from rule_jax.text import chat, quality
from rule_jax.text.refusal import is_refusal
from rule_jax.types import Answer, PromptRecord, Reward, Rollout, Score


@dataclass(frozen=True)
class Scored:
    """This process's part of a rollout, answer by answer: row b, sample g at b * G + g of each list.

    rewards_BG: float32, of the whole batch; rows of other processes are 0. rows: the batch's row of each answer.
    lengths: tokens of each answer, its end included.
    """

    rewards_BG: np.ndarray
    rows: Sequence[int]
    asked: Sequence[PromptRecord]
    answers: Sequence[Answer]
    lengths: Sequence[int]
    scores: Sequence[Score]


def score(rollout: Rollout, records: Sequence[PromptRecord], tokenizer: Any, reward: Reward) -> Scored:
    """Decodes and rewards this process's rows. Raises UserError as the reward does."""
    numbers, response = sharding.local_rows(rollout.response_BGR)
    _, length = sharding.local_rows(rollout.length_BG)
    _, finished = sharding.local_rows(rollout.finished_BG)
    G = length.shape[1]
    ids = [response[b, g, : length[b, g]] for b in range(len(numbers)) for g in range(G)]
    rows = [int(row) for row in numbers for _ in range(G)]
    asked = [records[row] for row in rows]
    texts = chat.decode(tokenizer, ids)
    answers = [Answer(text.strip(), bool(ended)) for text, ended in zip(texts, finished.ravel())]
    scores = reward(asked, answers)
    rewards_BG = np.zeros(rollout.length_BG.shape, np.float32)
    rewards_BG[numbers] = np.asarray([s.total for s in scores], np.float32).reshape(-1, G)
    return Scored(rewards_BG, rows, asked, answers, [int(n) for n in length.ravel()], scores)


def facts(scored: Scored) -> dict[str, float]:
    """What a user watches of a rollout: means over all answers of the batch, and "tokens", their sum.

    reward, its largest as reward/max, reward/<kind>, reward/<kind>/<part>; refusal_rate/<kind> by our own detector,
    whichever one the reward goes by; response_length/mean and /max in tokens; truncated; empty and gibberish, shares
    of answers.
    """
    values: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        values.setdefault(name, []).append(value)

    signs = {text: _signs(text) for text in {answer.text for answer in scored.answers}}  # many answers are the same
    for record, answer, length, result in zip(scored.asked, scored.answers, scored.lengths, scored.scores):
        add("reward", result.total)
        add(f"reward/{record.kind}", result.total)
        for part, value in result.parts.items():
            add(f"reward/{record.kind}/{part}", value)
        refused, empty, noise = signs[answer.text]
        add(f"refusal_rate/{record.kind}", refused)
        add("response_length/mean", length)
        add("truncated", not answer.finished)
        add("empty", empty)
        add("gibberish", noise)
    here = {name: [float(sum(found)), len(found), float(max(found))] for name, found in values.items()}
    everywhere: dict[str, list[tuple[float, int, float]]] = {}
    for process in processes.gather(here):
        for name, triple in process.items():
            everywhere.setdefault(name, []).append(triple)
    means = {n: sum(t for t, _, _ in found) / sum(c for _, c, _ in found) for n, found in everywhere.items()}
    lengths = everywhere["response_length/mean"]
    return {
        **means,
        "reward/max": max(largest for _, _, largest in everywhere["reward"]),
        "response_length/max": max(longest for _, _, longest in lengths),
        "tokens": sum(total for total, _, _ in lengths),
    }


def _signs(text: str) -> tuple[bool, bool, bool]:
    """Whether a text refuses, is empty, is noise."""
    return is_refusal(text), quality.is_empty(text), quality.gibberish(text) >= quality.GIBBERISH_FROM
