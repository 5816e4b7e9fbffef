"""From public outcome corpora to tables that ship: outcomes, task features, vectors; no text, no runs of others.

    python examples/build_tables.py DATA_FOLDER OUT_FOLDER [--parts taskweb,model-recycling,taskonomy]

DATA_FOLDER holds ``taskweb/``, ``model_recycling/`` and ``taskonomy/``; OUT_FOLDER gets a folder for each
(``data/`` of the project, where README.md and dataset.toml of each lie already).  Profiles and vectors that are
there are not computed again (delete one to have it made anew).

The parts ``taskweb-sets`` and ``minilm-31-sets`` are tables of sets of sources; both need the shipped table of
single sources.  The runs of ``minilm-31-sets`` are those of ``minilm_31/others.csv``, those that are in its table
already, and those of every ``minilm_31_sets/*.csv`` in DATA_FOLDER, if any: exports of a run store by
``transfer-meta runs export --store STORE --out FILE.csv``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from minilm_grid import (
    EMBEDDING,
    ENCODER,
    KEY,
    make_profile,
    pair_table,
    tell,
    useful,
    write,
    write_vectors,
)
from taskweb import DESCRIPTIONS

from transfer_meta.encoding.embedder import Embedder
from transfer_meta.evaluation.ceiling import noise_ceiling
from transfer_meta.evaluation.single_gains import expected_single_gains
from transfer_meta.features.profile_files import load_profile, save_profile
from transfer_meta.features.source_set_features import set_features
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.files import atomic_file
from transfer_meta.outcomes.importers import import_taskweb
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.tables import build_table, load_outcomes
from transfer_meta.records import Answer, Example, TaskProfile, TaskType
from transfer_meta.tasks import Task
from transfer_meta.tasks.source_sets import parse_sources

# ------------------------------------------------------------------------------------------------- TaskWeb

SETTING = ["encoder", "adaptation"]
ENCODERS = {"roberta": "roberta-base", "t5s": "t5-small", "t5b": "t5-base", "t5l": "t5-large"}
ADAPTATIONS = {"finetune": "finetune", "pfeiffer": "adapter"}
VECTORS = ("textemb", "descemb")

Parts = dict[str, str]


def _plain(parts: Parts, row: dict[str, Any]) -> Example:
    return Example(parts["text"], row["label"], text_pair=parts.get("pair"))


def _choice(parts: Parts, row: dict[str, Any]) -> Example:
    choices = tuple(row["choices"])
    return Example(parts["text"], row["label_id"], text_pair=parts.get("pair", ""), choices=choices)


def _score(parts: Parts, row: dict[str, Any]) -> Example:
    return Example(parts["text"], float(row["label"]), text_pair=parts["pair"])


def _span(parts: Parts, row: dict[str, Any]) -> Example:
    start = parts["pair"].find(row["label"])
    answers = (Answer(row["label"], start),) if start >= 0 else ()
    return Example(parts["text"], answers, text_pair=parts["pair"])


def _socialiqa(parts: Parts, row: dict[str, Any]) -> Example:
    return Example(parts["text"], row["label"], text_pair=f"{parts['question']} {parts['answer']}")


def _wic(parts: Parts, row: dict[str, Any]) -> Example:
    return Example(f"{parts['word']}: {parts['text']}", row["label"], text_pair=parts["pair"])


def _hellaswag(parts: Parts, row: dict[str, Any]) -> Example:
    return _choice({"text": f"{parts['first']} {parts['then']}"}, row)


def _copa(parts: Parts, row: dict[str, Any]) -> Example:
    return _choice(parts | {"pair": parts["pair"].split()[-1]}, row)


CLASSES, CHOICES = TaskType.CLASSIFICATION, TaskType.MULTIPLE_CHOICE
# The prompt around the texts of a task, and what an example is made of: the form of a task's own file.
PROMPTS: dict[str, tuple[TaskType, str, Callable[[Parts, dict[str, Any]], Example]]] = {
    "anli_r3": (
        CLASSES,
        r'(?P<text>.*?)\s*\n\nQuestion: Does this imply that "(?P<pair>.*)"\? Yes, no, or maybe\?',
        _plain,
    ),
    "boolq": (CLASSES, r"(?P<pair>.*?)\s*\n\nHaving read that, I wonder (?P<text>.*)", _plain),
    "cb": (
        CLASSES,
        r"Given that (?P<text>.*) Does it follow that (?P<pair>.*) Yes, no, or maybe\?",
        _plain,
    ),
    "copa": (
        CHOICES,
        r"(?P<text>.*?)\s*\n\nWhat's the best option\?.*We are looking for  (?P<pair>an? (?:cause|effect))",
        _copa,
    ),
    "cosmosqa": (
        CHOICES,
        r"[^\n]*\nContext: (?P<text>.*)\nQuestion: (?P<pair>.*?)\nOptions: .*",
        _choice,
    ),
    "hellaswag": (
        CHOICES,
        r"[^\n]*\nFirst, (?P<first>.*?) Then, (?P<then>.*?) ?\.\.\.\n\n\(a\).*",
        _hellaswag,
    ),
    "imdb": (CLASSES, r"(?P<text>.*?)\s*The sentiment expressed for the movie is", _plain),
    "mrpc": (CLASSES, r"[^\n]*\n(?P<text>[^\n]*)\n(?P<pair>.*)", _plain),
    "piqa": (CHOICES, r"Solution 1: .*\n\nGoal: (?P<text>.*?)\n\nGiven the goal, .*", _choice),
    "qnli": (
        CLASSES,
        r'Does knowing that "(?P<text>.*)" imply that I know the answer to "(?P<pair>.*)"',
        _plain,
    ),
    "qqp": (
        CLASSES,
        r'I received the questions "(?P<text>.*?)" and "(?P<pair>.*)"\. Are they duplicates\?',
        _plain,
    ),
    "quartz": (
        CHOICES,
        r"Paragraph: (?P<text>.*?)\s*\n Question: (?P<pair>.*?)\s*\n Choices: .*",
        _choice,
    ),
    "rotten_tomatoes": (CLASSES, r"(?P<text>.*?)\s*The sentiment expressed for the movie is", _plain),
    "rte": (CLASSES, r"Given that (?P<text>.*) Does it follow that (?P<pair>.*) Yes or no\?", _plain),
    "scitail": (CLASSES, r"Suppose (?P<text>.*) Can we infer that (?P<pair>.*)\?", _plain),
    "snli": (
        CLASSES,
        r"Given that (?P<text>.*) Does it follow that (?P<pair>.*) Yes, no, or maybe\?",
        _plain,
    ),
    "socialiqa": (
        CLASSES,
        r'(?P<text>.*?)\s*\n\nGiven the question "(?P<question>.*?)", is "(?P<answer>.*)" a valid answer\?',
        _socialiqa,
    ),
    "squad_v2": (
        TaskType.QUESTION_ANSWERING,
        r"[^\n]*\nContext: (?P<pair>.*);\s*Question: (?P<text>.*);\s*Answer:",
        _span,
    ),
    "stsb": (
        TaskType.REGRESSION,
        r"[^\n]*\nSentence 1: (?P<text>[^\n]*)\nSentence 2: (?P<pair>[^\n]*)\nYour score .*",
        _score,
    ),
    "wic": (
        CLASSES,
        r"Sentence 1: (?P<text>[^\n]*)\nSentence 2: (?P<pair>[^\n]*)\n\n"
        r'Determine whether the word "(?P<word>.*)" is used .*',
        _wic,
    ),
    "winogrande": (CHOICES, r"(?P<text>.*) In the previous sentence, does _ refer to .*\?", _choice),
    "wsc": (CLASSES, r'(?P<text>.*) I think they mean "(?P<pair>.*)" Yes or no\?', _plain),
}
ENTAILED = {"Yes": "entailment", "Maybe": "neutral", "No": "contradiction"}
# The prompts' answers as the classes of the tasks' own files.
LABELS = {
    "anli_r3": ENTAILED,
    "cb": ENTAILED,
    "snli": ENTAILED,
    "rte": {"Yes": "entailment", "No": "not_entailment"},
    "qnli": {"yes": "entailment", "no": "not_entailment"},
    "qqp": {"yes": "duplicate", "no": "different"},
    "wic": {"Yes": "same", "No": "different"},
}


def read_task(path: Path) -> Task:
    """One task of the corpus, the prompt taken off."""
    name = path.name.split(".")[0]
    type, prompt, make = PROMPTS[name]
    labels = LABELS.get(name, {})
    examples = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            found = re.fullmatch(prompt, row["text"].strip(), flags=re.DOTALL)
            if found is None:
                raise SystemExit(f"{path}: not in the prompt of {name}: {row['text']!r}")
            row["label"] = labels.get(row["label"], row["label"])
            examples.append(make({k: v.strip() for k, v in found.groupdict().items()}, row))
    return Task.from_iterable(name, type, {"train": examples}, description=DESCRIPTIONS[name])


def mean_outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of a pair in a setting; the gain is the mean of the runs' relative gains."""
    key = [*SETTING, "target", "source"]
    runs = runs.assign(gain=runs["score"] / runs["baseline"] - 1)
    runs["improved"] = (runs["gain"] > 0).astype(float)
    groups = runs.groupby(key)
    table = groups[["baseline", "score", "gain", "improved"]].mean()
    table["gain_std"] = groups["gain"].std()
    table["n_seeds"] = groups.size()
    table = table.reset_index().assign(method="intermediate", regime="full-1000")
    columns = [*SETTING, "method", "regime", "source", "target", "n_seeds", "baseline", "score", "gain"]
    return table[[*columns, "gain_std", "improved"]].round(6)


