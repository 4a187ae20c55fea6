"""What devices can do at best: TPUs by their published figures, the machine at hand by measurement."""

import dataclasses
import functools
import importlib.util
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache

from rule_jax.errors import UserError, nearest

GIB = 2**30
PODS = {"v4": "2x2x1 to 16x16x16", "v5e": "2x2 to 16x16", "v5p": "2x2x1 to 16x16x24", "v6e": "2x2 to 16x16"}


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """Of all devices together, by measurement: flops and bytes per second."""

    flops: float
    bytes: float


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device. room: bytes that programs may use, None where that is not known. flops: products in bfloat16 per
    second, two for each that is added up. bytes: per second, to and from its memory. link: bytes per second through one
    of its links in one direction, None where devices share a memory or the figure is not known."""

    room: int | None
    flops: float
    bytes: float
    link: float | None


# By jax's device_kind. Room: GiB as the compiler states them when it refuses a program. The rest:
# https://cloud.google.com/tpu/docs/v4 and its neighbours v5e, v5p, v6e; a link has the bandwidth of the whole chip in
# both directions over twice its ports: 6 of v4 and v5p, 4 of v5e and v6e.
CHIPS: Mapping[str, Chip] = {
    "TPU v4": Chip(int(30.75 * GIB), 275e12, 1228e9, 50e9),
    "TPU v5 lite": Chip(int(15.75 * GIB), 197e12, 819e9, 50e9),
    "TPU v5": Chip(int(95.74 * GIB), 459e12, 2765e9, 100e9),
    "TPU v6 lite": Chip(int(31.25 * GIB), 918e12, 1638e9, 100e9),
}


def chip(device: Any, dtype: Any) -> Chip:
    """What a device can do: of a TPU by the table, of another one as `ceilings` finds it. Raises UserError for a TPU
    that the table lacks."""
    if device.platform != "tpu":
        best = ceilings(1, dtype)
        return Chip(_room(device), best.flops, best.bytes, None)
    if device.device_kind not in CHIPS:
        raise UserError(f"{device.device_kind} is not among the chips that are planned for: {', '.join(CHIPS)}")
    return CHIPS[device.device_kind]


def devices(topology: str) -> Sequence[Any]:
    """The devices of a TPU slice, or those of this machine. Raises UserError for an unknown one and without libtpu."""
    if not topology:
        return jax.devices()
    known = ", ".join(f"{name}:{sizes}" for name, sizes in PODS.items())
    generation = topology.partition(":")[0]
    if generation not in PODS:
        raise UserError(f"--topology={topology} is not known; known: {known}.{nearest(generation, PODS)}")
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(f"--topology={topology} needs the TPU's compiler: pip install 'rule_jax[tpu]'")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # do not ask the cloud what machine this is
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", False)  # what it keeps, a compiler without chips cannot read
    compilation_cache.reset_cache()
    # The two cores of a v4 chip are one device, as they are on a machine that has some.
    both = {"chip_config_name": "megacore"} if generation == "v4" else {}
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology, **both).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise UserError(f"--topology={topology} is not known ({str(error).splitlines()[0]}); known: {known}") from None


def ceilings(devices: int, dtype: Any, repeats: int = 5) -> Ceilings:
    """What one device does at best, times their number: products of large matrices, passes over a large array.

    On a GPU several are waited for at once, so that what starting them costs does not count. The numbers are random:
    with equal ones a GPU needs less power, and clocks higher than it does at work.
    """
    on_cpu = jax.default_backend() == "cpu"
    size, length, times = (2048, 2**26, 1) if on_cpu else (8192, 2**29, 8)
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
    array = jax.random.normal(jax.random.key(1), (length,))

    def best(step: Callable[[jax.Array], jax.Array], start: jax.Array) -> float:
        def several() -> None:
            jax.block_until_ready(functools.reduce(lambda x, _: step(x), range(times), start))

        return min(seconds(several) for _ in range(1 + repeats)) / times

    flops, moved = 2.0 * size**3, 2.0 * array.nbytes
    return Ceilings(devices * flops / best(lambda x: x @ matrix, matrix), devices * moved / best(jnp.negative, array))


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _room(device: Any) -> int | None:
    stats = device.memory_stats() if device.platform != "cpu" else None
    return (stats or {}).get("bytes_limit")
