"""Form of the catalogue of sources: every row can be read, names are unique, values are of their kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.files import data_folder
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.records import TYPES_WITH_HEADS, TaskType
from transfer_meta.tasks.catalogue import (
    CatalogueSource,
    find_by_hub,
    find_in_catalogue,
    known_source,
    load_catalogue,
)
from transfer_meta.tasks.source_sets import parse_sources

SOURCES = load_catalogue()
FORMS = {
    "name": r"[a-z0-9]+(_[a-z0-9]+)*",
    "hub": r"\w[\w.-]*/\w[\w.-]*",
    "config": r"(\w[\w.-]*)?",
    "revision": r"(refs/convert/parquet|[0-9a-f]{40})?",
    "train_split": r"\w+",
    "test_split": r"\w*",
    "language": r"en",
    "licence": r"[a-z0-9.-]+",
    "description": r"[A-Z0-9].{28,298}\.",
    "remark": r"([A-Z].*\.)?",
    "paper": r"unknown|\D+ (19|20)\d\d[a-z]?",
    "url": r"(https://\S+)?",
    "seen_in": r"[\w.-]+/[\w.-]+ [\w./ -]+\.\w+|https://huggingface\.co/datasets/\S+",
}
PAPERS = {
    "Vu et al. 2020": (
        "snli mnli qqp qnli sst2 scitail cola stsb mrpc rte wnli squad_v2 newsqa hotpotqa squad duorc_p duorc_s"
        " drop wikihop boolq comqa cq st ccg parent gparent ggparent pos_ptb pos_ewt chunk ner ged conj",
        "comqa cq st ccg parent gparent ggparent pos_ptb ged conj",
    ),
    "Poth et al. 2021": (
        "ud_pos imdb scitail social_i_qa hellaswag winogrande sst2 swag duorc_s race record qnli newsqa squad_v2"
        " art qqp mnli snli yelp_polarity pmb_sem_tagging cosmos_qa sick multirc emo quoref wikihop hotpotqa"
        " duorc_p squad fce_error_detection quartz mrpc wic scicite cola anli_r3 trec emotion conll2000"
        " conll2003_pos wnut_17 mit_movie_trivia rte copa rotten_tomatoes cq conll2003 commonsense_qa stsb drop"
        " quail boolq ud_deprel",
        "pmb_sem_tagging fce_error_detection cq",
    ),
    "SuperGLUE": ("boolq cb copa multirc record rte wic wsc", ""),
}
"""Tasks of papers, and those that the catalogue lacks: licensed corpora, and those of which no copy was seen."""
WITHOUT_ENTRY: dict[str, tuple[str, str]] = {
    "bingel-soegaard-2017": (
        "CCG CHU COM FNT HYP KEY MWE POS SEM STR",
        "tagging tasks from licensed corpora, or in versions of their own",
    ),
    "talmor-berant-2019": (
        "CQ CWQ ComQA SEARCHQA TQA-G",
        "questions over search results, of which no copy on the Hub with their form is known",
    ),
    "taskweb-sets": (
        "story_cloze",
        "no data set of the Hub has its texts: its authors send them on request",
    ),
}
"""Tasks of tables that the catalogue lacks, and why."""
VISION = "taskonomy"
"""A table whose tasks are no texts."""


@pytest.mark.parametrize("field", FORMS)
def test_values_have_their_form(field: str) -> None:
    assert [s.name for s in SOURCES if not re.fullmatch(FORMS[field], getattr(s, field))] == []


def test_there_are_120_sources_of_every_type() -> None:
    assert len(SOURCES) >= 120
    assert {source.type for source in SOURCES} == set(TYPES_WITH_HEADS)


def test_aliases_are_words() -> None:
    assert [a for s in SOURCES for a in s.aliases if not re.fullmatch(r"\w[\w.-]*", a)] == []


def test_no_two_sources_read_the_same_examples_and_labels() -> None:
    read = [(s.path, s.train_split, sorted(s.columns.items())) for s in SOURCES]
    assert [key for key in read if read.count(key) > 1] == []
    assert len({source.address for source in SOURCES}) == len(SOURCES)


def test_splits_differ() -> None:
    assert [s.name for s in SOURCES if s.train_split == s.test_split] == []


def test_columns_are_named_once_and_choices_belong_to_a_question() -> None:
    for source in SOURCES:
        named = [name for column in source.columns.values() for name in column.split(",")]
        assert len(named) == len(set(named)), source.name
        if source.type is TaskType.MULTIPLE_CHOICE:
            assert {"context", "question"} & source.columns.keys(), source.name
    assert [s.name for s in SOURCES if not s.columns] == ["isear"], (
        "those whose columns were seen nowhere"
    )


def test_numbers_are_positive_and_fit_the_type() -> None:
    for source in SOURCES:
        numbers = (source.classes, source.train_size, source.mean_length)
        assert all(number is None or number > 0 for number in numbers), source.name
        if source.classes is not None:
            assert source.classes > 1, source.name
            assert source.type not in (TaskType.REGRESSION, TaskType.QUESTION_ANSWERING), source.name


@pytest.mark.parametrize("table", [name for name in shipped_tables() if name != VISION])
def test_every_task_of_a_table_has_an_entry(table: str) -> None:
    pairs = load_outcomes(table).pairs
    tasks = set(pairs["target"])
    if table != "model-recycling":  # its sources are checkpoints
        tasks |= {task for name in set(pairs["source"]) for task in parse_sources(name).members}
    missing = {task for task in tasks if find_in_catalogue(task) is None}
    assert missing == set(WITHOUT_ENTRY.get(table, ("", ""))[0].split())


@pytest.mark.parametrize("paper", PAPERS)
def test_tasks_of_papers_have_an_entry(paper: str) -> None:
    tasks, missing = map(str.split, PAPERS[paper])
    assert [task for task in tasks if find_in_catalogue(task) is None] == missing


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("SST-2", "sst2"),
        ("sst2", "sst2"),
        ("hf:nyu-mll/glue/sst2", "sst2"),
        ("rajpurkar/squad", "squad"),
        ("hf:rajpurkar/squad@main", "squad"),
        ("hf:mteb/amazon_counterfactual", "amazon_counterfactual"),
        ("hf:facebook/anli#anli_r2", "anli_r2"),
        ("facebook/anli", None),
        ("nyu-mll/glue", None),
        ("no_such_source", None),
    ],
)
def test_names_and_addresses_are_found(given: str, name: str | None) -> None:
    found = find_in_catalogue(given)
    assert (found.name if found else None) == name


def test_an_address_leads_back_to_its_source() -> None:
    assert [s.name for s in SOURCES if find_in_catalogue(s.address) is not s] == []


def test_a_configuration_can_be_left_out_where_there_is_one() -> None:
    assert find_by_hub("clinc/clinc_oos") == find_by_hub("clinc/clinc_oos/plus")
    assert find_by_hub("cardiffnlp/tweet_eval") == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sqad", "'sqad' is not among the .* sources of the catalogue; did you mean 'squad'"),
        ("rajpurkar/sqad", "did you mean 'rajpurkar/squad'"),
        ("facebook/anli", "has 3 tasks; name one: anli_r1, anli_r2, anli_r3"),
        ("nyu-mll/glue", "has 9 tasks; name one: cola, "),
    ],
)
def test_a_source_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        known_source(name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name,", "nam,", ":1: columns nam"),
        ("alias_of_it", "a", ":2: 'a' is also a name of 'a'"),
        ("classification", "clasification", ":2: 'clasification' is not a valid TaskType"),
        ('""text""', '""txt""', ":2: columns of classification: text, txt"),
        ('""x""}"', '""x"""', ":2: Expecting"),
        (",owner/data,", ",,", ":2: no hub"),
        (",100,", ",many,", ":2: invalid literal"),
        (",seen", "", ":2: expected 19 cells"),
        ("owner/data", "javascript:alert(1)", ":2: hub 'javascript:alert(1)' is not of the form"),
        ("owner/data", "owner/data>x", ":2: hub 'owner/data>x' is not of the form"),
        ("owner/data", "--help", ":2: hub '--help' is not of the form"),
        ("owner/data", "owner/d;rm a", ":2: hub 'owner/d;rm a' is not of the form"),
        ("owner/data", "owner/\x1b[31m", r":2: hub 'owner/\x1b[31m' is not of the form"),
        ("owner/data", "owner/../data", ":2: hub 'owner/../data' is not of the form"),
        ("owner/data,,", "owner/data,$(id),", ":2: config '$(id)' is not of the form"),
        ("A 2020,,", "A 2020,javascript:alert(1),", ":2: url 'javascript:alert(1)' is not of the form"),
        ("A 2020,,", "A 2020,https://a/'>,", ":2: url 'https://a/'>' is not of the form"),
        ("\na,", "\n<b>,", ":2: name '<b>' is not of the form"),
    ],
)
def test_a_broken_catalogue_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    row = (
        'a,alias_of_it,owner/data,,,train,test,"{""text"": ""t"", ""label"": ""x""}",classification,2,100,,en,mit,'
        "About it.,,A 2020,,seen"
    )
    header = (data_folder() / "catalogue.csv").read_text(encoding="utf-8").partition("\n")[0]
    path = tmp_path / "catalogue.csv"
    path.write_text(f"{header}\n{row}\n")
    (source,) = load_catalogue(path)
    assert source == CatalogueSource(**expected())
    text = f"{header}\n{row}\n"
    assert old in text
    broken = tmp_path / "broken.csv"
    broken.write_text(text.replace(old, new, 1) if old != ",seen" else text.replace(",seen\n", "\n"))
    with pytest.raises(InputError, match=re.escape(str(broken) + message)):
        load_catalogue(broken)


def expected() -> dict[str, Any]:
    return {
        "name": "a", "aliases": ("alias_of_it",), "hub": "owner/data", "test_split": "test", "licence": "mit",
        "columns": {"text": "t", "label": "x"}, "type": TaskType.CLASSIFICATION, "classes": 2, "train_size": 100,
        "description": "About it.", "paper": "A 2020", "seen_in": "seen",
    }  # fmt: skip
