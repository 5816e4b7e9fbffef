from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.feature_extraction.text import CountVectorizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from transfer_meta.features.missing import MissingError
from transfer_meta.features.text.counts import count_split
from transfer_meta.features.text.statistics import STATISTICS, Corpus
from transfer_meta.features.text.tokenize import tokenize
from transfer_meta.features.text.vocabulary import Vocabulary
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.resolve import resolve_tasks
from transfer_meta.tasks.task import Task

LN2 = math.log(2)


def corpus_of(
    train: list[Example],
    test: list[Example] | None = None,
    type: str = "classification",
    **given: object,
) -> Corpus:
    kind = TaskType(type)
    return Corpus(
        kind,
        count_split(train, kind),
        count_split(test, kind) if test is not None else None,
        **given,  # type: ignore[arg-type]
    )


def tokens_of(example: Example) -> list[str]:
    if example.tokens:
        return [token.lower() for token in example.tokens]
    texts = [example.text, example.text_pair or "", *example.choices]
    return [token for text in texts for token in tokenize(text)]


def text_of(example: Example) -> tuple[object, ...]:
    return (example.text, example.text_pair or "", example.choices)


def words_of(example: Example) -> object:
    words = Counter(t for t in tokens_of(example) if any(c.isalnum() for c in t))
    return frozenset(words.items()) or text_of(example)


def units_of(train: list[Example], type: TaskType) -> list[object]:
    if type == "token-classification":
        return [tag for e in train for tag in e.label]  # type: ignore[union-attr]
    if type == "question-answering":
        return [min(int(e.label[0].start / len(e.text_pair) * 10), 9) for e in train]  # type: ignore
    if type == "regression":
        targets = np.array([e.label for e in train], dtype=float)
        edges = np.linspace(targets.min(), targets.max(), 11)
        return np.clip(np.searchsorted(edges, targets, side="right"), 1, 10).tolist()
    return [e.label for e in train]


def reference(train: list[Example], test: list[Example], type: TaskType) -> dict[str, float]:
    """Every statistic, from its definition, with scikit-learn's matrix and SciPy's divergences."""
    vectorizer = CountVectorizer(analyzer=tokens_of)
    X = vectorizer.fit_transform([*train, *test]).astype(float)
    X, Y = X[: len(train)], X[len(train) :]
    p, q = np.asarray(X.sum(axis=0)).ravel(), np.asarray(Y.sum(axis=0)).ravel()
    lengths = np.asarray(X.sum(axis=1)).ravel()
    units = Counter(units_of(train, type))
    labels = np.array(list(units.values())) / sum(units.values())
    texts, bags = [text_of(e) for e in train], [words_of(e) for e in train]
    labels_of_text: dict[object, set[object]] = {}
    for text, example in zip(texts, train, strict=True):
        labels_of_text.setdefault(text, set()).add(example.label)
    unseen = q[p == 0].sum() / q.sum()
    return {
        "size": len(train),
        "n_labels": len(units),
        "tokens_types": p.sum() / (p > 0).sum(),
        "oov_rate": unseen,
        "label_entropy": entropy(labels),
        "fro_norm": scipy.sparse.linalg.norm(X),
        "jsd": jensenshannon(p, q) ** 2,
        "vocabulary_size": (p > 0).sum(),
        "hapax_rate": (p == 1).sum() / (p > 0).sum(),
        "length_mean": lengths.mean(),
        "length_median": np.median(lengths),
        "length_p95": np.percentile(lengths, 95),
        "majority_share": labels.max(),
        "label_entropy_normalised": entropy(labels) / np.log(len(units)),
        "duplicate_rate": 1 - len(set(texts)) / len(texts),
        "near_duplicate_rate": 1 - len(set(bags)) / len(bags),
        "label_conflict_rate": np.mean([len(labels_of_text[text]) > 1 for text in texts]),
        "train_test_overlap": _share([text_of(e) for e in test], set(texts)),
        "train_test_near_overlap": _share([words_of(e) for e in test], set(bags)),
        "unseen_rate": unseen,
    }


def _share(some: list[object], known: set[object]) -> float:
    return sum(one in known for one in some) / len(some)


@pytest.fixture(scope="module")
def tasks(shared: Path) -> list[Task]:
    return resolve_tasks([str(shared / "tasks")])


TASKS = [
    "atis_intent", "atis_slots", "boolq", "cola", "copa", "cosmosqa", "ewt_deprel", "ewt_upos", "mpqa", "mrpc",
    "qnli", "qqp", "rotten_tomatoes", "rte", "scitail", "sick_entailment", "sick_relatedness", "snli", "squad",
    "sst2", "stsb", "subj", "trec", "wic", "winogrande", "wnut17",
]  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_equals_the_definition_on_real_tasks(tasks: list[Task], name: str) -> None:
    task = next(task for task in tasks if task.name == name)
    train, test = list(task.examples("train")), list(task.examples("test"))
    corpus = corpus_of(train, test, task.type)
    expected = reference(train, test, task.type)
    assert set(expected) == set(STATISTICS) - {"subword_fertility"}
    for statistic, value in expected.items():
        assert STATISTICS[statistic](corpus) == pytest.approx(value, rel=1e-9, abs=1e-12), statistic


def test_the_tasks_are_those_of_the_folder(tasks: list[Task]) -> None:
    assert [task.name for task in tasks] == TASKS


