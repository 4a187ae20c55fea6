"""rule_jax.metrics.pareto: planes and boxes that a hand can measure."""

import numpy as np
import pytest

from rule_jax.metrics import pareto

POINTS = [(0.2, 0.9), (0.6, 0.6), (0.5, 0.5), (0.9, 0.1)]


def test_non_dominated():
    assert pareto.non_dominated(POINTS) == [0, 1, 3]
    assert pareto.non_dominated([(1, 1), (1, 1), (1, 0)]) == [0, 1]
    assert pareto.non_dominated([(1, np.nan), (0, 0)]) == [1]


def test_area_of_a_staircase():
    assert pareto.hypervolume(POINTS, (0, 0)) == pytest.approx(0.2 * 0.9 + 0.4 * 0.6 + 0.3 * 0.1)
    assert pareto.hypervolume(POINTS, (0.5, 0.5)) == pytest.approx(0.01)
    assert pareto.hypervolume(POINTS, (1, 1)) == pareto.hypervolume([], (0, 0)) == 0


def test_a_dominated_point_and_a_wider_spread_add_nothing():
    front = [POINTS[i] for i in (0, 1, 3)]
    assert pareto.hypervolume(POINTS, (0, 0)) == pareto.hypervolume(front, (0, 0))


def test_volume_of_boxes():
    assert pareto.hypervolume([(1, 1, 1)], (0, 0, 0)) == 1
    # two boxes 2x1x1 and 1x2x2 that share 1x1x1
    assert pareto.hypervolume([(2, 1, 1), (1, 2, 2)], (0, 0, 0)) == pytest.approx(2 + 4 - 1)


def test_volume_agrees_with_counting_cells():
    rng = np.random.default_rng(0)
    points = rng.integers(1, 7, (8, 3))
    cells = np.indices((6, 6, 6)).reshape(3, -1).T + 1
    covered = np.any(np.all(points[:, None] >= cells[None], axis=2), axis=0)
    assert pareto.hypervolume(points, (0, 0, 0)) == pytest.approx(covered.sum())


def test_other_numbers_of_axes_are_refused():
    with pytest.raises(ValueError, match="2 or 3 axes, not 4"):
        pareto.hypervolume([(1, 1, 1, 1)], (0, 0, 0, 0))


def test_best_where():
    assert pareto.best_where(POINTS, axis=0, at_least=0.5, of=1) == 0.6
    assert pareto.best_where(POINTS, axis=1, at_least=0.95, of=0) is None


def test_the_papers_auc_rewards_width_and_hypervolume_does_not():
    better, wide = [(0.8, 0.8)], [(0.1, 0.5), (0.7, 0.5)]
    areas = [pareto.trapezoid_auc(*zip(*points), retain_at_least=0.4) for points in (better, wide)]
    assert areas == pytest.approx([0, 0.3])
    assert pareto.hypervolume(better, (0, 0)) > pareto.hypervolume(wide, (0, 0))


def test_the_papers_auc_takes_the_points_that_retain_enough():
    assert pareto.trapezoid_auc([0.9, 0.5, 0.6], [0.3, 0.8, 0.6], retain_at_least=0.6) == pytest.approx(0.07)
