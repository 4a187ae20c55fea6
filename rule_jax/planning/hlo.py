"""What one device does in a compiled program, counted in the text of its module.

XLA's own cost analysis takes the body of a loop once. Here a loop counts as often as it runs: a scan has its length in
the module, and of a loop that may end earlier the most that it can run counts.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

Shape: TypeAlias = tuple[str, tuple[int, ...], bool]  # dtype, dimensions, whether it lies in the device's main memory

WIRE: Mapping[str, float] = {  # bytes through a device's link for a byte of the larger side, in a ring of many
    "all-gather": 1.0,
    "reduce-scatter": 1.0,
    "all-reduce": 2.0,
    "all-to-all": 1.0,
    "ragged-all-to-all": 1.0,
    "collective-broadcast": 1.0,
    "collective-permute": 1.0,
}
NOTHING = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"}
SLICES = {"dynamic-slice", "slice", "gather"}
SAME_PLACE = {"bitcast", "reshape", "copy", "convert"}  # between a parameter of a fusion and what reads or writes it
WIDTHS = {"pred": 8, "token": 0, "opaque": 0}  # bits; of the others the number in their name tells


@dataclasses.dataclass(frozen=True)
class Cost:
    """On one device. flops: two for each product that is added up. bytes: to and from its main memory, as if nothing
    stayed on the chip between two instructions but what the compiler has placed there. collectives: by kind, how often
    one runs and the bytes of its larger side. wire: bytes that pass a link of the device for them."""

    flops: float = 0.0
    bytes: float = 0.0
    collectives: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    wire: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        kinds = dict.fromkeys([*self.collectives, *other.collectives])
        none = (0.0, 0.0)
        both = {k: tuple(map(sum, zip(self.collectives.get(k, none), other.collectives.get(k, none)))) for k in kinds}
        return Cost(self.flops + other.flops, self.bytes + other.bytes, both, self.wire + other.wire)  # type: ignore[arg-type]

    def times(self, count: float) -> "Cost":
        each = {kind: (n * count, size * count) for kind, (n, size) in self.collectives.items()}
        return Cost(self.flops * count, self.bytes * count, each, self.wire * count)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a module. shapes: of its results; operands: names; rest: its attributes as they stand."""

    name: str
    op: str
    shapes: tuple[Shape, ...]
    operands: tuple[str, ...]
    rest: str
    root: bool

    def called(self, attribute: str) -> str:
        """The computation that an attribute names."""
        found = re.search(rf"\b{attribute}=%([\w.\-]+)", self.rest)
        return found[1] if found else ""


