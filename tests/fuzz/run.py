"""The coverage-guided run over all targets.

    pip install -e '.[fuzz]'
    python -m tests.fuzz.run --inputs=1000000 [--targets=rwku,weights] [--seed=1] [--corpus=DIR]

gives each target its share of the inputs by its weight, in a process of its own (libFuzzer, by way of Atheris; what is
ours is watched for coverage, and JSON is changed as JSON), and prints how many each has had. An input that is neither
read nor refused by a UserError ends its target and is kept under found/TARGET/, where `test_targets.py` replays it
for ever. The corpus, where it is named, is what a later run begins from.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import atheris

WATCHED = ["rule_jax", "launch", "json", "ml_collections", "absl.flags"]
with atheris.instrument_imports(include=WATCHED):  # type: ignore[attr-defined]
    from tests.fuzz.mutation import Mutator
    from tests.fuzz.targets import TARGETS, outcome

FOUND = Path(__file__).with_name("found")
LONGEST = 4096  # bytes of an input
SLOWEST_S, MOST_MB = 30, 6000  # an input that takes more of either is a fault too
# Milliseconds of an input, on one core; of what is not named here 0.3. Each target gets the same time.
COST = {
    **{"rwku": 1.0, "rwku probes": 1.5, "rwku refusals": 0.12, "muse knowmem": 0.5, "tofu": 0.8, "jsonl": 0.8},
    **{"jsonl array": 0.5, "jsonl csv": 0.5, "jsonl tsv": 0.5, "jsonl parquet": 2.9, "jsonl columns": 0.7, "world": 50},
    **{"model config": 0.8, "weights": 0.5, "tokenizer": 3.3, "roles": 4.5, "arguments": 14, "earlier config": 11},
    **{"points": 25, "table": 0.11, "journal": 0.08, "about": 0.1, "record": 0.7, "report": 14, "reply": 0.07},
    **{"retrained on TOFU": 0.13, "log of TOFU": 0.19, "retrained on MUSE": 0.13},
}
USUAL = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description="The coverage-guided run over all targets.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("--targets", default="", help="names, separated by commas; all where none are given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", default="", help="a folder in which inputs that found something new are kept")
    asked = parser.parse_args()
    names = [name for name in asked.targets.split(",") if name] or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        sys.exit(f"no targets {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    shares = {name: 1 / COST.get(name, USUAL) for name in names}
    faults, total, began = 0, 0, time.monotonic()
    print("| target | inputs | seconds | edges | fault |\n|---|---|---|---|---|", flush=True)
    for name in names:
        inputs = round(asked.inputs * shares[name] / sum(shares.values()))
        started = time.monotonic()
        done, edges, fault = fuzzed(name, inputs, asked.seed, asked.corpus)
        total, faults = total + done, faults + bool(fault)
        print(f"| {name} | {done} | {time.monotonic() - started:.0f} | {edges} | {fault} |", flush=True)
    print(f"| all | {total} | {time.monotonic() - began:.0f} | | {faults} |")
    sys.exit(1 if faults else 0)


def fuzzed(name: str, inputs: int, seed: int, corpus: str) -> tuple[int, int, str]:
    """(inputs that a target has had, edges of the code that they met, the first line of its fault or ""). It runs in a
    process of its own, which libFuzzer ends."""
    folder = Path(tempfile.mkdtemp())  # whose end is not the child's business, which leaves by an exception
    log = folder / "log"
    child = os.fork()  # and no new interpreter, which would be half a minute at its imports
    if not child:
        with log.open("wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        options = {"runs": inputs, "seed": seed, "max_len": LONGEST, "timeout": SLOWEST_S, "rss_limit_mb": MOST_MB}
        _fuzz(name, [f"-{key}={value}" for key, value in options.items()], folder, corpus)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = log.read_text(errors="replace")
    shutil.rmtree(folder)
    done = re.findall(r"number_of_executed_units: *(\d+)", said) or re.findall(r"^#(\d+)", said, re.MULTILINE)
    edges = re.findall(r"\bcov: (\d+)", said)
    fault = ""
    if code:
        told = re.findall(r"^ *(?:[\w.]*(?:Error|Exception|Exit)\b.*|==\d+== *ERROR: .*)", said, re.MULTILINE)
        fault = told[0].strip()[:160] if told else f"it ended with {code}"
        print(said[-6000:], file=sys.stderr)
    return int(done[-1]) if done else 0, int(edges[-1]) if edges else 0, fault


def _fuzz(name: str, options: Sequence[str], folder: Path, corpus: str) -> None:
    """Gives a target inputs, and ends the process."""
    target, called = TARGETS[name], name.replace(" ", "_")
    kept, seeds, found = Path(corpus or folder / "corpus", called), folder / "seeds", FOUND / called
    for place in (kept, seeds, found):
        place.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(content)
    mutator = Mutator(target.seeds)

    def one_input(content: bytes) -> None:
        outcome(target, content)

    def mutated(content: bytes, size: int, number: int) -> bytes:
        return mutator(content, size, number, atheris.Mutate)

    atheris.Setup(
        ["fuzz", *options, f"-artifact_prefix={found}/", "-print_final_stats=1", *map(str, (kept, seeds, found))],
        one_input,
        custom_mutator=mutated,  # type: ignore[arg-type]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
