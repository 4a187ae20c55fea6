"""planning.needs: least times by hand, the whole of a run, and what a TPU's compiler says when it refuses."""

import pytest

from rule_jax.errors import UserError
from rule_jax.planning import needs
from rule_jax.planning.hlo import Cost
from rule_jax.planning.machines import CHIPS, PODS, Chip

CHIP = Chip(room=100, flops=10.0, bytes=4.0, link=2.0)


def need(program, stage, runs, **least):
    return needs.Need(program, stage, runs, 0.0, {}, None, Cost(), least)


def test_the_least_time_is_that_of_the_slowest_means():
    least = needs.roofline(Cost(30.0, 20.0, {}, 4.0), CHIP)
    assert least == {"compute": 3.0, "memory": 5.0, "interconnect": 2.0}
    assert (need("a", "b", 1, **least).step, need("a", "b", 1, **least).bound) == (5.0, "memory")
    alone = Chip(room=None, flops=10.0, bytes=4.0, link=None)
    assert needs.roofline(Cost(30.0, 20.0, {}, 4.0), alone) == {"compute": 3.0, "memory": 5.0}


def test_the_whole_of_a_run_is_what_its_programs_take_as_often_as_they_run():
    found = [
        need("rejection", "rejection_steering", 100, compute=1.0),
        need("rollout", "boundary_optimization", 20, memory=6.0),
        need("update", "boundary_optimization", 40, compute=2.0, interconnect=3.0),
        need("answers", "evaluate", 0, memory=50.0),
    ]
    whole = needs.whole(found, devices=18, sampled=600)
    assert whole.seconds == 100 + 20 * 6 + 40 * 3
    assert whole.chip_hours == pytest.approx(340 * 18 / 3600)
    assert whole.tokens_per_s == 20 * 600 / (20 * 6 + 40 * 3)
    assert needs.whole(found[:1], devices=18, sampled=600).tokens_per_s == 0.0


def test_what_the_compiler_of_a_tpu_refuses_is_read_from_its_words():
    said = "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (16.50G) exc"
    assert needs.refused(said) == int(16.5 * 2**30)
    with pytest.raises(UserError, match="the compiler failed: INTERNAL: no"):
        needs.refused("INTERNAL: no\nmore")


def test_every_generation_has_its_chip():
    """And its published figures are of the same kind."""
    assert len(CHIPS) == len(PODS) == 4
    for chip in CHIPS.values():
        assert 100 < chip.flops / chip.bytes < 600  # products for each byte: what published figures give
        assert 5e9 < chip.link < chip.bytes / 10
        assert 15 * 2**30 < chip.room < 96 * 2**30
