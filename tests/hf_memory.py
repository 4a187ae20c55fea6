"""What the loader holds on the host besides the parameters themselves. Run by test_hf_memory.py, or by hand:

    python tests/hf_memory.py DIR [GIGABYTES]

Writes a Llama checkpoint of random bfloat16 weights in four files under DIR, unless it is there, and loads it in a
fresh process, as float32 (every tensor is converted and most are transposed) and as bfloat16. A CPU's devices live in
the host's memory, so while the loader works a thread reads the resident pages of the process, private ones and those
of mapped files, and takes away what was resident before and the parameters that are on the device so far: the rest is
staging. Prints JSON.
"""

import json
import math
import subprocess
import sys
import threading
from pathlib import Path

WIDTH, INNER, HEADS, VOCABULARY, FILES = 2048, 5632, 16, 32000, 4


def config(layers: int) -> dict:
    return {
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 4,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
    }


def write(folder: Path, gigabytes: float) -> None:
    import ml_dtypes
    import numpy as np
    from safetensors.numpy import save_file

    heads = WIDTH // 4
    shapes = {"self_attn.q_proj": (WIDTH, WIDTH), "self_attn.o_proj": (WIDTH, WIDTH)}
    shapes |= {"self_attn.k_proj": (heads, WIDTH), "self_attn.v_proj": (heads, WIDTH)}
    shapes |= {"mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH), "mlp.down_proj": (WIDTH, INNER)}
    shapes |= {"input_layernorm": (WIDTH,), "post_attention_layernorm": (WIDTH,)}
    layer_bytes = 2 * sum(int(np.prod(shape)) for shape in shapes.values())
    layers = round((gigabytes * 1e9 - 4 * VOCABULARY * WIDTH) / layer_bytes)
    order = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    order |= {f"model.layers.{i}.{name}.weight": shape for i in range(layers) for name, shape in shapes.items()}
    order |= {"model.norm.weight": (WIDTH,), "lm_head.weight": (VOCABULARY, WIDTH)}
    limit = 2 * sum(int(np.prod(shape)) for shape in order.values()) / FILES
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    shard, size, count, where = {}, 0, 0, {}
    for name, shape in order.items():
        shard[name] = draw.standard_normal(shape, np.float32).astype(ml_dtypes.bfloat16)
        size += shard[name].nbytes
        if size >= limit or name == "lm_head.weight":
            count += 1
            where |= dict.fromkeys(shard, f"model-{count}.safetensors")
            save_file(shard, folder / f"model-{count}.safetensors")
            shard, size = {}, 0
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (folder / "config.json").write_text(json.dumps(config(layers)))


def resident() -> int:
    """Bytes of this process that are in memory, private and mapped."""
    status = Path("/proc/self/status").read_text()
    return sum(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith(("RssAnon", "RssFile")))


def measure(folder: Path, dtype: str) -> dict:
    import jax

    from rule_jax import hf, programs

    # Everything that costs memory once is there before: the backend, and the programs that the loader uses.
    model = hf.load_model(folder)
    whole = jax.numpy.zeros((4, 4), dtype)
    jax.block_until_ready(programs.write_part(whole, jax.numpy.ones((1, 4), dtype), [0, 0]))
    before, stop, staged = resident(), threading.Event(), [0]

    # What is on the device is counted as the loader asks for it. (The list of live arrays would not do: a large array
    # is not on it while it is filled with zeros or handed from one update in place to the next.)
    placed, zeros = [0], jax.numpy.zeros

    def counted(shape, dtype=None, *, device=None):
        placed[0] += (device is not None) * math.prod(shape) * jax.numpy.dtype(dtype).itemsize
        return zeros(shape, dtype, device=device)

    jax.numpy.zeros = counted

    def watch() -> None:
        while not stop.wait(0.002):
            staged.append(resident() - before - placed[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, params = hf.load(folder, dtype=dtype)
    jax.block_until_ready(params)
    stop.set()
    watcher.join()
    del model
    return {
        "dtype": dtype,
        "checkpoint": sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        "largest_file": max(file.stat().st_size for file in folder.glob("*.safetensors")),
        "parameters": sum(leaf.nbytes for leaf in jax.tree.leaves(params)),
        "staging": max(staged),
        "samples": len(staged),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if len(sys.argv) > 3:
        print(json.dumps(measure(folder, sys.argv[3])))
    else:
        if not (folder / "config.json").exists():
            write(folder, float(sys.argv[2]) if len(sys.argv) > 2 else 2.0)
        for dtype in ("float32", "bfloat16"):
            subprocess.run([sys.executable, __file__, folder, "0", dtype], check=True)
