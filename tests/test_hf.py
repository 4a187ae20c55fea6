"""rule_jax.hf: a model directory in and out, bit for bit, on any mesh; and every directory that cannot be used."""

import json
import resource
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from rule_jax import hf, plugin, sharding
from rule_jax.errors import UserError
from rule_jax.hf import _import
from rule_jax.hf._directory import family
from rule_jax.hf._source import Source
from rule_jax.text import chat

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5000.0,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "attention_bias": True,
    "mlp_bias": True,
    "eos_token_id": 2,
}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


def shapes(config):
    """name -> shape of every tensor of such a checkpoint, written down from the format and not from our code."""
    D, F = config["hidden_size"], config["intermediate_size"]
    H, K = config["num_attention_heads"], config["num_key_value_heads"]
    C = config.get("head_dim") or D // H
    found = {"model.embed_tokens.weight": (config["vocab_size"], D), "model.norm.weight": (D,)}
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (config["vocab_size"], D)
    linear = {f"self_attn.{n}_proj": s for n, s in zip("qkvo", ((H * C, D), (K * C, D), (K * C, D), (D, H * C)))}
    linear |= {"mlp.gate_proj": (F, D), "mlp.up_proj": (F, D), "mlp.down_proj": (D, F)}
    for layer in range(config["num_hidden_layers"]):
        for name, shape in linear.items():
            found[f"model.layers.{layer}.{name}.weight"] = shape
            if config["attention_bias" if "attn" in name else "mlp_bias"]:
                found[f"model.layers.{layer}.{name}.bias"] = shape[:1]
        found[f"model.layers.{layer}.input_layernorm.weight"] = (D,)
        found[f"model.layers.{layer}.post_attention_layernorm.weight"] = (D,)
    return found


def write_directory(path, dtype: Any = np.float32, extra=None, **changes):
    """A model directory with random weights, written without our code. Returns its tensors."""
    config = {**CONFIG, "dtype": np.dtype(dtype).name, **changes}
    if "torch_dtype" in config:  # the older name of the same field
        del config["dtype"]
    config = {key: value for key, value in config.items() if value is not None}
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(len(config))
    tensors = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes(config).items()}
    save_file(tensors | (extra or {}), path / "model.safetensors", metadata={"format": "pt"})
    return tensors


def read_directory(path):
    return {name: t for file in path.glob("*.safetensors") for name, t in load_file(file).items()}


def assert_bitwise(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert found[name].tobytes() == tensor.tobytes(), name


def message(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text


# Round trips


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("tied", [False, True])
def test_import_then_export_is_bitwise(tmp_path, dtype, tied):
    tensors = write_directory(tmp_path / "in", dtype, tie_word_embeddings=tied)
    model, params = hf.load(tmp_path / "in")
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in")
    assert_bitwise(read_directory(tmp_path / "out"), tensors)
    assert ("lm_head.weight" in read_directory(tmp_path / "out")) is not tied
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == np.dtype(dtype).name


def test_export_in_several_files_with_an_index(tmp_path):
    tensors = write_directory(tmp_path / "in")
    model, params = hf.load(tmp_path / "in")
    limit = 20_000
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in", shard_bytes=limit)
    files = sorted(file.name for file in (tmp_path / "out").glob("*.safetensors"))
    assert len(files) > 2
    assert files == [f"model-{i + 1:05d}-of-{len(files):05d}.safetensors" for i in range(len(files))]
    for file in files:
        assert sum(t.nbytes for t in load_file(tmp_path / "out" / file).values()) <= limit
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values())
    assert {name: tensors[name].tobytes() for name in index["weight_map"]} == {
        name: load_file(tmp_path / "out" / file)[name].tobytes() for name, file in index["weight_map"].items()
    }
    again = hf.load(tmp_path / "out")[1]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), params, again)))


def test_export_in_another_dtype_and_import_in_another(tmp_path):
    tensors = write_directory(tmp_path / "in")
    model, params = hf.load(tmp_path / "in")
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in", dtype=jnp.bfloat16)
    assert_bitwise(read_directory(tmp_path / "out"), {k: t.astype(ml_dtypes.bfloat16) for k, t in tensors.items()})
    _, half = hf.load(tmp_path / "in", dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {np.dtype(ml_dtypes.bfloat16)}


def test_tensors_that_say_nothing_new_are_tolerated(tmp_path):
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)}
    tensors = write_directory(tmp_path / "in", extra=extra, tie_word_embeddings=True)
    rewrite(tmp_path / "in", lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}))
    model, params = hf.load(tmp_path / "in")
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in")
    assert_bitwise(read_directory(tmp_path / "out"), tensors)


