"""A trained model as a folder of files that transformers loads: weights with the head, tokenizer, labels, card."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer_meta._version import __version__
from transfer_meta.encoding.answer_likelihood import greedy_settings
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import (
    file_sha256,
    load_encoder,
    quiet_transformers,
    with_tokenizer,
)
from transfer_meta.encoding.encoding_settings import (
    MEAN_HEAD,
    MEMORY,
    MEMORY_VECTORS,
    TRANSFORMERS_HEAD,
    VOTES,
)
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained
from transfer_meta.encoding.transformers_head import TransformersScorer, whole_model
from transfer_meta.errors import InputError, first_line
from transfer_meta.files import atomic_folder
from transfer_meta.readers.checked_files import parse_json, read_bounded
from transfer_meta.readers.opening import shown
from transfer_meta.records import TaskType
from transfer_meta.training.text_answers import AnswerHead
from transfer_meta.training.trained_facts import TrainedFacts, parse_facts

FACTS_FILE = "transfer_meta.json"
"""Marks a folder as one of ours."""
MODEL_FOLDER_FORMAT = "transfer-meta model folder 1"
WEIGHTS_FILE, HEAD_FILE, TOKENIZER_FILE = "model.safetensors", "head.safetensors", "tokenizer.json"
MAX_FACTS_BYTES = 2**26
"""Largest size of the facts: of many thousands of labels."""
CHECKED_FILES = (WEIGHTS_FILE, HEAD_FILE, TOKENIZER_FILE)
"""Files whose digests are stored."""
TYPE_OF_ARCHITECTURE = {
    "ForSequenceClassification": TaskType.CLASSIFICATION,
    "ForTokenClassification": TaskType.TOKEN_CLASSIFICATION,
    "ForQuestionAnswering": TaskType.QUESTION_ANSWERING,
    "ForMultipleChoice": TaskType.MULTIPLE_CHOICE,
}
"""Types by the end of an architecture's name; ``AutoModel`` before it is the class that loads a folder."""
MAX_WEIGHT_BYTES = "1000GB"
"""Size beyond which weights would be written as several files; one has a digest."""
MAX_PLAIN_LENGTH = 512
"""Tokens per input of a folder without our facts, where its tokenizer allows more."""
PLAIN_STRIDE = 128


def check_model_folder(folder: str | Path, *, overwrite: bool = False) -> None:
    """Raise an InputError if a model cannot be written to a folder, before the work is done.

    Parameters
    ----------
    folder : str or Path
    overwrite : bool
        Whether it may be a model that `write_model_folder` wrote.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write the model to '{folder}': a file of that name exists")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / FACTS_FILE).is_file():
        raise InputError(f"cannot write the model to '{folder}': it exists and holds other files")
    if not overwrite:
        raise InputError(
            f"cannot write the model to '{folder}': it holds a model already (expected a new one, or --overwrite)"
        )


def write_model_folder(
    folder: str | Path,
    encoder: Encoder,
    head: Head | AnswerHead,
    facts: TrainedFacts,
    *,
    card: str,
    overwrite: bool = False,
) -> None:
    """Write a trained model as a folder, whole or not at all.

    With a head of transformers, ``AutoModelFor….from_pretrained(folder)`` gives the outputs of `head`, those of a
    regression on the scale of the labels.  With the head on mean vectors, ``AutoModel`` loads the encoder, and
    `transfer_meta.load_trained` the whole model.  A language model is loaded by ``AutoModelForCausalLM`` or
    ``AutoModelForSeq2SeqLM``, and its ``generate`` writes what `load_trained` writes after the same prompt.

    Parameters
    ----------
    folder : str or Path
    encoder : Encoder
    head : Head or AnswerHead
    facts : TrainedFacts
    card : str
        Text of the model card, ``README.md``; see `transfer_meta.training.model_card`.
    overwrite : bool
        Whether to replace a model that is there already.

    Raises
    ------
    InputError
        The folder cannot be written, or the encoder is a bi-LSTM, which transformers does not know.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    check_model_folder(folder, overwrite=overwrite)
    if encoder.words:
        raise InputError(
            f"a model of encoder '{facts.encoder}' cannot be written as a folder: transformers has no such encoder"
        )
    tokenizer = copy.deepcopy(encoder.tokenizer)
    beside = MEMORY_VECTORS if facts.long_inputs == MEMORY else 0
    tokenizer.model_max_length = facts.max_length + beside
    is_ours = isinstance(head, Head) and head.scorer is None
    with atomic_folder(folder, marker=FACTS_FILE) as temporary:
        try:
            model: Any = _whole_model(encoder, head, facts)
            with quiet_transformers():
                model.save_pretrained(temporary, max_shard_size=MAX_WEIGHT_BYTES)
                tokenizer.save_pretrained(temporary)
            if is_ours:
                weights = {k: w.detach().cpu().contiguous() for k, w in head.state_dict().items()}
                save_file(weights, temporary / HEAD_FILE)
                _write_pooling(temporary, encoder.width)
            digests = {
                name: file_sha256(temporary / name)
                for name in CHECKED_FILES
                if (temporary / name).is_file()
            }
            content = {
                "format": MODEL_FOLDER_FORMAT,
                "version": __version__,
                "facts": facts.to_dict(),
                "digests": digests,
            }
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (temporary / FACTS_FILE).write_text(text + "\n", encoding="utf-8")
            (temporary / "README.md").write_text(card, encoding="utf-8")
        except (OSError, SafetensorError) as error:
            raise InputError(f"cannot write '{folder}': {first_line(error)}") from error


