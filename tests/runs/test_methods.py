from __future__ import annotations

import pytest

from transfer_meta.errors import InputError
from transfer_meta.runs.methods import TRANSFER_METHODS, WITHOUT_SOURCES, stage_of
from transfer_meta.training.method_settings import Mixing, SoftSharing
from transfer_meta.training.stage import Stage

BASE = Stage("rte", seed=3, encoder="offline", target_examples=100)


def test_a_source_stage_is_the_sources_own_baseline() -> None:
    stage = stage_of("intermediate", BASE, sources=["snli"], source_examples=1000)
    own = Stage("snli", seed=3, encoder="offline", target_examples=1000)
    assert stage.start == stage_of("single", own, sources=[])
    assert (stage.target, stage.target_examples) == ("rte", 100)


def test_a_chain_nests_in_the_order_of_training() -> None:
    stage = stage_of("chain", BASE, sources=["a", "b"])
    assert stage.start is not None
    assert stage.start.start is not None
    assert (stage.start.start.target, stage.start.target, stage.target) == ("a", "b", "rte")


def test_multitask_is_one_stage() -> None:
    stage = stage_of("multitask", BASE, sources=["a", "b"], source_examples=50)
    assert stage.tasks == ("rte", "a", "b")
    assert stage.mixing == Mixing("uniform")
    assert stage.source_examples == 50
    assert stage.start is None


def test_each_source_may_have_its_own_number_of_examples() -> None:
    mixture = stage_of("multitask", BASE, sources=["a", "b"], source_examples=[50, 20])
    assert mixture.source_examples == (50, 20)
    chain = stage_of("chain", BASE, sources=["a", "b"], source_examples=[50, 20])
    assert [stage.target_examples for stage in chain.chain] == [50, 20, 100]
    same = stage_of("multitask", BASE, sources=["a", "b"], source_examples=[50, 50])
    assert same == stage_of("multitask", BASE, sources=["a", "b"], source_examples=50)
    with pytest.raises(InputError, match="1 numbers of examples for 2 sources"):
        stage_of("chain", BASE, sources=["a", "b"], source_examples=[50])


def test_soft_is_one_stage_without_a_mixture() -> None:
    stage = stage_of("soft", BASE, sources=["a", "b"], source_examples=50)
    assert stage.tasks == ("rte", "a", "b")
    assert (stage.mixing, stage.soft) == (None, SoftSharing())
    assert stage.source_examples == 50
    kl = SoftSharing("kl", 2)
    assert stage_of("soft", BASE, sources=["a"], soft=kl).soft == kl


@pytest.mark.parametrize("method", TRANSFER_METHODS)
def test_every_method_gives_a_stage_without_problems(method: str) -> None:
    assert (
        stage_of(method, BASE, sources=[] if method in WITHOUT_SOURCES else ["snli"]).problems() == []
    )


@pytest.mark.parametrize(
    ("method", "sources", "message"),
    [
        ("intermediat", ["a"], "did you mean 'intermediate'"),
        ("single", ["a"], "takes no sources"),
        ("curriculum", ["a"], "'curriculum' takes no sources"),
        ("intermediate", ["a", "b"], "exactly one source"),
        ("chain", [], "at least one source"),
    ],
)
def test_bad_methods(method: str, sources: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stage_of(method, BASE, sources=sources)