def ceilings(runs: pd.DataFrame) -> pd.DataFrame:
    """The noise ceiling of all settings together (no setting named), and of each."""
    found = [noise_ceiling(build_table(runs)).assign(setting="")]
    for names, part in runs.groupby(SETTING):
        alone = build_table(part.drop(columns=SETTING))
        found.append(noise_ceiling(alone, ["spearman"]).assign(setting=" / ".join(names)))
    return pd.concat(found)[["setting", *found[0].columns[:-1]]].round(4)


def build_taskweb(corpus: Path, out: Path) -> None:
    """Outcomes, noise ceiling, features of tasks and pairs, profiles and vectors."""
    runs = import_taskweb(corpus).table.rename(columns={"model": "encoder"})
    runs["encoder"] = runs["encoder"].map(ENCODERS)
    runs["adaptation"] = runs["adaptation"].map(ADAPTATIONS)
    write(mean_outcomes(runs), out / "outcomes.csv")
    write(ceilings(runs), out / "ceiling.csv")
    tasks = {t.name: t for t in map(read_task, sorted((corpus / "text").glob("*.jsonl.gz")))}
    embedder = Embedder(ENCODER, EMBEDDING)
    profiles, vectors = {}, {}
    for name, task in tasks.items():
        vector_file, profile_file = out / "vectors" / f"{name}.npz", out / "profiles" / f"{name}.json"
        if not vector_file.exists():
            tell(f"vectors of {name}")
            write_vectors(task, vector_file, embedder, VECTORS)
        vectors |= load_vectors(vector_file)[0]
        if not profile_file.exists():
            save_profile(profile_file, make_profile(task))
        profiles[name] = load_profile(profile_file)
    # Without the size: it is how many examples are at hand, not how many a source was trained on.
    features = useful(pd.DataFrame([p.features for p in profiles.values()]).drop(columns="size"))
    features.insert(0, "task", list(profiles))
    write(features, out / "tasks.csv")
    pairs = pd.DataFrame([(s, t) for t, s in permutations(tasks, 2)], columns=KEY)
    table = pair_table(pairs, tasks, profiles, vectors)
    marked = table[[*KEY, "shared_text"]]
    table = useful(table.drop(columns=["shared_text"]).set_index(KEY)).reset_index()
    write(marked.merge(table, on=KEY), out / "pairs.csv")


