"""stages._exhaustion: where memory runs out, what lies there and which settings to turn."""

import json

import jax
import jax.numpy as jnp
import pytest
from tokenizers import Tokenizer, models

from configs import grpo
from rule_jax import files, sharding
from rule_jax.errors import UserError
from rule_jax.stages import Run
from rule_jax.stages import _exhaustion as exhaustion

LLAMA = {
    "model_type": "llama",
    "vocab_size": 8,
    "hidden_size": 4,
    "intermediate_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 16,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100.0,
    "tie_word_embeddings": False,
    "eos_token_id": 1,
}
PARAMETERS = 8 * 4 + 2 * (4 * 4 * 4 + 3 * 4 * 6 + 2 * 4) + 4 + 4 * 8  # embedding, two layers, the last norm, the head


@pytest.fixture
def made(tmp_path):
    """made(**changes) -> a run on four devices whose model is known by now, and the number of its parameters."""
    place = tmp_path / "model"
    files.write_json(place / "config.json", LLAMA)
    Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")).save(str(place / "tokenizer.json"))
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (place / "chat_template.jinja").write_text("{{ messages[0].content }}")
    files.write_json(tmp_path / "data" / "model.json", {"path": str(place)})
    mesh = sharding.make_mesh(data=1, fsdp=2, tensor=2, devices=jax.devices()[:4])

    def make(**changes):
        config = grpo.get_config()
        config.update_from_flattened_dict(changes)
        return Run(config, tmp_path, tmp_path, mesh), PARAMETERS

    return make


def test_exhaustion_of_a_device_names_sizes_and_knobs(made):
    run, _ = made()
    with pytest.raises(UserError) as caught, exhaustion.told(run, "boundary_optimization"):
        jax.block_until_ready(jnp.zeros(2**42, jnp.float32) + 1)  # 16 TiB, which no machine gives
    text = str(caught.value)
    assert text.startswith("boundary_optimization ran out of memory (RESOURCE_EXHAUSTED")
    for said in ("17592186044416 bytes", "parameters for sampling", "samples=8 down", "logit_chunk=0 to 256"):
        assert said in text
    assert "\n" not in text


def test_what_lies_on_a_device_at_each_stage(made):
    run, n = made()
    steering = {"parameters": n, "moments": 2 * n, "gradients": n}  # float32, a fourth of them on each of four devices
    assert exhaustion.sizes(run, "rejection_steering") == steering
    assert exhaustion.sizes(run, "baseline") == steering
    sampling = {**steering, "reference": n, "parameters for sampling": 2 * n}  # spread over `tensor` alone
    assert exhaustion.sizes(run, "boundary_optimization") == sampling
    assert exhaustion.sizes(run, "evaluate") == {"parameters": 2 * n}


def test_the_options_that_save_memory_are_counted(made):
    run, n = made(**{"model.reference_memory": "host", "model.moments_dtype": "bfloat16"})
    found = exhaustion.sizes(run, "boundary_optimization")
    assert found == {"parameters": n, "moments": n, "gradients": n, "parameters for sampling": 2 * n}


def test_knobs_that_are_turned_already_are_left_out(made):
    run, _ = made(**{"model.logit_chunk": 256, "model.remat": True, "model.moments_dtype": "bfloat16", "lora.rank": 4})
    assert [knob.split("=")[0] for knob in exhaustion.knobs(run, "boundary_optimization")] == [
        "config.boundary_optimization.microbatches",
        "config.boundary_optimization.samples",
        "config.boundary_optimization.max_new_tokens",
        "config.mesh.fsdp",
    ]


def test_other_errors_pass(made):
    with pytest.raises(KeyError), exhaustion.told(made()[0], "evaluate"):
        raise KeyError("layers")