class Module:
    """The computations of a compiled program, from `compiled.as_text()`."""

    def __init__(self, text: str):
        self.computations: dict[str, dict[str, Instruction]] = {}
        self.entry = ""
        self._costs: dict[str, Cost] = {}
        lines: dict[str, Instruction] = {}
        for line in text.splitlines():
            if line.startswith(("%", "ENTRY")) and line.endswith("{"):
                name = line.removeprefix("ENTRY ").split(" ", 1)[0].lstrip("%")
                lines = self.computations.setdefault(name, {})
                self.entry = name if line.startswith("ENTRY") else self.entry
            elif (found := instruction(line)) is not None:
                lines[found.name] = found

    @property
    def cost(self) -> Cost:
        """Of one run of the program."""
        return self._cost(self.entry)

    def _cost(self, computation: str) -> Cost:
        if computation not in self._costs:
            self._costs[computation] = self._counted(computation)
        return self._costs[computation]

    def _counted(self, computation: str) -> Cost:
        total, lines = Cost(), self.computations[computation]
        for line in lines.values():
            if line.op == "while":
                once = self._cost(line.called("body")) + self._cost(line.called("condition"))
                total += once.times(self.trips(line))
            elif line.op == "conditional":
                branches = re.search(r"branch_computations=\{([^}]*)\}", line.rest)
                names = re.findall(r"%([\w.\-]+)", branches[1]) if branches else []
                names += [n for n in (line.called("true_computation"), line.called("false_computation")) if n]
                total += max((self._cost(name) for name in names), key=lambda cost: cost.flops + cost.bytes)
            elif line.op in ("call", "async-start"):
                total += self._cost(line.called("to_apply") or line.called("calls"))
            else:
                total += Cost(self._flops(line, lines), self._bytes(line, lines)) + _collective(line, lines)
        return total

    def trips(self, loop: Instruction) -> float:
        """How often a while runs at most; 1 where its condition does not tell."""
        known = re.search(r'known_trip_count"?:\{"?n"?:"?(\d+)', loop.rest)
        if known:
            return float(known[1])
        return float(max([1, *self._numbers(loop.called("condition"))]))

    def _numbers(self, computation: str) -> Iterator[int]:
        """The whole numbers that stand in a computation."""
        for line in self.computations[computation].values():
            if line.op == "constant" and line.shapes[0][:2] in (("s32", ()), ("u32", ()), ("s64", ())):
                yield int(line.rest[1 : line.rest.index(")")])
            if line.op == "fusion":
                yield from self._numbers(line.called("calls"))

    def _flops(self, line: Instruction, lines: Mapping[str, Instruction]) -> float:
        if line.op == "fusion":
            inner = self.computations[line.called("calls")]
            return sum(self._flops(each, inner) for each in inner.values())
        if line.op not in ("dot", "convolution"):
            return 0.0
        left, right = (lines[name].shapes[0][1] for name in line.operands[:2])
        if line.op == "dot":
            contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line.rest)
            axes = [int(axis) for axis in contracted[1].split(",") if axis] if contracted else []
            return 2.0 * math.prod(line.shapes[0][1]) * math.prod(left[axis] for axis in axes)
        return _convolution(line, left, right)

    def _bytes(self, line: Instruction, lines: Mapping[str, Instruction]) -> float:
        if line.op in NOTHING or line.op.endswith("-done"):
            return 0.0
        if line.op == "fusion":
            return self._of_fusion(line, lines)
        operands = [lines[name].shapes for name in line.operands if name in lines]
        if line.op in SLICES:
            return 2.0 * _main(line.shapes)
        if line.op == "dynamic-update-slice":
            return 2.0 * _main(operands[1])
        if line.op == "copy-start":  # its results are the copy, what is copied and a flag
            return float(_main(line.shapes[:2]))
        if line.op.endswith("slice-start"):  # what is sliced, the slice, a flag
            source, part = line.shapes[0], line.shapes[1]
            return float(size(part)) * (source[2] + part[2])
        if line.op.endswith("-start"):
            return float(_main(line.shapes))
        return float(_main(line.shapes) + sum(map(_main, operands)))

    def _of_fusion(self, line: Instruction, lines: Mapping[str, Instruction]) -> float:
        """What a fusion reads and writes: of a parameter that it only slices the slices, of one that it updates in
        place the update."""
        inner = line.called("calls")
        total = sum(self._written(inner, each.name) for each in self.computations[inner].values() if each.root)
        for number, name in enumerate(line.operands):
            whole = _main(lines[name].shapes)
            total += self._read(inner, self._parameter(inner, number), whole) if whole else 0.0
        return total

    def _parameter(self, computation: str, number: int) -> str:
        return next(
            line.name
            for line in self.computations[computation].values()
            if line.op == "parameter" and line.rest.startswith(f"({number})")
        )

    def _read(self, computation: str, name: str, whole: int, onward: Callable[[], float] = float) -> float:
        """Bytes that a fused computation reads of an array of so many. onward: what is read of it where it is the
        result of that computation."""
        lines = self.computations[computation]
        found = onward() if lines[name].root else 0.0
        for user in lines.values():
            for number in [number for number, operand in enumerate(user.operands) if operand == name]:
                further = functools.partial(self._read, computation, user.name, whole, onward)
                if user.op in SAME_PLACE or (user.op == "dynamic-update-slice" and not number):
                    found += further()
                elif user.op == "fusion":
                    inner = user.called("calls")
                    found += self._read(inner, self._parameter(inner, number), whole, further)
                elif user.op in SLICES and not number:
                    found += sum(map(size, user.shapes))
                elif user.op != "tuple":
                    return whole
        return min(found, whole)

    def _written(self, computation: str, name: str) -> float:
        """Bytes that a fused computation writes as one of its results."""
        lines = self.computations[computation]
        line = lines[name]
        if line.op == "tuple":
            return sum(self._written(computation, operand) for operand in line.operands)
        if line.op == "dynamic-update-slice":
            return float(size(lines[line.operands[1]].shapes[0])) if line.shapes[0][2] else 0.0
        if line.op in SAME_PLACE and line.operands[0] in lines and lines[line.operands[0]].op == "dynamic-update-slice":
            return self._written(computation, line.operands[0])
        return float(_main(line.shapes))