# -------------------------------------------------------------------------------------------- sets of sources

SAME_COLLECTION = {"anli_r1": ("anli_r3",), "anli_r2": ("anli_r3",)}
"""Parts of one collection are no outcomes of other targets."""
MIXTURES = {(): "uniform", (0.5, 0.25, 0.25): "half-target"}
"""Name of the setting by the weights of a mixture's tasks, the target first."""
COMPLETE = 0.9
"""Share of a target's sets, of those that most seeds have, from which a seed counts."""
SET_KEY = ["method", "settings", "target", "source", "seed"]


def task_material(name: str) -> tuple[dict[str, TaskProfile], dict[str, Vectors]]:
    """The profiles and vectors of the tasks of a shipped table."""
    shipped = find_shipped(name)
    profiles = {task: load_profile(path) for task, path in shipped.profiles.items()}
    return profiles, {task: load_vectors(path)[0][task] for task, path in shipped.vectors.items()}


def write_set_features(
    cells: pd.DataFrame, out: Path, *, singles: str, settings: Sequence[str] = ()
) -> None:
    """The features of sets, with expected gains of which no target has a part in its own."""
    cells = cells[KEY].drop_duplicates().sort_values(["target", "source"])
    expected = expected_single_gains(
        load_outcomes(singles), cells["target"].unique(), settings=settings, relatives=SAME_COLLECTION
    )
    profiles, vectors = task_material(singles)
    write(set_features(cells, expected, profiles=profiles, vectors=vectors), out / "pairs.csv")