def test_a_tied_head_that_is_stored_and_differs_is_refused(tmp_path):
    # transformers does not tie then: read as tied, it would be another model.
    tensors = write_directory(tmp_path, tie_word_embeddings=True)
    other = tensors["model.embed_tokens.weight"].copy()
    other[-1, -1] += 1
    rewrite(tmp_path, lambda t: t.update({"lm_head.weight": other}))
    assert "lm_head.weight differs from model.embed_tokens.weight" in message(hf.load, tmp_path)


def test_each_tensor_is_exported_in_the_dtype_it_came_in(tmp_path):
    tensors = write_directory(tmp_path / "in", ml_dtypes.bfloat16)
    mixed = {
        n: t.astype(np.float32 if "norm" in n else np.float16 if "bias" in n else t.dtype) for n, t in tensors.items()
    }
    rewrite(tmp_path / "in", lambda t: t.update(mixed))
    model, params = hf.load(tmp_path / "in")
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in")
    assert_bitwise(read_directory(tmp_path / "out"), mixed)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 2, 2), (8, 1, 1)])
def test_large_parameters_are_filled_piece_by_piece(tmp_path, monkeypatch, sizes):
    tensors = write_directory(tmp_path / "in", ml_dtypes.bfloat16)
    monkeypatch.setattr(_import, "PIECE_BYTES", 700)  # a row of 32 float32 is 128: pieces of 5, and a rest
    axis_types = (jax.sharding.AxisType.Auto,) * 3
    mesh = jax.make_mesh(sizes, sharding.AXES, axis_types=axis_types, devices=jax.devices()[: int(np.prod(sizes))])
    largest = []
    read = Source.read

    def seen(self, name, index):
        part = read(self, name, index)
        largest.append(part.nbytes)
        return part

    monkeypatch.setattr(Source, "read", seen)
    model, params = hf.load(tmp_path / "in", mesh)
    assert max(largest) <= 700
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in")
    assert_bitwise(read_directory(tmp_path / "out"), tensors)


def test_what_a_directory_carries_beside_its_weights(tmp_path):
    write_directory(tmp_path / "in", dtype=np.float16, torch_dtype="float16", some_future_field={"kept": [1]})
    beside = {"tokenizer.json": "{}", "chat_template.jinja": "{{ x }}", "generation_config.json": '{"eos_token_id": 2}'}
    for name, text in {**beside, "optimizer.bin": "no", "notes.txt": "no"}.items():
        (tmp_path / "in" / name).write_text(text)
    model, params = hf.load(tmp_path / "in")
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in", card="# A card\n")
    out = {file.name: file for file in (tmp_path / "out").iterdir()}
    assert out.keys() == {*beside, "config.json", "model.safetensors", "README.md"}
    assert {name: out[name].read_text() for name in beside} == beside
    assert out["README.md"].read_text() == "# A card\n"
    config = json.loads(out["config.json"].read_text())
    assert config["some_future_field"] == {"kept": [1]}
    assert "torch_dtype" not in config
    assert config["dtype"] == "float16"
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in out.values())  # others may read it


# Dialects


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"rope_theta": 700.0}, {"rope_type": "default", "rope_theta": 700.0}),
        (
            {"rope_theta": 700.0, "rope_scaling": {"type": "linear", "factor": 2.0}},
            {"rope_type": "linear", "factor": 2.0, "rope_theta": 700.0},
        ),
        (
            {"rope_theta": 700.0, "rope_scaling": {"rope_type": "llama3", "type": "llama3", **LLAMA3}},
            {"rope_type": "llama3", "rope_theta": 700.0, **LLAMA3},
        ),
    ],
)
def test_both_dialects_of_rope_mean_the_same(tmp_path, older, newer):
    write_directory(tmp_path / "older", **older)
    write_directory(tmp_path / "newer", rope_theta=None, rope_parameters=newer)
    config = hf.load_model(tmp_path / "older").config
    assert config == hf.load_model(tmp_path / "newer").config
    (sight,) = config.sights
    assert sight.rope.theta == 700.0
    assert (sight.rope.scaling is None) is (newer["rope_type"] == "default")


