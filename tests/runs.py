"""What the tests that start runs as a user does have in common: a tiny world, and programs that are compiled once."""

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TINY = [
    "--config.data.world.people=12",
    "--config.data.world.countries=4",
    "--config.data.world.forget_people=2",
    "--config.data.world.boundary_people=4",
    "--config.data.world.boundary_share=0.5",
    "--config.world.vocab_size=600",
    "--config.world.width=32",
    "--config.world.layers=2",
    "--config.world.heads=2",
    "--config.world.mlp_width=64",
    "--config.world.rows=8",
    "--config.world.steps=40",
    "--config.world.schedule.warmup_steps=10",
    "--config.rejection_steering.steps=4",
    "--config.rejection_steering.batch=8",
    "--config.rejection_steering.checkpoint_every=2",
    "--config.boundary_optimization.steps=12",
    "--config.boundary_optimization.forget_prompts=4",
    "--config.boundary_optimization.boundary_prompts=4",
    "--config.boundary_optimization.samples=4",
    "--config.boundary_optimization.max_new_tokens=8",
    "--config.boundary_optimization.checkpoint_every=2",
    "--config.boundary_optimization.validation.every=5",
    "--config.boundary_optimization.validation.records=4",
    "--config.boundary_optimization.answers_every=6",
    "--config.evaluate.batch=64",
    "--config.robustness.records=12",
    "--config.robustness.drift_prompts=8",
    "--config.robustness.relearning.examples=(4,)",
    "--config.robustness.relearning.steps=2",
]
# Tests compile much and compute little: without LLVM's costly passes they take half the time.
HASTILY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def environment() -> dict[str, str]:
    """One device, as on a user's machine: the eight fake ones belong to this process."""
    return {**os.environ, "XLA_FLAGS": HASTILY}


def cache_in(place: Path) -> Path:
    """A --cache_dir whose programs are shared with the runs of all tests, and whose world is one's own."""
    shared = Path(tempfile.gettempdir()) / f"rule_jax_tests_runs_{os.getuid()}" / "xla"
    shared.mkdir(parents=True, exist_ok=True)
    cache = place / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "xla").exists():
        (cache / "xla").symlink_to(shared)
    return cache