def build_taskweb_sets(corpus: Path, out: Path) -> None:
    """Means of the cells over prompts and seeds, noise ceiling, features of the sets."""
    runs = pd.read_csv(corpus / "sets.csv.gz")
    # The prompts move all sets of a target alike: noise is what differs between seeds.
    by_seed = runs.groupby(["source", "target", "seed"])["score"].mean().reset_index()
    cells = by_seed.groupby(["target", "source"])["score"]
    table = cells.mean().reset_index()
    table["n_seeds"], table["score_std"] = cells.size().to_numpy(), cells.std().to_numpy()
    columns = ["source", "target", "n_seeds", "score", "score_std"]
    write(table[columns].round(6), out / "outcomes.csv")
    ceiling = noise_ceiling(build_table(by_seed)).assign(setting="")
    write(ceiling[["setting", *ceiling.columns[:-1]]].round(4), out / "ceiling.csv")
    settings = [s for s in load_outcomes("taskweb").pairs["setting"].unique() if s.startswith("t5-")]
    write_set_features(table, out, singles="taskweb", settings=settings)


def mixture_name(method: str, settings: str) -> str:
    """The name of a run's setting, from the settings that an export holds as JSON.

    >>> mixture_name("chain", "{}"), mixture_name("multitask", '{"mixing": {"weights": [0.5, 0.25, 0.25]}}')
    ('sequence', 'half-target')
    """
    if method == "chain":
        return "sequence"
    weights = json.loads(settings).get("mixing", {}).get("weights") or ()
    return MIXTURES.get(tuple(weights), " ".join(f"{w:g}" for w in weights))


def build_minilm_sets(corpus: Path, out: Path) -> None:
    """The outcomes of sets of sources of minilm-31 and of later runs; features of the sets."""
    singles = load_outcomes("minilm-31")
    shipped = find_shipped("minilm-31")
    parts = [pd.read_csv(path) for path in (out / "outcomes.csv",) if path.exists()]
    first = pd.read_csv(shipped.folder / "others.csv")
    first = first.assign(settings=first["method"].map({"chain": "sequence", "multitask": "uniform"}))
    parts.append(first)
    for file in sorted(corpus.glob("*.csv")):
        later = pd.read_csv(file)
        named = zip(later["method"], later["settings"], strict=True)
        parts.append(later.assign(settings=[mixture_name(*names) for names in named]))
    table = pd.concat(parts, ignore_index=True)
    members = [parse_sources(name) for name in table["source"]]
    known = set(singles.tasks.index)
    kept = [
        len(sources.members) > 1 and sources.tasks <= known and target in known
        for sources, target in zip(members, table["target"], strict=True)
    ]
    table = table[kept].drop_duplicates(SET_KEY).sort_values(SET_KEY)
    # The gains of a seed share its baseline: it counts where nearly all sets of the target have it.
    found = table.groupby([*SET_KEY[:3], "seed"])["source"].transform("size")
    table = table[found >= COMPLETE * found.groupby([table[c] for c in SET_KEY[:3]]).transform("max")]
    table = table.assign(absolute_gain=table["score"] - table["baseline"])
    columns = ["source", "target", "method", "settings", "seed", "baseline", "score", "gain"]
    write(table[[*columns, "absolute_gain"]], out / "outcomes.csv")
    write_set_features(table, out, singles="minilm-31")


