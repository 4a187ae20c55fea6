"""The loader's peak host memory: at most 1.2 times the largest file of a checkpoint, whatever the checkpoint's size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("hf_memory.py")


@pytest.mark.slow
def test_a_checkpoint_of_two_gigabytes_is_loaded_with_less_than_one_of_its_files_beside_it(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent), "XLA_FLAGS": ""}
    out = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "model"], env=environment, check=True, capture_output=True, text=True
    )
    found = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
    assert [line["dtype"] for line in found] == ["float32", "bfloat16"]
    for line in found:
        assert line["checkpoint"] > 1.9e9
        assert line["samples"] > 50
        assert line["staging"] <= 1.2 * line["largest_file"], line