def _whole_model(encoder: Encoder, head: Head | AnswerHead, facts: TrainedFacts) -> Any:
    """Return the model to write: that of transformers with its head, or the encoder alone."""
    if isinstance(encoder, LanguageModel):
        assert facts.text is not None
        # A copy that shares the weights: the settings of the model that was given stay.
        model: Any = copy.copy(encoder.model)
        model.generation_config = greedy_settings(encoder, facts.text.answer_tokens)
        return model
    if isinstance(head, Head) and head.scorer is not None:
        return whole_model(encoder, head, labels=facts.labels)
    return encoder.model


def _write_pooling(folder: Path, width: int) -> None:
    """Write that the encoder's vectors are to be averaged, as files of sentence-transformers say it."""
    prefix = "sentence_transformers.models."
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{prefix}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{prefix}Pooling"},
    ]
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling").mkdir()
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=2) + "\n")


def read_model_folder(folder: str) -> tuple[Encoder, Head | AnswerHead, TrainedFacts]:
    """Read a folder of ours, or a folder or a name on the Hub of a transformers model with a head, on the CPU.

    Raises
    ------
    InputError
        See `transfer_meta.training.trained_model.load_trained`.
    """
    if (Path(folder) / FACTS_FILE).is_file():
        facts = _read_facts(Path(folder))
    elif Path(folder).exists() and not (Path(folder) / "config.json").is_file():
        raise InputError(f"no model in '{folder}': expected a folder with {FACTS_FILE} or config.json")
    else:
        return _read_transformers(folder, None)
    if facts.text is not None:
        return _read_text(folder, facts, facts.text.kind)
    if facts.head == MEAN_HEAD:
        return _read_mean(Path(folder), facts)
    return _read_transformers(folder, facts)


def _read_facts(folder: Path) -> TrainedFacts:
    """Return the facts of a folder of ours after checking its files."""
    try:
        data = read_bounded(folder / FACTS_FILE, most_bytes=MAX_FACTS_BYTES)
        content = parse_json(data.decode("utf-8"), "it")
        format = content["format"]
        if format == MODEL_FOLDER_FORMAT:
            facts = parse_facts(content["facts"])
            expected = {name: str(found) for name, found in content["digests"].items()}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the model in '{folder}' is corrupt: {FACTS_FILE}: {first_line(error)}"
        ) from error
    if format != MODEL_FOLDER_FORMAT:
        raise InputError(
            f"the model in '{folder}' has format '{shown(str(format))}' (written by version"
            f" {shown(str(content.get('version')))}), this version reads '{MODEL_FOLDER_FORMAT}'"
        )
    needed = [WEIGHTS_FILE, *([HEAD_FILE] if facts.head == MEAN_HEAD else [])]
    if lacking := [name for name in needed if name not in expected]:
        raise InputError(
            f"the model in '{folder}' is corrupt: {FACTS_FILE} has no digest of {lacking[0]}"
        )
    for name in dict.fromkeys(["config.json", *needed, *expected]):
        file = folder / Path(name).name
        if not file.is_file():
            raise InputError(f"the model in '{folder}' is incomplete: there is no {name}")
        if name in expected and file_sha256(file) != expected[name]:
            raise InputError(
                f"the model in '{folder}' is corrupt: {name} is not what was saved"
                f" (without {FACTS_FILE} it is loaded as a model of transformers)"
            )
    return facts


