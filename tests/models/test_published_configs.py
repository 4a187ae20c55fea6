"""Published models, by the config.json that they came with (what matters of it): their parameters are counted.

The counts are those of the model cards and of the checkpoints' headers.
"""

import jax
import pytest

from rule_jax import plugin
from rule_jax.models import decoder
from rule_jax.models.layers import Sight

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def sizes(kind, vocabulary, width, inner, layers, heads, kv_heads, positions, **rest):
    return {
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": positions,
        "rms_norm_eps": 1e-5,
        **rest,
    }


MINI_FACTORS = {"short_factor": [1.0] * 48, "long_factor": [1.1] * 48, "type": "longrope"}
PUBLISHED = {
    "Llama-2-7b": (sizes("llama", 32000, 4096, 11008, 32, 32, 32, 4096), 6_738_415_616),
    "Llama-3.1-8B": (
        sizes("llama", 128256, 4096, 14336, 32, 32, 8, 131072, rope_theta=5e5, rope_scaling=LLAMA3),
        8_030_261_248,
    ),
    "Llama-3.2-1B": (
        sizes("llama", 128256, 2048, 8192, 16, 32, 8, 131072, tie_word_embeddings=True, rope_scaling=LLAMA3),
        1_235_814_400,
    ),
    "Mistral-7B-v0.1": (sizes("mistral", 32000, 4096, 14336, 32, 32, 8, 32768, sliding_window=4096), 7_241_732_096),
    "Mistral-Nemo": (
        sizes("mistral", 131072, 5120, 14336, 40, 32, 8, 1024000, head_dim=128, sliding_window=None),
        12_247_782_400,
    ),
    "Qwen2.5-7B": (
        sizes("qwen2", 152064, 3584, 18944, 28, 28, 4, 32768, use_sliding_window=False, sliding_window=131072),
        7_615_616_512,
    ),
    "Qwen2.5-0.5B": (sizes("qwen2", 151936, 896, 4864, 24, 14, 2, 32768, tie_word_embeddings=True), 494_032_768),
    "Qwen3-8B": (sizes("qwen3", 151936, 4096, 12288, 36, 32, 8, 40960, head_dim=128), 8_190_735_360),
    "Phi-3-mini-4k": (sizes("phi3", 32064, 3072, 8192, 32, 32, 32, 4096, sliding_window=2047), 3_821_079_552),
    "Phi-3.5-mini": (
        sizes(
            "phi3", 32064, 3072, 8192, 32, 32, 32, 131072, sliding_window=262144, rope_scaling=MINI_FACTORS,
            original_max_position_embeddings=4096,
        ),
        3_821_079_552,
    ),
    "gemma-2-2b": (sizes("gemma2", 256000, 2304, 9216, 26, 8, 4, 8192, head_dim=256), 2_614_341_888),
    "gemma-2-9b": (sizes("gemma2", 256000, 3584, 14336, 42, 16, 8, 8192, head_dim=256), 9_241_705_984),
    "gemma-3-1b": (
        sizes("gemma3_text", 262144, 1152, 6912, 26, 4, 1, 32768, head_dim=256, sliding_window=512, rope_theta=1e6),
        999_885_952,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_counted_right(name):
    hf, count = PUBLISHED[name]
    family = plugin.load("models.families", hf["model_type"])
    model = decoder.make(family.config(hf))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
    named = {tensor.path for tensor in family.tensors(model.config)}
    assert named == {tuple(k.key for k in path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)}


def config_of(name):
    hf, _ = PUBLISHED[name]
    return plugin.load("models.families", hf["model_type"]).config(hf)


def windows(name):
    config = config_of(name)
    return [config.sights[layer % len(config.sights)].window for layer in range(config.layers)]


def test_windows_of_published_models():
    assert set(windows("Mistral-7B-v0.1")) == {4096}
    assert set(windows("Mistral-Nemo")) == set(windows("Qwen2.5-7B")) == set(windows("Qwen3-8B")) == {None}
    assert set(windows("Phi-3-mini-4k")) == {2047}
    assert windows("gemma-2-2b") == [4096, None] * 13
    assert windows("gemma-3-1b") == ([512] * 5 + [None]) * 4 + [512] * 2


def test_constants_of_published_models():
    gemma2, gemma3, phi = config_of("gemma-2-9b"), config_of("gemma-3-1b"), config_of("Phi-3.5-mini")
    assert (gemma2.attention_softcap, gemma2.logit_softcap, gemma2.attention_scale) == (50.0, 30.0, 1 / 16)
    assert (gemma3.attention_softcap, gemma3.logit_softcap) == (None, None)
    near, far = gemma3.sights[0], gemma3.sights[5]
    assert (near.rope.theta, far.rope.theta) == (10000.0, 1000000.0)
    scaling = dict(phi.sights[0].rope.scaling)
    assert scaling["attention_factor"] == pytest.approx(1.1902380714238083)  # sqrt(1 + ln 32 / ln 4096)
    assert config_of("Llama-3.1-8B").sights == (Sight(config_of("Llama-3.1-8B").sights[0].rope),)