def instruction(line: str) -> Instruction | None:
    """A line of a module as an instruction; None for any other line."""
    found = re.match(r"\s+(ROOT )?%?([\w.\-]+) = ", line)
    if not found:
        return None
    end = _closing(line, found.end()) if line[found.end()] == "(" else line.index(" ", found.end())
    shapes = _shapes(line[found.end() : end])
    op = re.compile(r"\s*([\w\-]+)\(").match(line, end)
    if not op:
        return None
    close = _closing(line, op.end() - 1)
    operands = tuple(re.findall(r"%([\w.\-]+)", line[op.end() : close]))
    # What a constant is and which parameter is meant stand in the place of operands.
    rest = line[op.end() - 1 if op[1] in ("constant", "parameter") else close :]
    return Instruction(found[2], op[1], shapes, operands, rest, bool(found[1]))


def size(shape: Shape) -> int:
    """Bytes of an array."""
    dtype, dimensions, _ = shape
    bits = WIDTHS.get(dtype) if dtype in WIDTHS else int((re.search(r"\d+", dtype) or ["8"])[0])
    return math.prod(dimensions) * (bits or 0) // 8


def _main(shapes: tuple[Shape, ...]) -> int:
    return sum(size(shape) for shape in shapes if shape[2])


def _shapes(text: str) -> tuple[Shape, ...]:
    """Of `f32[2,3]{1,0:T(8,128)S(1)}` or a tuple of such. S(n) is a memory space; the main one is not named."""
    found = re.findall(r"\b([a-z]\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?", text)
    return tuple(
        (dtype, tuple(int(n.lstrip("<=")) for n in sizes.split(",") if n), "S(" not in layout)
        for dtype, sizes, layout in found
    )


def _closing(text: str, start: int) -> int:
    """Behind the bracket that closes the one at start."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place + 1
    return len(text)


def _convolution(line: Instruction, left: tuple[int, ...], right: tuple[int, ...]) -> float:
    """FLOPs of a convolution, as which a TPU's compiler writes products of matrices. Pads and holes count nothing."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", line.rest)
    window = re.search(r"window=\{([^}]*)\}", line.rest)
    assert labels
    of_left, of_right, of_out = labels[1], labels[2], labels[3]
    fields = dict(field.split("=") for field in window[1].split()) if window else {}
    out = line.shapes[0][1]
    total = 2.0 * out[of_out.index("b")] * out[of_out.index("f")] * right[of_right.index("i")]
    for number in range(len(of_out) - 2):
        each = {name: value.split("x")[number] for name, value in fields.items()}
        low = int(each.get("pad", "0_0").split("_")[0])
        stride, spread, hole = (int(each.get(name, 1)) for name in ("stride", "rhs_dilate", "lhs_dilate"))
        inputs, kernel = left[of_left.index(str(number))], right[of_right.index(str(number))]
        outputs, span = out[of_out.index(str(number))], (inputs - 1) * hole + 1
        total *= _meetings(outputs, kernel, stride, spread, hole, span, low)
    return total


@functools.cache
def _meetings(outputs: int, kernel: int, stride: int, spread: int, hole: int, span: int, low: int) -> int:
    """How many pairs of an output and a place of the kernel meet an input that is there."""
    if kernel == 1 and stride == hole == 1 and not low:
        return min(outputs, span)
    places = (o * stride - low + k * spread for k in range(kernel) for o in range(outputs))
    return sum(0 <= place < span and place % hole == 0 for place in places)


def _collective(line: Instruction, lines: Mapping[str, Instruction]) -> Cost:
    kind = line.op.removesuffix("-start")
    if kind not in WIRE:
        return Cost()
    given = sum(sum(map(size, lines[name].shapes)) for name in line.operands if name in lines)
    made = sum(map(size, line.shapes)) if kind == line.op else 0
    if kind == "all-gather" and not made:
        made = given * _group(line.rest)
    larger, ways = max(given, made), _group(line.rest)
    share = 1.0 if kind == "collective-permute" else (ways - 1) / ways
    return Cost(collectives={kind: (1.0, float(larger))}, wire=WIRE[kind] * share * larger)


def _group(rest: str) -> int:
    """How many devices take part in each of a collective's groups."""
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", found[2]))
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(found[1])
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return len(found[1].split(","))
    return 2
