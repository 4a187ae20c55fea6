"""Every metric against what the reference code gave on the same input, to 1e-6: the file that RULE_JAX_GOLDEN names.

A category of the file is checked by the function of its name in tests/golden_checks; one without a function fails, and
so does a function without its category. Null stands for NaN. Real data is looked for beside the file (rwku/,
tofu_logs/).
"""

import inspect

import pytest

from tests.golden_checks import numbers, rwku_folders, texts, tofu
from tests.golden_checks.common import GOLDEN, golden

pytestmark = pytest.mark.skipif(not GOLDEN, reason="RULE_JAX_GOLDEN names no file of reference scores")


def _meta(cases):
    assert {"rouge", "rouge_score", "scipy"} <= cases[0]["versions"].keys()


CHECKS = {"_meta": _meta} | {
    name: check
    for module in (texts, numbers, tofu, rwku_folders)
    for name, check in inspect.getmembers(module, inspect.isfunction)
    if check.__module__ == module.__name__ and [*inspect.signature(check).parameters] == ["cases"]
}


@pytest.mark.parametrize("category", CHECKS)
def test_category(category):
    cases = golden()[category]
    assert len(cases) > 0
    CHECKS[category](cases)


def test_no_category_is_unknown():
    assert sorted(golden()) == sorted(CHECKS)