# ----------------------------------------------------------------------------------------- model-recycling

ALIGNED = 0.85
"""Smallest correlation of a source's scores with its base's over the targets: below, its row is shifted."""
FAILED = 0.3
"""A score so far below the base's is a failed tuning."""
ALIKE = 0.85
"""Correlation of the gains of two sources of an owner, in units of the base's noise, that near-copies have."""
MIN_NOISE = 0.003
TARGET_NAMES = {"trec_coarse": "trec"}
"""Targets by the name that another table has for the same data."""

# Data sets that the name of a checkpoint mentions, most specific first: what is matched is taken out of the name.
MENTIONED = {
    "squad_v2": r"squad[-_]?v?2(?:[-_.]0)?|squadv2",
    "squad": r"squad",
    "mnli": r"multi[-_]?nli|mnli|multinli",
    "esnli": r"(?<![a-z])e[-_]?snli",
    "docnli": r"docnli",
    "scinli": r"scinli",
    "mednli": r"mednli",
    "scitail": r"scitail",
    "snli": r"snli",
    "anli": r"anli",
    "nli_fever": r"fever",
    "xnli": r"xnli",
    "qnli": r"qnli",
    "wnli": r"wnli",
    "rte": r"(?<![a-z])rte(?![a-z])",
    "cola": r"(?<![a-z])cola(?![a-z])",
    "sst2": r"sst[-_]?2",
    "sst_5bins": r"sst[-_]?5",
    "mrpc": r"mrpc",
    "qqp": r"qqp|quora",
    "stsb": r"sts[-_]?b",
    "boolq": r"boolq",
    "copa": r"(?<![a-z])copa(?![a-z])",
    "wic": r"(?<![a-z])wic(?![a-z])",
    "multirc": r"multirc",
    "paws": r"(?<![a-z])paws(?![a-z])",
    "imdb": r"imdb",
    "rotten_tomatoes": r"rotten[-_]?tomatoes",
    "yelp": r"yelp",
    "massive_intent": r"(?:amazon[-_])?massive[-_]intent",
    "amazon_polarity": r"amazon[-_]?polarity",
    "amazon_reviews_multi": r"amazon[-_]?reviews?[-_]?multi",
    "amazon_reviews": r"amazon",
    "app_reviews": r"app[-_]reviews",
    "poem_sentiment": r"poem[-_]?sentiment",
    "banking77": r"banking77",
    "scotus": r"scotus",
    "subjqa": r"subjqa",
    "financial_phrasebank": r"financial[-_]?phrasebank|phrasebank",
    "ag_news": r"ag[-_]?news",
    "20_newsgroup": r"20[-_]?news",
    "dbpedia": r"dbpedia",
    "yahoo_answers": r"yahoo",
    "go_emotions": r"go[-_]?emotions?",
    "tweet_ev_emotion": r"tweet[-_]?eval[-_]emotion",
    "tweet_ev_irony": r"(?:tweet[-_]?eval[-_]|twitter[-_](?:.*-)?)irony",
    "tweet_ev_hate": r"(?:tweet[-_]?eval[-_]|twitter[-_](?:.*-)?)hate",
    "tweet_ev_offensive": r"(?:tweet[-_]?eval[-_]|twitter[-_](?:.*-)?)offensive",
    "tweet_ev_emoji": r"(?:tweet[-_]?eval[-_]|twitter[-_](?:.*-)?)emoji",
    "tweet_ev_sentiment": r"(?:tweet[-_]?eval[-_]|twitter[-_](?:.*[-_])?)sentiment",
    "emotion": r"(?<![a-z])emotion(?![a-z])",
    "conll2003": r"conll[-_]?(?:20)?03|conll",
    "ontonotes": r"ontonotes",
    "wnut17": r"wnut",
    "hotpotqa": r"hotpot[-_]?qa",
    "triviaqa": r"trivia[-_]?qa",
    "newsqa": r"newsqa",
    "coqa": r"coqa",
    "quac": r"quac(?![a-z])",
    "race": r"(?<![a-z])race(?![a-z])",
    "cosmosqa": r"cosmos[-_]?qa",
    "hellaswag": r"hellaswag",
    "swag": r"(?<![a-z])swag(?![a-z])",
    "nq": r"natural[-_]?questions|(?<![a-z])nq(?![a-z])",
    "ms_marco": r"ms[-_]?marco",
    "eli5": r"eli5",
    "gsm8k": r"gsm8k",
    "cnn_dailymail": r"cnn[-_]?dm|cnn[-_]?dailymail",
    "xsum": r"(?<![a-z])xsum",
    "samsum": r"samsum",
    "pubmed_qa": r"pubmed[-_]?qa",
    "wikitext": r"wikitext",
    "bookcorpus": r"bookcorpus",
    "stereoset": r"stereoset",
    "crows_pairs": r"crows[-_]?pairs",
    "winobias": r"winobias",
    "bc5cdr": r"bc5cdr",
    "jnlpba": r"jnlpba",
    "mit_movie_trivia": r"mit[-_]?movie",
    "reclor": r"reclor",
    "semeval2012_relations": r"semeval[-_]?2012",
}


