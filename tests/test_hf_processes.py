"""rule_jax.hf in a run of two real processes: each reads the slices of its own devices alone, and together they export.

The program that both run is this file itself.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PROCESSES, DEVICES_EACH = 2, 2


def work(address: str, number: int, directory: str) -> None:
    """One process of the run: loads, counts the bytes that it read, exports."""
    import jax

    jax.distributed.initialize(address, PROCESSES, number)
    from rule_jax import hf, sharding
    from rule_jax.hf._source import Source

    sizes, read = [], Source.read

    def counting(self: Source, name: str, index: tuple[slice, ...]):
        part = read(self, name, index)
        sizes.append(part.nbytes)
        return part

    Source.read = counting
    mesh = sharding.make_mesh(data=1, fsdp=PROCESSES * DEVICES_EACH, tensor=1)
    model, params = hf.load(directory, mesh)
    hf.save(f"{directory}-out", model, params, like=directory)
    norms = sum(leaf.nbytes for path, leaf in jax.tree_util.tree_leaves_with_path(params) if "norm" in str(path))
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    print(json.dumps({"read": sum(sizes), "norms": norms, "total": total}))


@pytest.mark.slow
def test_each_process_reads_its_own_slices_and_the_export_is_bitwise(tmp_path):
    from safetensors.numpy import load_file
    from test_hf import assert_bitwise, write_directory

    tensors = write_directory(tmp_path / "in", attention_bias=False, mlp_bias=False)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES_EACH}",
        "PYTHONPATH": str(REPOSITORY),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, address, str(number), str(tmp_path / "in")],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    for output in outputs:
        count = json.loads(output.splitlines()[-1])
        # Norms are on every device; of everything else a process reads its share.
        assert count["read"] == count["norms"] + (count["total"] - count["norms"]) / PROCESSES
    assert_bitwise(load_file(tmp_path / "in-out" / "model.safetensors"), tensors)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), sys.argv[3])