def test_eos_ids(tmp_path):
    write_directory(tmp_path)
    assert hf.eos_ids(tmp_path) == (2,)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    assert hf.eos_ids(tmp_path) == (7, 9)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": null}')
    assert hf.eos_ids(tmp_path) == (2,)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert "neither generation_config.json nor config.json states eos_token_id" in message(hf.eos_ids, tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": "</s>"}')
    assert "eos_token_id is '</s>'" in message(hf.eos_ids, tmp_path)


# Sharded


@pytest.mark.parametrize("sizes", [(1, 4, 2), (1, 8, 1), (2, 2, 2), (1, 2, 4)])
def test_loaded_in_shards_equals_loaded_whole(tmp_path, sizes):
    tensors = write_directory(tmp_path / "in", ml_dtypes.bfloat16)
    data, fsdp, tensor = sizes
    mesh = sharding.make_mesh(data=data, fsdp=fsdp, tensor=tensor)
    model, whole = hf.load(tmp_path / "in")
    _, spread = hf.load(tmp_path / "in", mesh)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), whole, spread)
    kernel = spread["layers"]["attention"]["query_kernel"]
    shard = kernel.addressable_shards[0].data
    assert shard.size * fsdp * tensor == kernel.size
    key = spread["layers"]["attention"]["key_bias"]  # 2 heads: spread over 2, replicated where 4 ways do not divide
    assert key.addressable_shards[0].data.shape == ((2, 1, 8) if tensor == 2 else (2, 2, 8))
    hf.save(tmp_path / "out", model, spread, like=tmp_path / "in")
    assert_bitwise(read_directory(tmp_path / "out"), tensors)


def test_a_mesh_that_does_not_fit_names_dimension_and_axis(tmp_path):
    write_directory(tmp_path)
    mesh = sharding.make_mesh(data=1, fsdp=1, tensor=8)
    assert "mesh axis tensor=8 does not divide the model's heads of 4" in message(hf.load, tmp_path, mesh)


# Exports that fail


