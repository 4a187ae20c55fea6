"""rule_jax.growth: exponents by hand, what the page says of them, and real processes on a model without weights."""

import json
import subprocess
import sys

import jax
import pytest

from configs import grpo
from rule_jax import files
from rule_jax.planning import growth
from rule_jax.planning.phases import Shape, shaped
from rule_jax.reporting import growth_page
from rule_jax.stages import _world_model
from tests.runs import ROOT, cache_in, environment

B, G, P, R = 16, 2, 16, 4
L, D, H, F, V = 2, 16, 2, 24, 300
BASE = growth.Sizes(B, G, P, R, V, L)
COUNTED = {"flops": [1, 2, 4], "bytes": [4, 4, 9], "temporaries": [1.0, 2.2, 4.9], "seconds": [5, 5, 5]}
SPREAD = {"flops": [8, 4, 2], "bytes": [6, 6, 6], "held": [5, 4, 4]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """config.json and nothing else that is read."""
    place = tmp_path_factory.mktemp("growth") / "model"
    settings = grpo.get_config().world
    settings.update({"vocab_size": V, "width": D, "layers": L, "heads": H, "mlp_width": F})
    _world_model._write_config(place, settings)
    return place


def grow(directory, out, *more):
    shape = [f"--prompts={B}", f"--group={G}", f"--prompt_len={P}", f"--new_tokens={R}", "--repeats=1"]
    where = [f"--model={directory}", f"--out={out}", f"--cache_dir={cache_in(directory.parent)}"]
    command = [sys.executable, "-m", "rule_jax.growth", *where, *shape, *more]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)


def test_an_exponent_is_the_slope_through_the_logarithms():
    assert growth.exponent([3, 6, 12], [5, 20, 80]) == pytest.approx(2.0)
    # In powers of two: the sizes -1, 0, 1 about their mean, the figures 0, 0, 3, so (-1 * 0 + 0 * 0 + 1 * 3) / 2.
    assert growth.exponent([1, 2, 4], [1, 1, 8]) == pytest.approx(1.5)
    assert growth.exponent([1, 2], [4, 1]) == pytest.approx(-2.0)
    assert growth.exponent([1, 2], [0, 3]) is None


def test_what_grows_faster_than_allowed_is_named():
    """By its last doubling alone, or as a whole."""
    assert growth.row("prompts", "rollout", [8, 16, 32], COUNTED)["faster"] == ["bytes", "temporaries"]
    assert growth.row("prompt_len", "rollout", [8, 16, 32], COUNTED)["faster"] == []


def test_work_that_every_device_repeats_is_too_much():
    assert growth.row("devices", "update", [1, 2, 4], SPREAD)["faster"] == []
    repeated = {"flops": [8, 8, 8], "bytes": [6, 6, 6], "held": [5, 6, 7]}
    assert growth.row("devices", "update", [1, 2, 4], repeated)["faster"] == ["flops", "held"]


def test_a_deeper_model_repeats_its_kinds_of_layers(tmp_path):
    fields = {"model_type": "gemma2", "num_hidden_layers": 2, "vocab_size": 10, "eos_token_id": [1, 7]}
    kinds = ["sliding_attention", "full_attention"]
    files.write_json(tmp_path / "source" / "config.json", {**fields, "layer_types": kinds})
    place = growth.scaled(tmp_path / "source", tmp_path / "place", BASE._replace(vocab=20, layers=4))
    deeper = {**fields, "num_hidden_layers": 4, "vocab_size": 20, "layer_types": kinds * 2}
    assert files.read_json(place / "config.json") == deeper
    assert files.read_json(place / "generation_config.json") == {"eos_token_id": [1, 7]}


def test_one_size_is_doubled_and_the_others_stay():
    assert BASE.along("group", 2) == [BASE, BASE._replace(group=2 * G), BASE._replace(group=4 * G)]


