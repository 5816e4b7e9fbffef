"""Speed and memory of the feature extractor, each figure from one run.

    python tests/performance/features.py [--tasks FOLDER] [--megabytes 100] [--more-megabytes 1000]

1. Peak memory of the statistics pass over a stream of 100 MB of text and of 1 GB of the same vocabulary, with one
   process and with two (the sum over the processes).  ``--more-megabytes 0`` leaves the larger one out.
2. Features of 1,000 sources with one target: from profiles at hand, and with reading them from the cache.
3. The whole statistics pass against scikit-learn's `CountVectorizer.fit_transform` alone, on the same texts, made
   from the real tasks, with the same tokenisation; and with two processes against one.
"""

from __future__ import annotations

import argparse
import gc
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from transfer_meta.features.task_profile import profile_counts
from transfer_meta.features.text.counts import count_split
from transfer_meta.features.text.statistics import Corpus
from transfer_meta.features.text.tokenize import tokenize
from transfer_meta.records import Example, TaskProfile, TaskType
from transfer_meta.tasks.resolve import resolve_tasks

SHARED_TASKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"
MEGABYTE = 1_000_000
N_SOURCES = 1000


def pool_of(folder: Path) -> list[tuple[str, str]]:
    """The halves of all texts of the real tasks: what any amount of new text is made of."""
    halves = []
    for task in resolve_tasks([str(folder)]):
        for split in task.splits:
            for example in task.examples(split):
                words = " ".join([example.text, example.text_pair or "", *example.choices]).split(" ")
                middle = len(words) // 2
                halves.append((" ".join(words[:middle]), " ".join(words[middle:])))
    return halves


def stream(pool: list[tuple[str, str]], megabytes: float) -> Iterator[Example]:
    """Examples of a first half and a second half that are drawn at random, each with one of four labels."""
    rng = random.Random(0)
    characters = 0
    while characters < megabytes * MEGABYTE:
        text = f"{rng.choice(pool)[0]} {rng.choice(pool)[1]}"
        characters += len(text)
        yield Example(text, "abcd"[rng.randrange(4)])


def statistics_pass(examples: list[Example], workers: int = 1) -> TaskProfile:
    """What `profile_task` does: two splits counted, all statistics, the sketches."""
    end = len(examples) * 19 // 20
    kind = TaskType.CLASSIFICATION
    train = count_split(examples[:end], kind, workers=workers)
    test = count_split(examples[end:], kind, workers=workers)
    return profile_counts(Corpus(kind, train, test))


def seconds(function, *arguments) -> float:  # type: ignore[no-untyped-def]
    gc.collect()
    begin = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begin


def speed(folder: Path, megabytes: float) -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    examples = list(stream(pool_of(folder), megabytes))
    texts = [example.text for example in examples]
    vectorizer = CountVectorizer(tokenizer=tokenize, lowercase=False, token_pattern=None)
    reference = seconds(vectorizer.fit_transform, texts)
    one = seconds(statistics_pass, examples)
    two = seconds(statistics_pass, examples, 2)
    print(f"{megabytes:g} MB in {len(texts):,} texts: CountVectorizer.fit_transform {reference:.1f} s")
    print(f"  statistics pass {one:.1f} s, {one / reference:.2f} x (at most 1.5)")
    print(f"  two processes   {two:.1f} s, {one / two:.2f} x as fast as one (at least 1.6)")


def memory(folder: Path, sizes: list[float]) -> None:
    for workers in (1, 2):
        peaks = []
        for megabytes in sizes:
            command = [sys.executable, __file__, "--tasks", str(folder)]
            command += ["--child", str(megabytes), str(workers)]
            peaks.append(
                float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            )
        text = ", ".join(f"{size:g} MB: {peak:.0f} MB" for size, peak in zip(sizes, peaks, strict=True))
        growth = f", growth {peaks[-1] / peaks[0] - 1:+.0%} (less than 20 %)" if len(peaks) > 1 else ""
        print(f"peak memory with {workers} process(es): {text} (under 600){growth}")


def measure_memory(folder: Path, megabytes: float, workers: int) -> None:
    """Print the peak of the resident memory in MB, forked processes counted in full."""
    import resource

    examples = stream(pool_of(folder), megabytes)
    kind = TaskType.CLASSIFICATION
    profile_counts(Corpus(kind, count_split(examples, kind, workers=workers)))
    status = Path("/proc/self/status").read_text()
    own = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]
    # What a forked process shares with its parent is counted twice.
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if workers > 1 else 0
    print((own + workers * child) * 1024 / MEGABYTE)


def pairs(folder: Path) -> None:
    from transfer_meta.features.pair_features import compare_profiles
    from transfer_meta.features.profile_cache import ProfileCache
    from transfer_meta.features.task_profile import profile_task

    profiles = [profile_task(task) for task in resolve_tasks([str(folder)])]
    with tempfile.TemporaryDirectory() as temporary:
        cache = ProfileCache(temporary)
        keys = [f"{k:04d}" for k in range(N_SOURCES)]
        for k, key in enumerate(keys):
            cache.put(key, replace(profiles[k % len(profiles)], name=f"source{k}"))
        begin = time.perf_counter()
        sources = [profile for key in keys if (profile := cache.get(key)) is not None]
        reading = time.perf_counter() - begin
        sizes = sum(path.stat().st_size for path in Path(temporary).rglob("*.profile"))
    for name in ("sst2", "boolq"):
        target = next(profile for profile in profiles if profile.name == name)
        taken = min(
            seconds(lambda t=target: compare_profiles(sources=sources, target=t)) for _ in range(3)
        )
        print(
            f"{len(sources)} sources with {name}: features {taken:.2f} s (at most 1);"
            f" reading the profiles ({sizes / MEGABYTE:.0f} MB) {reading:.2f} s"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=Path, default=SHARED_TASKS)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--more-megabytes", type=float, default=1000)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure_memory(given.tasks, float(given.child[0]), int(given.child[1]))
    else:
        memory(given.tasks, [size for size in (given.megabytes, given.more_megabytes) if size])
        pairs(given.tasks)
        speed(given.tasks, given.megabytes)
