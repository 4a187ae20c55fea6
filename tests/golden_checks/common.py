"""What the checks of tests/test_golden_metrics.py share."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

GOLDEN = os.environ.get("RULE_JAX_GOLDEN", "")


def golden():
    """The whole file: {category: [case, ...]}."""
    return json.loads(Path(GOLDEN).read_text(encoding="utf-8"))


def folder(name):
    """Where data beside the file lies."""
    return Path(GOLDEN).parent / name


def near(found, expected):
    """Equal to 1e-6, through lists and mappings; None expects NaN."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            near(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            near(one, other)
    elif expected is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def mean(values):
    return float(np.mean(list(values)))


def need(checked, least):
    """Some cases were checked against the data that their figures were made from."""
    assert checked >= least, "the data that the stated figures were made from lies not beside the file"
