"""What a set of runs achieves on several axes at once, of which more is better: forget, retain, naturalness.

points: one row per run, one column per axis. A figure that is lower-is-better (a leak rate) goes in as 1 - rate.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from rule_jax.types import Array


def non_dominated(points: Array) -> list[int]:
    """The rows to which no other row is at least equal on every axis and better on one, in their order.

    Equal rows do not dominate each other. A row with a NaN is dominated: it claims nothing.
    """
    table = np.asarray(points, np.float64)
    kept = []
    for row, point in enumerate(table):
        dominated = np.all(table >= point, axis=1) & np.any(table > point, axis=1)
        if not np.any(np.isnan(point)) and not np.any(dominated):
            kept.append(row)
    return kept


def hypervolume(points: Array, reference: Sequence[float]) -> float:
    """The area (2 axes) or volume (3 axes) that the points dominate above the reference point.

    The figure to compare methods by: it grows with every point that adds something and with nothing else (Zitzler and
    Thiele 1998). Points that are not above the reference on every axis add nothing; the reference must be the same for
    all that is compared. Raises ValueError for another number of axes.
    """
    above = np.asarray(points, np.float64).reshape(-1, len(reference)) - np.asarray(reference, np.float64)
    if len(reference) not in (2, 3):
        raise ValueError(f"hypervolume takes 2 or 3 axes, not {len(reference)}")
    above = above[np.all(above > 0, axis=1)]
    return _area(above) if len(reference) == 2 else _volume(above)


def best_where(points: Array, *, axis: int, at_least: float, of: int) -> float | None:
    """The best value on axis `of` among the points with at least that much on `axis`; None when there is none.

    "Retain at forget score <= 20 %" is axis=forget, at_least=0.8, of=retain, with forget = 1 - score.
    """
    found = [point[of] for point in np.asarray(points, np.float64) if point[axis] >= at_least]
    return float(max(found)) if found else None


def trapezoid_auc(forget: Sequence[float], retain: Sequence[float], *, retain_at_least: float) -> float:
    """The area under one method's points in the forget-retain plane, as the paper prints it (arXiv 2506.07171, fig. 4).

    The points with at least that much retain, joined in the order of forget. It rewards a method for spreading its
    points, not for being better, and is 0 for one point; compare methods by `hypervolume`. Reconstructed from values
    read off the figure, whose printed areas it gives within 0.001.
    """
    kept = sorted((f, r) for f, r in zip(forget, retain, strict=True) if r >= retain_at_least)
    return sum((f1 - f0) * (r0 + r1) / 2 for (f0, r0), (f1, r1) in itertools.pairwise(kept))


def _area(points: np.ndarray) -> float:
    """Of rectangles from the origin, united: from the right to the left, each adds what rises above those before."""
    area = height = 0.0
    for x, y in sorted(points.tolist(), reverse=True):
        area += x * max(y - height, 0.0)
        height = max(height, y)
    return area


def _volume(points: np.ndarray) -> float:
    """Of boxes from the origin, united: slabs between the levels of the last axis, each as large as the area of the
    points that reach it."""
    volume = below = 0.0
    for level in np.unique(points[:, 2]).tolist():
        volume += (level - below) * _area(points[points[:, 2] >= level, :2])
        below = level
    return volume
