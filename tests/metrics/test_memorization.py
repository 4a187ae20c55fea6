"""rule_jax.metrics.memorization: shares of tokens by hand."""

import math

from rule_jax.metrics import memorization as m


def test_shares():
    right = [True, False, True, True]
    assert m.exact_memorization(right) == 0.75
    assert m.extraction_strength(right) == m.extraction_strength_compat(right) == 0.5


def test_the_released_code_never_gives_less_than_one_token():
    right = [True, True, False]
    assert m.extraction_strength(right) == 0
    assert m.extraction_strength_compat(right) == 1 / 3
    assert m.extraction_strength([True, True]) == 1


def test_no_tokens_is_no_figure():
    for figure in (m.exact_memorization, m.extraction_strength, m.extraction_strength_compat):
        assert math.isnan(figure([]))
