"""planning.search: every mesh shape, options in their order, what is certain, and what comes out of compiling."""

import itertools
import math

import jax
import pytest

from configs import grpo
from rule_jax.errors import UserError
from rule_jax.planning import search as searching
from rule_jax.planning.machines import Chip, devices
from rule_jax.planning.needs import compiled
from rule_jax.planning.shapes import programs_of, subject
from rule_jax.stages import sparing_attention
from tests.test_plan import SMALL, path  # noqa: F401 (a fixture)

ROOMY = Chip(room=10**9, flops=1e12, bytes=1e11, link=1e10)


@pytest.fixture
def config(path):  # noqa: F811
    config = grpo.get_config()
    config.update_from_flattened_dict({**SMALL, "model.path": path})
    return config


def test_every_way_to_lay_devices_out_once():
    found = [tuple(mesh.values()) for mesh in searching.meshes(12)]
    assert len(set(found)) == len(found) == 18
    assert all(math.prod(mesh) == 12 for mesh in found)


def test_options_add_up_from_none_to_all(config):
    ladder = searching.options(config, {"data": 1, "fsdp": 2, "tensor": 4})
    assert ladder[0] == {}
    assert all(less.keys() <= more.keys() and less != more for less, more in itertools.pairwise(ladder))
    parts = [step.get("boundary_optimization.rollout_parts", 1) for step in ladder]
    assert parts == sorted(parts)
    assert parts[-1] == ladder[-1]["boundary_optimization.microbatches"] == 4  # eight prompts over two ways
    assert ladder[-1]["model.reference_memory"] == "host"
    config.lora.rank = 2
    assert "model.reference_memory" not in searching.options(config, {"data": 1, "fsdp": 2, "tensor": 4})[-1]


def test_microbatches_divide_an_update_of_what_is_learnt_from(config):
    mesh, changes = {"data": 2, "fsdp": 1, "tensor": 1}, {"algorithm.updates.minibatches": 2}
    for kept, wanted in ((0, 2), (4, 1)):  # of eight prompts
        config.update_from_flattened_dict({**changes, "boundary_optimization.kept_prompts": kept})
        settings = searching.options(config, mesh)[1]
        assert settings["boundary_optimization.microbatches"] == wanted
        searching.run_of(config, jax.devices()[:2], mesh, settings)  # which refuses what does not divide


def test_attention_that_keeps_no_scores_comes_before_computing_anew(config):
    sizes = {"data": 1, "fsdp": 2, "tensor": 4}
    assert not any("model.attention" in settings for settings in searching.options(config, sizes))
    first = [settings for settings in searching.options(config, sizes, "splash") if "model.remat" not in settings]
    assert first[-1]["model.attention"] == "splash"
    assert first[-1].items() > first[-2].items()


@pytest.mark.slow
def test_the_search_on_a_slice_tries_its_kernel(config):
    pytest.importorskip("libtpu")
    slice_ = devices("v5e:2x2")
    for choices in searching.by_mesh(config, slice_, ROOMY):
        assert [choice.settings.get("model.attention") for choice in choices][:3] == [None, None, "splash"]
    run = searching.run_of(config, slice_, {"data": 1, "fsdp": 4, "tensor": 1}, {})
    assert sparing_attention(run, subject(run).model) == "splash"
    run = searching.run_of(config, slice_, {"data": 1, "fsdp": 4, "tensor": 1}, {"model.attention": "splash"})
    assert sparing_attention(run, subject(run).model) is None


def test_shapes_that_do_not_divide_the_run_are_left_out(config):
    config.update_from_flattened_dict({"boundary_optimization.forget_prompts": 1, "rejection_steering.batch": 1})
    config.update_from_flattened_dict({"boundary_optimization.boundary_prompts": 0})
    found = searching.by_mesh(config, jax.devices(), ROOMY)
    assert found == []  # one prompt, and eight devices but four heads
    shapes = [choices[0].mesh for choices in searching.by_mesh(config, jax.devices()[:4], ROOMY)]
    assert shapes == [{"data": 1, "fsdp": 1, "tensor": 4}]


def test_what_is_certain_is_less_than_what_is_compiled(config):
    for settings in ({}, {"boundary_optimization.microbatches": 4, "model.remat": True}):
        run = searching.run_of(config, jax.devices()[:2], {"data": 1, "fsdp": 1, "tensor": 2}, settings)
        made = {program.name: program for program in programs_of(run)}
        device = run.mesh.devices.flat[0]
        most = max(compiled(made[name], device, ROOMY).total for name in searching.LARGEST)
        assert 0.1 * most < searching.certain(run, made) < most


@pytest.mark.slow
def test_as_many_shapes_as_are_wanted(config):
    found = list(searching.search(config, jax.devices()[:2], ROOMY, 2))
    assert [one.fits for one in found] == [True, True]
    assert len({tuple(one.choice.mesh.values()) for one in found}) == 2
    assert all(one.choice.settings == {} and one.step > 0 for one in found)


@pytest.mark.slow
def test_options_are_taken_until_it_fits(config):
    """A device between what the run needs with and without them."""
    devices, mesh = jax.devices()[:1], {"data": 1, "fsdp": 1, "tensor": 1}
    config.update_from_flattened_dict({"boundary_optimization.max_prompt_tokens": 512})

    def most(settings):
        run = searching.run_of(config, devices, mesh, settings)
        return max(compiled(p, devices[0], ROOMY).total for p in programs_of(run) if p.name in searching.LARGEST)

    ladder = searching.options(config, mesh)
    without, small = most(ladder[0]), most(ladder[1])
    assert small < without
    room = Chip(room=(small + without) // 2, flops=1e12, bytes=1e11, link=1e10)
    *short, last = searching.search(config, devices, room, 1)
    assert [one.fits for one in short] == [False] * len(short)
    assert last.fits
    assert last.choice.settings == ladder[1]


def test_a_device_that_holds_nothing_is_told(config):
    tiny = Chip(room=1000, flops=1e12, bytes=1e11, link=1e10)
    with pytest.raises(UserError, match=r"no mesh of 2 x cpu holds this run.*take more or larger devices"):
        list(searching.search(config, jax.devices()[:2], tiny, 1))