def test_the_page_says_what_grows_faster_and_what_is_sent():
    sent = {"collectives": [{}, {"all-reduce": (3.0, 1200.0)}, {"all-reduce": (3.0, 1200.0)}]}
    spread = {**growth.row("devices", "update", [1, 2, 4], SPREAD), **sent}
    found = {"device": "cpu", "devices": 1, "dtype": "float32", "base": BASE._asdict(), "rows": [spread]}
    page = growth_page.render(found)
    assert "Nothing that is counted grows faster than the mathematics allows." in page
    assert page.count("<svg ") == 3
    assert "1,200 bytes" in page
    assert "update: 0.25 times at 4 times the size; at most the power -1" in page

    faster = growth.row("prompts", "rollout", [8, 16, 32], COUNTED)
    page = growth_page.render({**found, "rows": [faster, spread]})
    assert "Nothing that is counted" not in page
    assert "rollout, Bytes, by prompts of a step: exponent 0.58, 1.17 in the last doubling, 1 at most" in page

    slow = growth.row("prompts", "rollout", [8, 16, 32], {"cpu": [1, 2, 6], "flops": [1, 2, 4]})
    page = growth_page.render({**found, "rows": [slow]})
    assert "Nothing that is counted grows faster than the mathematics allows." in page
    assert "rollout, Seconds of all cores, by prompts of a step: exponent 1.29, 1.58 in the last doubling" in page


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--dimensions=layer", "Did you mean 'layers'?"),
        pytest.param("--phases=reward", "what grows is told of rollout, update, score, sft", marks=pytest.mark.slow),
        pytest.param("--mesh=data=1", "along devices one of its axes must be -1", marks=pytest.mark.slow),
        pytest.param("--prompts=3", "must be a positive multiple of 2", marks=pytest.mark.slow),
    ],
)
def test_what_a_user_can_mend_is_one_line(directory, tmp_path, flag, words):
    done = grow(directory, tmp_path, "--doublings=1", flag)
    assert done.returncode == 2
    assert words in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [done.stderr.splitlines()[-1]]
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_nothing_that_is_counted_grows_faster_than_the_mathematics_says(directory, tmp_path):
    done = grow(directory, tmp_path, "--doublings=1", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    said = json.loads(done.stdout)
    assert said == files.read_json(tmp_path / "growth.json")
    assert (tmp_path / "growth.html").read_text().count("<svg ") == 6 * 5 + 3
    flops = {(row["dimension"], row["phase"]): row["figures"]["flops"] for row in said["rows"]}
    assert {dimension for dimension, _ in flops} == {*growth.LIMITS}
    texts, T = B * G, P + R
    layer, head = 2 * (4 * D * D + 3 * D * F), 2 * D * V
    once = texts * T * (L * (layer + 4 * T * D) + head)
    assert flops["prompts", "score"] == flops["group", "score"] == [once, 2 * once]
    assert flops["vocab", "score"] == [once, once + texts * T * head]
    assert flops["layers", "score"] == [once, once + texts * T * L * (layer + 4 * T * D)]
    for phase in ("rollout", "update"):
        assert flops["prompts", phase][1] == 2 * flops["prompts", phase][0]
        assert flops["devices", phase][1] == flops["devices", phase][0] / 2


@pytest.mark.slow
def test_eight_devices_share_the_work_of_one(directory, eight_devices):
    config = shaped(grpo.get_config(), Shape(B, G, P, R))
    config.model.path = str(directory)
    rows = {row["phase"]: row for row in growth.by_devices(config, jax.devices()[:8], 3)}
    for name in ("rollout", "update"):
        assert rows[name]["figures"]["flops"] == [rows[name]["figures"]["flops"][0] / n for n in (1, 2, 4, 8)]
    assert not any(row["faster"] for row in rows.values())
    assert rows["update"]["collectives"][0] == {}
    assert "all-reduce" in rows["update"]["collectives"][3]
