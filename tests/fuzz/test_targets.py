"""Whatever a file holds, its reader reads it or refuses it by a UserError of one line, and does nothing else.

A few inputs of each target in every test run; `python -m tests.fuzz.run` makes as many as one likes. What it found is
under found/, and is tried again here.
"""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import BETWEEN, TARGETS, outcome

# ml_collections loads config files in a way that Python 3.12 drops; 3.11 warns.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

FOUND = Path(__file__).with_name("found")
DEAR = ("world", "arguments", "points", "earlier config", "report")  # tens of milliseconds an input


def spliced(content: bytes, number: int) -> bytes:
    """The bytes with a few of them left out, doubled or replaced, as the number says."""
    chance, made = random.Random(number), bytearray(content)
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(made))
        end = min(len(made), start + chance.randint(0, 8))
        made[start:end] = chance.choice((b"", made[start:end] * 2, chance.randbytes(2)))
    return bytes(made)


def inputs(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Any bytes; a seed with some of its bytes changed; a seed with some of its values changed; rows of its names."""
    mutator = Mutator(seeds)
    values = st.recursive(
        st.sampled_from(mutator.names) | st.integers(-1, 3) | st.none() | st.booleans() | st.floats(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(mutator.names), inner, max_size=4),
        max_leaves=8,
    )
    seed, number = st.sampled_from(seeds), st.integers(0, 2**32 - 1)
    rows = st.lists(values, min_size=1, max_size=3).map(lambda rows: json.dumps(rows).encode())
    return st.one_of(
        st.binary(max_size=64),
        st.builds(spliced, seed, number),
        st.builds(
            lambda content, number: mutator(content, 4096, number, lambda b, _: spliced(b, number)), seed, number
        ),
        rows.map(lambda part: BETWEEN.join([part] * max(content.count(BETWEEN) + 1 for content in seeds))),
    )


@pytest.mark.parametrize("name", TARGETS)
def test_anything_is_read_or_refused(name):
    target = TARGETS[name]

    @settings(max_examples=5 if name in DEAR else 20, deadline=None, database=None)
    @given(inputs(target.seeds))
    def check(content):
        assert outcome(target, content) in (True, False)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_a_seed_is_read(name):
    assert any(outcome(TARGETS[name], seed) for seed in TARGETS[name].seeds)


@pytest.mark.parametrize("file", sorted(FOUND.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.name[:14]}")
def test_what_was_found_once_is_mended(file):
    assert outcome(TARGETS[file.parent.name.replace("_", " ")], file.read_bytes()) in (True, False)