WORDS = ["a", "film", "rain", "noon", "The", ".", "x1"]
Rows = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), st.sampled_from("pqr")
    ),
    min_size=1,
    max_size=25,
)


def examples_of(rows: list[tuple[str, str]]) -> list[Example]:
    return [Example(*row) for row in rows]


def all_of(corpus: Corpus) -> dict[str, float]:
    names = [name for name in STATISTICS if name != "subword_fertility"]
    return {name: STATISTICS[name](corpus) for name in names}


@settings(max_examples=50)
@given(Rows, Rows, st.randoms())
def test_permuting_rows_changes_nothing(train, test, rng) -> None:  # type: ignore[no-untyped-def]
    before = all_of(corpus_of(examples_of(train), examples_of(test)))
    rng.shuffle(train)
    rng.shuffle(test)
    assert all_of(corpus_of(examples_of(train), examples_of(test))) == pytest.approx(before, rel=1e-12)


@settings(max_examples=50)
@given(Rows, Rows)
def test_doubling_the_corpus(train, test) -> None:  # type: ignore[no-untyped-def]
    once = all_of(corpus_of(examples_of(train), examples_of(test)))
    twice = all_of(corpus_of(examples_of(train) * 2, examples_of(test) * 2))
    kept = "label_entropy jsd n_labels vocabulary_size majority_share length_mean oov_rate label_conflict_rate"
    for name in kept.split():
        assert twice[name] == pytest.approx(once[name], abs=1e-12), name
    assert twice["size"] == 2 * once["size"]
    assert twice["tokens_types"] == pytest.approx(2 * once["tokens_types"])
    assert twice["fro_norm"] == pytest.approx(math.sqrt(2) * once["fro_norm"])
    assert twice["duplicate_rate"] >= 0.5


@settings(max_examples=50)
@given(Rows, Rows)
def test_divergence_is_bounded_and_symmetric(train, test) -> None:  # type: ignore[no-untyped-def]
    one = STATISTICS["jsd"](corpus_of(examples_of(train), examples_of(test)))
    other = STATISTICS["jsd"](corpus_of(examples_of(test), examples_of(train)))
    assert 0 <= one <= LN2
    assert one == pytest.approx(other, abs=1e-12)
    assert STATISTICS["jsd"](corpus_of(examples_of(train), examples_of(train))) == pytest.approx(
        0, abs=1e-12
    )


def test_divergence_of_disjoint_splits() -> None:
    assert STATISTICS["jsd"](corpus_of([Example("a b")], [Example("c d d")])) == pytest.approx(LN2)


def test_vocabulary_for_oov() -> None:
    corpus = corpus_of(
        [Example("the film the rain")],
        [Example("the noon")],
        vocabulary=Vocabulary.from_words(["The", "rain"]),
    )
    assert STATISTICS["oov_rate"](corpus) == pytest.approx(1 / 4)
    assert STATISTICS["unseen_rate"](corpus) == pytest.approx(1 / 2)


def test_fertility() -> None:
    tokenizer = Tokenizer(
        models.WordPiece({"film": 0, "##s": 1, "a": 2, "[UNK]": 3}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.Lowercase()
    corpus = corpus_of([Example("a film"), Example("films films")], tokenizer=tokenizer)
    assert STATISTICS["subword_fertility"](corpus) == pytest.approx((1 + 1 + 2 + 2) / 4)


@pytest.mark.parametrize(
    ("targets", "bins"),
    [([1, 1, 1], [3]), ([0, 0.9, 10], [2, 1]), ([0, 1, 10], [1, 1, 1]), ([0, 5, 5, 10], [1, 2, 1])],
)
def test_targets_are_counted_by_ten_bins(targets: list[float], bins: list[int]) -> None:
    corpus = corpus_of([Example("a", float(t)) for t in targets], type="regression")
    assert sorted(corpus.label_counts) == sorted(bins)
    assert STATISTICS["label_entropy"](corpus) == pytest.approx(entropy(bins))


def test_a_single_label() -> None:
    corpus = corpus_of([Example("a", "x"), Example("b", "x")])
    values = [STATISTICS[n](corpus) for n in ("n_labels", "label_entropy", "label_entropy_normalised")]
    assert values == [1, 0, 0]
    assert math.copysign(1, values[1]) == 1


@pytest.mark.parametrize(
    ("corpus", "names", "reason"),
    [
        (
            corpus_of([Example("a", "x")]),
            "jsd unseen_rate oov_rate train_test_overlap",
            "no test split",
        ),
        (
            corpus_of([Example("a")], []),
            "jsd train_test_near_overlap unseen_rate",
            "a split has no|no test ex",
        ),
        (
            corpus_of([Example("a")]),
            "n_labels label_entropy majority_share",
            "no labels in the train split",
        ),
        (
            corpus_of([Example("")], [Example("a")]),
            "tokens_types hapax_rate",
            "no tokens in the train split",
        ),
        (corpus_of([Example("a")]), "subword_fertility", "no tokenizer given"),
    ],
)
def test_missing_statistics_have_reasons(corpus: Corpus, names: str, reason: str) -> None:
    for name in names.split():
        with pytest.raises(MissingError, match=reason):
            STATISTICS[name](corpus)


def test_each_has_a_definition() -> None:
    assert all(function.__doc__ and len(function.__doc__) > 25 for function in STATISTICS.values())