def mentioned(source: str) -> str:
    """The data sets that a Hub id mentions, by our names, joined by +.

    >>> mentioned("owner/roberta-base-squad2-mnli"), mentioned("owner/my-model")
    ('squad_v2+mnli', '')
    """
    name, found = source.split("/", 1)[-1].lower(), []
    for data, pattern in MENTIONED.items():
        if match := re.search(pattern, name):
            found.append((match.start(), data))
            name = name[: match.start()] + "~" * len(match[0]) + name[match.end() :]
    return "+".join(data for _, data in sorted(found))


def series_name(source: str) -> str:
    """A Hub id with every number replaced: what members of a series of an owner have in common.

    >>> series_name("owner/model-k-16-seed-0") == series_name("owner/model-k-128-seed-2")
    True
    """
    return re.sub(r"(?<![a-z])[vk]?\d[\d.]*(?:e-?\d+)?", "#", source.lower())


def linked(names: list[str], alike: np.ndarray) -> Iterator[list[int]]:
    """Groups of sources: those of one series, or chained by `alike` within an owner."""
    owner = [name.split("/")[0] for name in names]
    series = [series_name(name) for name in names]
    left = set(range(len(names)))
    while left:
        group, ahead = set(), [min(left)]
        while ahead:
            i = ahead.pop()
            if i in group:
                continue
            group.add(i)
            ahead += [
                j
                for j in left - group
                if owner[i] == owner[j] and (series[i] == series[j] or alike[i, j])
            ]
        left -= group
        yield sorted(group)


