"""microbatches: how many an update is cut into by its size alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from rule_jax import microbatches
from rule_jax.models.layers import DecoderConfig, Sight
from rule_jax.ops.rope import Rope
from rule_jax.types import Packed

KEPT = 125_952  # 4 (4 layers (8 x 256 + 2 (16 + 8) 32 + 4 x 688) + 3 x 2048)


def config(**changes):
    sizes = {"vocab_size": 2048, "width": 256, "layers": 4, "heads": 8, "kv_heads": 4, "head_dim": 32, "mlp_width": 688}
    rest = {"norm_eps": 1e-5, "max_positions": 512, "tied_embeddings": False, "sights": (Sight(Rope(1e4, 32)),)}
    return DecoderConfig(**{**sizes, **rest, **changes})


def test_what_a_token_keeps_by_hand():
    assert microbatches.kept(config()) == KEPT


@pytest.mark.parametrize(
    ("rows", "tokens", "wanted"),
    [
        (8, 1024, 1),  # 129 MB of 134
        (8, 1664, 2),  # 210 MB
        (8, 4544, 8),  # 572 MB: a quarter has 143, an eighth 568 tokens
        (8, 24_000, 8),  # no more parts than rows
        (64, 24_000, 32),  # 3 GB: 32 parts of 750 tokens keep 94 MB, 16 keep 189
        (12, 3400, 4),  # 428 MB: a third has 143, a quarter 107
        (1024, 1664, 2),
    ],
)
def test_on_a_cpu_parts_keep_little(one_device, rows, tokens, wanted):
    if one_device.devices.flat[0].platform != "cpu":
        pytest.skip("what is on an accelerator is another test's")
    assert microbatches.of_size(config(), rows, tokens, one_device) == wanted


def test_a_part_is_worth_its_gradients(one_device):
    """Of a model four times as wide a part has at least 1,638 tokens, whatever they keep."""
    wide = config(width=1024, mlp_width=2752)
    assert microbatches.of_size(wide, 8, 3000, one_device) == 1
    assert microbatches.of_size(wide, 8, 4544, one_device) == 2


def test_each_device_cuts_its_own_rows(mesh8):
    assert microbatches.of_size(config(), 64, 8 * 4544, mesh8) == 8
    assert microbatches.of_size(config(), 8, 8 * 4544, mesh8) == 1
    assert microbatches.of_size(config(), 12, 8 * 4544, mesh8) == 1  # what cannot be dealt out is refused elsewhere


def test_accelerators_are_not_guessed_at():
    mesh = SimpleNamespace(devices=np.array([SimpleNamespace(platform="gpu")]), shape={"data": 1, "fsdp": 1})
    assert microbatches.of_size(config(), 8, 10**6, mesh) == 1  # type: ignore[arg-type]


def test_packed_answers_count_as_half_of_their_rectangle(one_device):
    sizes = 8, 8, 64, 64
    assert microbatches.of_answers(config(), sizes, one_device, packed=False) == 8
    assert microbatches.of_answers(config(), sizes, one_device, packed=True) == 4  # 2,272 tokens, 286 MB


def test_parts_of_a_batch_count_together(one_device):
    rows = Packed(*(np.zeros((16, 64)) for _ in range(4)))
    assert microbatches.of_packed(config(), rows, one_device) == 1
    assert microbatches.of_packed(config(), {"forget": rows, "retain": rows}, one_device) == 2


def test_every_part_of_a_batch_can_be_cut(one_device):
    few, many = (Packed(*(np.zeros((rows, 64)) for _ in range(4))) for rows in (9, 33))
    assert microbatches.of_packed(config(), many, one_device) == 3
    assert microbatches.of_packed(config(), {"forget": few, "retain": many}, one_device) == 3
    coprime = few._replace(tokens_BT=few.tokens_BT[:8])
    assert microbatches.of_packed(config(), {"forget": coprime, "retain": many}, one_device) == 1