def _read_mean(folder: Path, facts: TrainedFacts) -> tuple[Encoder, Head, TrainedFacts]:
    """Return an encoder and our own head."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    encoder = load_encoder(str(folder))
    head = build_head(facts.type, encoder.width, labels=len(facts.labels), targets=np.zeros(1))
    head.votes = facts.long_inputs == VOTES
    if facts.long_inputs == MEMORY:
        head.add_memory(encoder)
    try:
        head.load_state_dict(load_file(folder / HEAD_FILE))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(
            f"the head of the model in '{folder}' does not fit: expected one for {facts.type} with"
            f" {len(facts.labels)} labels on vectors of {encoder.width}"
        ) from error
    return encoder, head, facts


def _read_text(
    folder: str, facts: TrainedFacts, kind: str
) -> tuple[LanguageModel, AnswerHead, TrainedFacts]:
    """Return a language model."""
    model = load_pretrained(folder)
    if not isinstance(model, LanguageModel) or model.kind != kind:
        raise InputError(
            f"the model in '{folder}' is corrupt: config.json is of no {kind}, {FACTS_FILE} of one"
        )
    return model, AnswerHead(), facts


def _read_transformers(folder: str, facts: TrainedFacts | None) -> tuple[Encoder, Head, TrainedFacts]:
    """Return the encoder and the head of a model of transformers; without facts its files tell them."""
    model, ending = _load_whole(folder)
    config = model.config
    encoder = with_tokenizer(folder, model.base_model)
    if facts is None:
        facts = _facts_of(folder, config, ending, encoder.max_length)
    elif facts.labels and tuple(config.id2label.values()) != facts.labels:
        raise InputError(
            f"the model in '{folder}' is corrupt: config.json has {len(config.id2label)} labels,"
            f" {FACTS_FILE} {len(facts.labels)}, or others"
        )
    if _type_of(config, ending) is not facts.type:
        raise InputError(
            f"the model in '{folder}' is corrupt: config.json is of {_type_of(config, ending)},"
            f" {FACTS_FILE} of {facts.type}"
        )
    labels = len(facts.labels)
    scorer = TransformersScorer(facts.type, encoder, labels=labels)
    prefix = f"{model.base_model_prefix}."
    weights = {k: w for k, w in model.state_dict().items() if not k.startswith(prefix)}
    try:
        scorer.model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"the head of the model in '{folder}' does not fit") from error
    # Outputs of a regression are on the scale of the labels: mean 0, deviation 1.
    head = build_head(facts.type, encoder.width, labels=labels, targets=np.zeros(1), scorer=scorer)
    head.votes = facts.long_inputs == VOTES
    return encoder, head, facts


def _load_whole(folder: str) -> tuple[Any, str]:
    """Return the model of a folder or a name on the Hub, and the end of its architecture's name."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"no model in '{folder}': {first_line(error)}") from error
    names = config.architectures or ["none"]
    ending = next((end for end in TYPE_OF_ARCHITECTURE if names[0].endswith(end)), None)
    if ending is None:
        raise InputError(
            f"the model in '{folder}' is '{names[0]}' (expected an architecture that ends in"
            f" {', '.join(TYPE_OF_ARCHITECTURE)}, or {FACTS_FILE} beside it)"
        )
    options: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
    try:
        # Only safetensors: the older format of weights is a pickle, which can run arbitrary code.
        with quiet_transformers():
            model, info = getattr(transformers, f"AutoModel{ending}").from_pretrained(
                folder, config=config, use_safetensors=True, trust_remote_code=False, **options
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the model in '{folder}' does not load: {first_line(error)}") from error
    except Exception as error:  # safetensors raises its own
        if type(error).__module__.partition(".")[0] not in ("safetensors", "safetensors_rust"):
            raise
        raise InputError(f"the model in '{folder}' is corrupt: {first_line(error)}") from error
    lacking = sorted(info["missing_keys"])
    if lacking:
        raise InputError(
            f"the model in '{folder}' is incomplete: {len(lacking)} tensors are missing, first {lacking[0]}"
        )
    return model, ending


def _type_of(config: Any, ending: str) -> TaskType:
    type = TYPE_OF_ARCHITECTURE[ending]
    if type is TaskType.CLASSIFICATION and (
        config.problem_type == "regression" or config.num_labels == 1
    ):
        return TaskType.REGRESSION
    return type


def _facts_of(folder: str, config: Any, ending: str, max_length: int) -> TrainedFacts:
    """Return what the configuration of a model of transformers tells."""
    if config.problem_type == "multi_label_classification":
        raise InputError(f"the model in '{folder}' gives several labels a text: not supported")
    type = _type_of(config, ending)
    has_labels = type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION)
    if type is TaskType.REGRESSION and config.num_labels != 1:
        raise InputError(
            f"the model in '{folder}' gives {config.num_labels} numbers a text: not supported"
        )
    return TrainedFacts(
        task="",
        type=type,
        labels=tuple(map(str, config.id2label.values())) if has_labels else (),
        encoder=folder,
        revision=str(getattr(config, "_commit_hash", None) or ""),
        head=TRANSFORMERS_HEAD,
        max_length=min(max_length, MAX_PLAIN_LENGTH),
        stride=PLAIN_STRIDE,
    )
