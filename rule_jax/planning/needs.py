"""What a program takes of each device: memory by kind, work, and the least time that the work can take."""

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from rule_jax.errors import UserError
from rule_jax.planning import hlo
from rule_jax.planning.machines import GIB, Chip
from rule_jax.planning.shapes import Program, held, shard_bytes


@dataclasses.dataclass(frozen=True)
class Need:
    """What a program takes on one device. seconds: to compile it. kinds: bytes by kind. room: bytes that the device
    has; None: not known. cost: of one run, None where the compiler refused it. runs: how often it runs in training, 0
    where the data decide that. least: seconds of one run by `roofline`."""

    program: str
    stage: str
    runs: int
    seconds: float
    kinds: Mapping[str, int]
    room: int | None
    cost: hlo.Cost | None = None
    least: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.kinds.values())

    @property
    def fits(self) -> bool:
        return self.room is None or self.total <= self.room

    @property
    def bound(self) -> str:
        """What limits the program at best: compute, memory or interconnect."""
        return max(self.least, key=lambda name: self.least[name]) if self.least else ""

    @property
    def step(self) -> float:
        """Seconds of one run at best, if all that it does is done at once and nothing waits."""
        return max(self.least.values(), default=0.0)

    def facts(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            **dataclasses.asdict(self),
            "total": self.total,
            "fits": self.fits,
            "bound": self.bound,
            "step_s": self.step,
        }


def compiled(program: Program, device: Any, chip: Chip) -> Need:
    """What a program takes, found by compiling it for devices like this one."""
    started = time.monotonic()
    try:
        made = program.function.lower(*program.arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        return _need(program, refused(str(error)), time.monotonic() - started, chip, None)
    return need_of(program, made, time.monotonic() - started, device, chip)


def need_of(program: Program, made: Any, seconds: float, device: Any, chip: Chip) -> Need:
    """The need of a program that was compiled in so many seconds."""
    cost = hlo.Module(made.as_text()).cost
    return _need(program, peak(made.memory_analysis(), device.platform), seconds, chip, cost)


def _need(program: Program, most: int, seconds: float, chip: Chip, cost: hlo.Cost | None) -> Need:
    """most: bytes that the program holds, its arguments included."""
    kinds = {**held(program), "temporaries": max(most - shard_bytes(list(program.given.values())), 0)}
    least = {} if cost is None else roofline(cost, chip)
    return Need(program.name, program.stage, program.times, seconds, kinds, chip.room, cost, least)


def roofline(cost: hlo.Cost, chip: Chip) -> dict[str, float]:
    """Seconds that each of a device's means needs for its part of the work, at its best.

    The interconnect is taken as one link in one direction: no collective along an axis of the mesh has less.
    """
    found = {"compute": cost.flops / chip.flops, "memory": cost.bytes / chip.bytes}
    return found if chip.link is None else {**found, "interconnect": cost.wire / chip.link}


@dataclasses.dataclass(frozen=True)
class Whole:
    """A run's training at best. seconds: of all its programs. chip_hours: of all devices. tokens_per_s: that stage 2
    samples and learns from, of all devices. The evaluation is not in it: its size is the data's."""

    seconds: float
    chip_hours: float
    tokens_per_s: float


def whole(needs: Sequence[Need], devices: int, sampled: int) -> Whole:
    """Of the programs that were planned. sampled: tokens of one step of stage 2 at most."""
    seconds = sum(need.runs * need.step for need in needs)
    rollouts = [need for need in needs if need.program == "rollout"]
    steps = sum(need.runs for need in rollouts)
    of_stage = sum(need.runs * need.step for need in needs if rollouts and need.stage == rollouts[0].stage)
    return Whole(seconds, seconds * devices / 3600, steps * sampled / of_stage if of_stage else 0.0)


def peak(analysis: Any, platform: str) -> int:
    """The bytes that a program holds at its worst moment, arguments and results included."""
    if platform == "tpu":
        # What the compiler compares with the chip's memory. Its temp_size counts once more what donation saves.
        return analysis.peak_memory_in_bytes
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return analysis.argument_size_in_bytes + results + analysis.temp_size_in_bytes


def refused(message: str) -> int:
    """The bytes that a program would need, from the words in which the TPU's compiler refuses it."""
    found = re.search(r"memory required for HLO temporaries \(([\d.]+)([MG])\)", message)
    if not found:
        raise UserError(f"the compiler failed: {message.splitlines()[0]}")
    return int(float(found[1]) * {"M": 2**20, "G": GIB}[found[2]])
