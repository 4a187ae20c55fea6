"""What holds for every file in the room of backends, and what a build refuses before anything is asked."""

import inspect

import pytest

from configs import build as recipe
from rule_jax import plugin, sharding
from rule_jax.builder import Target, pipeline, targets
from rule_jax.errors import UserError
from rule_jax.stages import Run


@pytest.mark.parametrize("name", plugin.names("builder.backends"))
def test_the_config_has_a_section_for_every_backend(name):
    make = plugin.load("builder.backends", name).make
    parameters = inspect.signature(make).parameters
    options = [p.name for p in parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert list(parameters) == ["desk", *options]
    assert set(recipe.get_config()[name]) == set(options)
    assert make.__doc__


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"target": " "}, "config.target is empty"),
        ({"more_targets": ("Tom Reed", "ina volk")}, "a target is given twice: Ina Volk, Tom Reed, ina volk"),
        ({"more_targets": ({"nam": "Tom Reed"},)}, r"config\.more_targets has \{'nam': 'Tom Reed'\}: a name, or"),
        ({"more_targets": (" ",)}, r"config\.more_targets has"),
        ({"more_targets": ({"name": "Tom Reed", "aliases": "T. Reed"},)}, r"aliases \(a list\)"),
        ({"backend": "opnai"}, "config.backend='opnai'; backends are openai, policy, table"),
        ({"answers": "mine"}, "config.answers='mine'"),
        ({"queries": 0}, "config.queries=0"),
        ({"prompts": "nowhere"}, "config.prompts='nowhere' is no folder"),
        ({"neighbours": {"count": 0}}, r"config\.neighbours\.count=0"),
        ({"consistency": {"samples": 0}}, r"config\.consistency\.samples=0"),
        ({"audit": {"second_opinion": "maybe"}}, r"config\.audit\.second_opinion='maybe'"),
        ({"audit": {"actions": {"markup": "keep"}}}, r"config\.audit\.actions\.markup='keep'"),
        ({"benchmark": {"name": "rwkuu"}}, "benchmarks has no 'rwkuu'"),
        ({"data": {"source": "rwku"}}, "--audit_only judges others"),
    ],
)
def test_a_config_that_makes_no_sense(tmp_path, change, expected):
    config = recipe.get_config()
    config.target = "Ina Volk"
    config.update(change)
    run = Run(config, tmp_path / "data", tmp_path, sharding.make_mesh(data=-1, fsdp=1, tensor=1))
    with pytest.raises(UserError, match=expected):
        pipeline.check(run, audit_only=False)
    assert not (tmp_path / "data").exists()


def test_an_audit_needs_a_source(tmp_path):
    run = Run(recipe.get_config(), tmp_path, tmp_path, sharding.make_mesh(data=-1, fsdp=1, tensor=1))
    with pytest.raises(UserError, match=r"set config\.data\.source"):
        pipeline.check(run, audit_only=True)


def test_targets_know_of_each_other_and_have_folders_of_their_own():
    config = recipe.get_config()
    config.target, config.aliases = " Ina  Volk", ("I. Volk",)
    assert targets.read(config) == [Target("Ina Volk", ("I. Volk",))]
    assert targets.folders(targets.read(config)) == [""]
    config.more_targets = ({"name": "Beyoncé", "aliases": ("Queen B",), "intro": "A singer."}, "孔子")
    ina, singer, sage = targets.read(config)
    assert singer == Target("Beyoncé", ("Queen B",), "A singer.", others=("Ina Volk", "I. Volk", "孔子"))
    assert ina.others == ("Beyoncé", "Queen B", "孔子")
    assert targets.folders([ina, singer, sage]) == ["1_ina_volk", "2_beyonce", "3_孔子"]
