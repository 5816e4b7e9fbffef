from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from known_tasks import FILM, make_task

from transfer_meta.errors import RunFailed
from transfer_meta.recommender.describe_target import describe_target
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.measure_target import SIZE_SEEDS, train_on_parts, with_test
from transfer_meta.recommender.source_readers import SourceReaders

pytest.importorskip("torch")


def test_a_quarter_half_and_all_with_three_seeds(data: Path, library: Library) -> None:
    task, tested_on = with_test(make_task("cinema", FILM, seed=50))
    lines: list[str] = []
    runs = train_on_parts(task, library, tested_on, tell=lines.append)
    assert runs.sizes == (12, 24, 48)
    assert [len(scores) for scores in runs.scores] == [3] * len(SIZE_SEEDS)
    assert all(0 <= score <= 1 for scores in runs.scores for score in scores)
    assert all(s > 0 for seconds in runs.seconds for s in seconds)
    assert (runs.available, runs.metric) == (48, "accuracy")
    assert runs.tested_on == "12 held out of its training split"
    assert lines[0] == "training on 12 examples of cinema alone, 3 seeds"
    assert len(lines) == 3
    again = train_on_parts(task, library, tested_on)
    assert again.scores == runs.scores


def test_large_targets_are_cut(data: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer_meta.recommender.measure_target.MAX_SIZE_EXAMPLES", 40)
    task, tested_on = with_test(make_task("cinema", FILM, seed=50))
    runs = train_on_parts(task, library, tested_on)
    assert (runs.sizes, runs.available) == ((10, 20, 40), 48)


def test_too_few_examples(data: Path, library: Library) -> None:
    task, tested_on = with_test(make_task("few", FILM, count=20, seed=50))
    with pytest.raises(RunFailed, match=r"16 training examples \(expected at least 20\)"):
        train_on_parts(task, library, tested_on)
    described = describe_target(make_task("few", FILM, count=20, seed=50), library, "measured")
    assert described.mode == "measured"
    assert described.size_runs is None
    assert (
        "no scores by number of examples: 16 training examples (expected at least 20)"
        in described.notes
    )


def test_another_encoder_than_the_one_that_is_trained(data: Path, library: Library) -> None:
    readers = SourceReaders.of("random:1x8")
    described = describe_target(
        make_task("cinema", FILM, seed=50), library, "measured", readers=readers
    )
    assert (described.mode, described.size_runs) == ("measured", None)
    expected = (
        "no scores by number of examples: they would be those of 'random:1x16', not of 'random:1x8'"
    )
    assert expected in described.notes


def test_a_run_that_fails(data: Path, library: Library) -> None:
    task, tested_on = with_test(make_task("cinema", FILM, seed=50))
    with pytest.raises(RunFailed, match="nowhere"):
        train_on_parts(task, replace(library, encoder="nowhere"), tested_on)
