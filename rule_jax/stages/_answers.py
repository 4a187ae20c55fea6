"""Sampled answers to look at: all of a step in rollouts/step_<step>.jsonl, and the best and the worst as a table."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rule_jax import files, processes, sharding
from rule_jax.stages._scoring import Scored
from rule_jax.types import Rollout

TEXT_WIDTH = 60


def advantages(rollout: Rollout, advantages_BGR: Any, rows: np.ndarray) -> np.ndarray:
    """[B, G]: the mean advantage of each answer's tokens. rows: of the rollout, which advantages_BGR begins with; what
    it has behind them is of replayed rows. Answers that are not learnt from have 0."""
    length_BG = sharding.whole(rollout.length_BG)
    mask_BGR = np.arange(rollout.response_BGR.shape[2]) < length_BG[rows][..., None]
    values_BGR = np.where(mask_BGR, sharding.whole(advantages_BGR)[: len(rows)], 0.0)
    found_BG = np.zeros(length_BG.shape)
    found_BG[rows] = values_BGR.sum(axis=-1) / np.maximum(length_BG[rows], 1)
    return found_BG


def save(folder: Path, step: int, scored: Scored, advantages_BG: np.ndarray) -> None:
    """Writes rollouts/step_<step>.jsonl: a line an answer. The first process writes, for all of them."""
    rows = [row for part in processes.gather(_rows(scored, advantages_BG)) for row in part]
    if processes.first():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        files.write_text(folder / f"step_{step:05d}.jsonl", "".join(lines))


def table(scored: Scored, advantages_BG: np.ndarray) -> list[str]:
    """Lines for a log: the best and the worst answer of a forget group and of a boundary group, each the first of its
    kind whose answers earned different rewards (or the first, where all earned the same)."""
    rows = _rows(scored, advantages_BG)
    G = advantages_BG.shape[1]
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        groups = [rows[at : at + G] for at in range(0, len(rows), G) if rows[at]["kind"] == kind]
        group = next((g for g in groups if len({row["reward"] for row in g}) > 1), groups[0])
        lines.append(f"  {kind}: {_cut(group[0]['prompt'], TEXT_WIDTH + 20)}")
        ranked = sorted(group, key=lambda row: -row["reward"])
        for word, row in (("best", ranked[0]), ("worst", ranked[-1])):
            parts = " ".join(f"{name}={value:g}" for name, value in row["parts"].items() if value)
            end = "" if row["finished"] else " (cut)"
            text = _cut(row["text"] + end, TEXT_WIDTH)
            numbers = f"reward {row['reward']:5.2f} advantage {row['advantage']:+5.2f}"
            lines.append(f"    {word:5} {numbers}  {text:{TEXT_WIDTH}}  {parts}")
    return [line.rstrip() for line in lines]


def _rows(scored: Scored, advantages_BG: np.ndarray) -> list[dict[str, Any]]:
    """This process's answers as JSON objects, in the order of `scored`."""
    G = advantages_BG.shape[1]
    return [
        {
            "row": row,
            "kind": record.kind,
            "prompt": record.prompt,
            "target": record.target,
            "entity": record.entity,
            "answers": list(record.answers),
            "text": answer.text,
            "finished": answer.finished,
            "tokens": length,
            "reward": score.total,
            "parts": dict(score.parts),
            "advantage": round(float(advantages_BG[row, number % G]), 6),
        }
        for number, (row, record, answer, length, score) in enumerate(
            zip(scored.rows, scored.asked, scored.answers, scored.lengths, scored.scores)
        )
    ]


def _cut(text: str, width: int) -> str:
    """One line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