def clean_recycled(runs: pd.DataFrame, noise: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to keep, and one row a kept source; what is left out is told.

    Parameters
    ----------
    runs : DataFrame
        ``encoder``, ``source``, ``target``, ``score``, ``baseline``.
    noise : DataFrame
        ``std`` of the base's runs, by encoder and target.
    """
    tell(f"{len(runs)} scores of {runs.groupby('encoder')['source'].nunique().sum()} sources")
    kept, sources = [], []
    for encoder, part in runs.groupby("encoder", sort=True):
        scores = part.pivot(index="source", columns="target", values="score")
        base = part.drop_duplicates("target").set_index("target")["baseline"][scores.columns]
        fits = scores.corrwith(base, axis=1)
        shifted = fits < ALIGNED
        scores = scores[~shifted]
        failed = scores < base - FAILED
        scores = scores.mask(failed)
        std = noise.loc[encoder, "std"].reindex(scores.columns).clip(lower=MIN_NOISE)
        z = ((scores - scores.median()) / std).clip(-5, 5).fillna(0.0).to_numpy()
        groups = list(linked(list(scores.index), np.corrcoef(z) > ALIKE))
        gain = (scores / base - 1).mean(axis=1)
        for group in groups:
            # The member in the middle: the best one would be chosen for its luck.
            middle = gain.iloc[group].sort_values().index[(len(group) - 1) // 2]
            sources.append((middle, encoder, len(group)))
        chosen = [source for source, e, _ in sources if e == encoder]
        long = scores.loc[chosen].stack().dropna().rename("score").reset_index()
        kept.append(long.assign(encoder=encoder, baseline=long["target"].map(base)))
        tell(
            f"{encoder}: {int(shifted.sum())} of {len(fits)} sources shifted, {int(failed.sum().sum())} failed "
            f"tunings, {len(scores) - len(groups)} members of series dropped; {len(groups)} sources, "
            f"{len(long)} scores kept"
        )
    facts = pd.DataFrame(sources, columns=["source", "encoder", "series_size"])
    facts["owner"] = facts["source"].str.split("/").str[0]
    facts["data"] = facts["source"].map(mentioned)
    facts = facts.sort_values(["encoder", "source"])
    return pd.concat(kept), facts[["source", "encoder", "owner", "data", "series_size"]]


def base_noise(single: pd.DataFrame) -> pd.DataFrame:
    """By base and target: mean of all runs of the base; number and deviation of those that did not fail."""
    single = single.dropna()
    groups = single.groupby(["encoder", "target"])["score"]
    noise = groups.agg(["mean", "count"])
    tuned = single[single["score"] >= groups.transform("median") - FAILED]
    noise["failed"] = noise["count"] - tuned.groupby(["encoder", "target"]).size()
    noise["std"] = tuned.groupby(["encoder", "target"])["score"].std()
    return noise


def build_recycled(corpus: Path, out: Path) -> None:
    """Outcomes in Parquet, the base's noise, facts of the sources."""
    runs = pd.read_csv(corpus / "outcomes.csv.gz").rename(columns={"model": "encoder"})
    single = pd.read_csv(corpus / "baselines.csv").rename(columns={"model": "encoder"})
    for frame in (runs, single):
        frame["target"] = frame["target"].replace(TARGET_NAMES)
    noise = base_noise(single)
    kept, facts = clean_recycled(runs, noise)
    kept = kept.sort_values(["encoder", "target", "source"])
    numbers = {"score": 4, "baseline": 5}
    kept = kept[["encoder", "source", "target", *numbers]].round(numbers)
    kept = kept.astype(dict.fromkeys(numbers, "float32")).reset_index(drop=True)
    with atomic_file(out / "outcomes.parquet") as path:
        kept.to_parquet(path, index=False, compression="zstd")
    tell(f"{out / 'outcomes.parquet'}: {len(kept)} rows")
    write(noise.reset_index().rename(columns={"count": "runs"}).round(6), out / "baselines.csv")
    write(facts, out / "sources.csv")
    total = kept.groupby(["encoder", "target"])["score"].var()
    share = (1 - noise["std"] ** 2 / total).clip(lower=0).groupby("encoder")
    for encoder, median in share.median().items():
        mean = share.mean()[encoder]
        tell(
            f"{encoder}: reliable share of the variance between sources {median:.2f} ({mean:.2f} in the mean)"
        )


# ------------------------------------------------------------------------------------------------ Taskonomy


def build_taskonomy(corpus: Path, out: Path) -> None:
    """The win rates as they are."""
    table = pd.read_csv(corpus / "outcomes.csv").assign(method="frozen-encoder")
    table = table.sort_values(["regime", "target", "source"])
    write(table[["method", "regime", "source", "target", "baseline", "score"]], out / "outcomes.csv")


PARTS: dict[str, tuple[str, str, Callable[[Path, Path], None]]] = {
    "taskweb": ("taskweb", "taskweb", build_taskweb),
    "taskweb-sets": ("taskweb", "taskweb_sets", build_taskweb_sets),
    "minilm-31-sets": ("minilm_31_sets", "minilm_31_sets", build_minilm_sets),
    "model-recycling": ("model_recycling", "model_recycling", build_recycled),
    "taskonomy": ("taskonomy", "taskonomy", build_taskonomy),
}
"""By part: folder of the corpus, folder of the table, and what makes the one of the other."""


def main() -> None:
    """Build the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the corpora")
    parser.add_argument("out", type=Path, help="folder of the tables")
    parser.add_argument("--parts", default=",".join(PARTS), help="separated by commas")
    options = parser.parse_args()
    for part in options.parts.split(","):
        corpus, folder, build = PARTS[part]
        (options.out / folder).mkdir(parents=True, exist_ok=True)
        build(options.data / corpus, options.out / folder)


if __name__ == "__main__":
    main()