def test_a_failed_export_leaves_the_old_one_whole(tmp_path):
    write_directory(tmp_path / "in")
    model, params = hf.load(tmp_path / "in")
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in", card="old")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    layers = {name: part for name, part in params["layers"].items() if name != "mlp"}
    with pytest.raises(KeyError):
        hf.save(tmp_path / "out", model, {**params, "layers": layers}, like=tmp_path / "in", shard_bytes=20_000)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_a_full_disk_leaves_nothing_that_looks_like_a_model(tmp_path):
    write_directory(tmp_path / "in")
    model, params = hf.load(tmp_path / "in")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))  # files of the second shard's size are refused
    try:
        with pytest.raises(UserError):
            hf.save(tmp_path / "out", model, params, like=tmp_path / "in", shard_bytes=60_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_an_export_replaces_what_was_there_and_leaves_no_drafts(tmp_path):
    write_directory(tmp_path / "in")
    model, params = hf.load(tmp_path / "in")
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in", shard_bytes=20_000)
    (tmp_path / "out" / "stale.txt").write_text("from before")
    hf.save(tmp_path / "out", model, params, like=tmp_path / "in")
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
    assert (tmp_path / "out").stat().st_mode & 0o055 == 0o055


# Directories that cannot be used


def rewrite(path, change):
    """Writes the directory's tensors again after change(tensors)."""
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors")


def index_to(path, weight_map):
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def truncate(path):
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[: len(content) // 2])


def only_pickles(path):
    (path / "model.safetensors").unlink()
    (path / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def only(name):
    """A directory that has, in place of its weights, a file of that name."""
    return lambda path: (path / "model.safetensors").rename(path / name)


Q0 = "model.layers.0.self_attn.q_proj.weight"
BAD = {
    "no config": (lambda p: (p / "config.json").unlink(), ["has no config.json", "model.safetensors"]),
    "config not JSON": (lambda p: (p / "config.json").write_text("{,"), ["config.json", "not valid JSON"]),
    "config a list": (lambda p: (p / "config.json").write_text("[]"), ["config.json", "list", "expected an object"]),
    "no weights": (lambda p: (p / "model.safetensors").unlink(), ["has no .safetensors file"]),
    "pickles": (only_pickles, ["pytorch_model.bin is a pickle, which is never read", "safetensors"]),
    "a checkpoint": (only("model.ckpt"), ["model.ckpt is a pickle, which is never read"]),
    "an archive": (only("model.zip"), ["model.zip is an archive, which is never read", "save_pretrained"]),
    "another format": (only("model.gguf"), ["model.gguf is of another format, which is never read"]),
    "truncated": (truncate, ["model.safetensors is not a readable safetensors file"]),
    "no header": (lambda p: (p / "model.safetensors").write_bytes(b"junk"), ["is not a readable safetensors file"]),
    "empty": (lambda p: (p / "model.safetensors").write_bytes(b""), ["is not a readable safetensors file"]),
    "index to nowhere": (
        lambda p: index_to(p, {"a": "model-00001-of-00001.safetensors"}),
        ["index.json points at files that are not there", "model-00001-of-00001.safetensors"],
    ),
    "index of numbers": (lambda p: index_to(p, {"a": 3}), ["index.json has no weight_map"]),
    "index that leaves the folder": (
        lambda p: index_to(p, {"a": f"../{p.name}/model.safetensors"}),
        ["points outside its own folder", "../"],
    ),
    "index of its folder": (lambda p: index_to(p, {"a": ".."}), ["points outside its own folder", ".."]),
    "index of an endless name": (lambda p: index_to(p, {"a": "x" * 300}), ["points outside its own folder", "xxx"]),
    "index of nothing": (lambda p: index_to(p, {}), ["index.json has no weight_map"]),
    "index a list": (lambda p: index_to(p, ["a"]), ["index.json has no weight_map"]),
    "missing tensor": (lambda p: rewrite(p, lambda t: t.pop(Q0)), ["missing 1", Q0, "unexpected 0"]),
    "extra tensor": (
        lambda p: rewrite(p, lambda t: t.update({"model.extra": np.ones(1, np.float32)})),
        ["missing 0", "unexpected 1", "model.extra"],
    ),
    "untied without a head": (lambda p: rewrite(p, lambda t: t.pop("lm_head.weight")), ["missing 1", "lm_head.weight"]),
    "wrong shape": (
        lambda p: rewrite(p, lambda t: t.update({Q0: np.ones((32, 31), np.float32)})),
        [Q0, "has shape (32, 31)", "implies (32, 32)"],
    ),
    "fewer layers than stated": (
        lambda p: write_config(p, num_hidden_layers=3),
        ["missing 16", "model.layers.2", "unexpected 0"],
    ),
    "unknown family": (
        lambda p: write_config(p, model_type="mamba"),
        ["model_type 'mamba' is not supported", ", ".join(plugin.names("models.families"))],
    ),
    "no family": (lambda p: write_config(p, model_type=None), ["model_type None is not supported", "llama"]),
    "remote code": (lambda p: write_config(p, auto_map={"AutoModel": "x.Y"}), ["remote code (auto_map)", "never run"]),
    "quantized": (lambda p: write_config(p, quantization_config={"bits": 4}), ["the weights are quantized"]),
    "unknown rope": (
        lambda p: write_config(p, rope_scaling={"rope_type": "spiral", "factor": 2.0}),
        ["rope type 'spiral' is not supported", "default, linear, llama3"],
    ),
    "rope without its factor": (
        lambda p: write_config(p, rope_scaling={"rope_type": "linear"}),
        ["rope type 'linear' needs factor"],
    ),
    "rope that is no object": (lambda p: write_config(p, rope_parameters="llama3"), ["rope_parameters is 'llama3'"]),
    "llama3 upside down": (
        lambda p: write_config(p, rope_scaling={"rope_type": "llama3", **LLAMA3, "low_freq_factor": 9.0}),
        ["low_freq_factor below high_freq_factor"],
    ),
    "yarn": (
        lambda p: write_config(p, rope_scaling={"rope_type": "yarn", "factor": 4.0}),
        ["rope type 'yarn' is not supported", "default, linear, llama3"],
    ),
    "dynamic rope": (
        lambda p: write_config(p, rope_scaling={"type": "dynamic", "factor": 4.0}),
        ["rope type 'dynamic' is not supported"],
    ),
    "partly turned heads": (
        lambda p: write_config(p, partial_rotary_factor=0.5),
        ["partial_rotary_factor 0.5 is not supported for llama"],
    ),
    "experts": (
        lambda p: write_config(p, num_local_experts=8),
        ["num_local_experts 8 (a mixture of experts) is not supported", ", ".join(plugin.names("models.families"))],
    ),
    "experts of another family": (
        lambda p: write_config(p, model_type="qwen3_moe", num_experts=4),
        ["model_type 'qwen3_moe' with num_experts 4"],
    ),
    "a multimodal wrapper": (
        lambda p: write_config(p, model_type="gemma3", text_config={}, vision_config={}),
        ["model_type 'gemma3' (a multimodal wrapper: it has text_config, vision_config)", "gemma3_text"],
    ),
    "weights of a byte": (
        lambda p: rewrite(p, lambda t: t.update({Q0: np.ones((32, 32), np.int8)})),
        [Q0, "is stored as I8 (quantized?)", "F32, F16, BF16"],
    ),
    "endless layers": (lambda p: write_config(p, num_hidden_layers=10**6), ["num_hidden_layers is 1000000", "at most"]),
    "another activation": (lambda p: write_config(p, hidden_act="gelu"), ["hidden_act 'gelu'", "supported: silu"]),
    "no size": (lambda p: write_config(p, hidden_size=None), ["hidden_size"]),
    "a size in words": (lambda p: write_config(p, hidden_size="wide"), ["hidden_size is 'wide'", "expected int"]),
    "a size of zero": (lambda p: write_config(p, num_attention_heads=0), ["num_attention_heads is 0"]),
    "heads that do not group": (lambda p: write_config(p, num_key_value_heads=3), ["4 is no multiple", "3"]),
    "heads that do not divide": (lambda p: write_config(p, num_attention_heads=6), ["32 is no multiple", "6"]),
    "odd heads": (lambda p: write_config(p, head_dim=7), ["head_dim 7 is odd"]),
}  # fmt: skip


def write_config(path, **changes):
    (path / "config.json").write_text(json.dumps({**CONFIG, **changes}))


@pytest.mark.parametrize("name", BAD)
def test_a_directory_that_cannot_be_used_is_refused(tmp_path, name):
    spoil, expected = BAD[name]
    write_directory(tmp_path / "in")
    spoil(tmp_path / "in")
    for call in (hf.check, hf.load):
        text = message(call, tmp_path / "in")
        assert [part for part in expected if part not in text] == [], text


def test_an_archive_is_no_directory(tmp_path):
    (tmp_path / "model.zip").write_bytes(b"PK")
    assert "archives are never unpacked" in message(hf.check, tmp_path / "model.zip")
    assert "archives are never unpacked" in message(hf.load, tmp_path / "model.zip")


def test_a_directory_that_is_not_there(tmp_path):
    assert "does not exist" in message(hf.check, tmp_path / "nowhere")
    assert "does not exist" in message(hf.load, tmp_path / "nowhere")


def test_a_directory_without_a_tokenizer(tmp_path):
    write_directory(tmp_path)
    assert "no tokenizer could be loaded" in message(chat.load_tokenizer, tmp_path)


def test_a_good_directory_passes_the_check(tmp_path):
    write_directory(tmp_path)
    assert hf.check(tmp_path) is None


# Anything at all

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x), max_leaves=8
)
rope = st.fixed_dictionaries(
    {},
    optional={
        "rope_type": st.sampled_from(["default", "linear", "llama3", "longrope"]) | anything,
        "short_factor": st.lists(st.floats(), max_size=3) | st.just([1.0] * 4),
        "long_factor": st.lists(st.floats(), max_size=3) | st.just([1.0] * 4),
        "full_attention": st.dictionaries(st.just("rope_theta"), anything) | anything,
        "rope_theta": anything | st.just(500.0),
        **{name: anything | st.just(value) for name, value in LLAMA3.items()},
    },
)
nearly_right = st.fixed_dictionaries(
    {"model_type": st.sampled_from(plugin.names("models.families"))},
    optional={
        **{name: st.just(value) | anything for name, value in CONFIG.items() if name != "model_type"},
        "head_dim": anything,
        "rope_parameters": rope | anything,
        "rope_scaling": rope | anything,
        "layer_types": st.lists(st.sampled_from(["full_attention", "sliding_attention"]), max_size=3) | anything,
        "sliding_window": st.just(4) | anything,
        "use_sliding_window": st.just(True) | anything,
        "quantization_config": anything,
    },
)
changed = st.tuples(st.sampled_from(sorted(CONFIG)), anything).map(lambda change: {**CONFIG, change[0]: change[1]})
texts = st.one_of(anything, nearly_right, changed).map(lambda value: json.dumps(value).encode()) | st.binary(
    max_size=64
)


@settings(deadline=None, max_examples=300)
@given(config=texts, generation=texts)
def test_no_config_makes_it_crash(config, generation):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "config.json").write_bytes(config)
        (path / "generation_config.json").write_bytes(generation)
        outcomes = []
        for call in (
            hf.read_config,
            hf.eos_ids,
            lambda p: family(hf.read_config(p)).config(hf.read_config(p)),
        ):
            try:
                outcomes.append(call(path) is not None)
            except UserError as error:
                outcomes.append(bool(str(error)))
        assert all(outcomes)


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, '{"model_type": "llama", "vocab_size": 1e999}', "\ud800"])
def test_json_at_its_limits(tmp_path, text):
    (tmp_path / "config.json").write_text(text, errors="surrogatepass")
    assert "config.json" in message(hf.check, tmp_path)
