"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # helper modules lie beside this file
# Results do not depend on the sources that whoever runs the tests has added.
os.environ["TRANSFER_META_SOURCES"] = str(ROOT / "tests" / "no-sources-of-ones-own")


def find_shared() -> Path | None:
    """The folder of real data beside the project, or None."""
    named = os.environ.get("TRANSFER_META_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if (folder / "data").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """``../shared/data`` or ``$TRANSFER_META_SHARED/data``; skips the test where neither is there."""
    folder = find_shared()
    if folder is None:
        pytest.skip("no real data: neither ../shared nor $TRANSFER_META_SHARED is there")
    return folder / "data"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a real PostgreSQL server, started for this test run; skips where none can be installed."""
    import postgresql_server

    try:
        with postgresql_server.running_server() as url:
            yield url
    except postgresql_server.Unavailable as reason:
        pytest.skip(f"no PostgreSQL server: {reason}")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that is not there yet, of either kind."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.sqlite")
    import postgresql_server

    return postgresql_server.new_database(request.getfixturevalue("postgresql"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a two-layer BERT, 32 wide, without dropout, and a word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from toys import WORDS
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = {word: row for row, word in enumerate(("[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        BertModel(
            BertConfig(
                vocab_size=len(words),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=64,
                max_position_embeddings=64,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                initializer_range=0.15,
            ),
            add_pooling_layer=False,
        ).save_pretrained(folder)
    return str(folder)
