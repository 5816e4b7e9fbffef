from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, GPT2Config, GPT2Model

from transfer_meta.encoding.batching import Batcher, EncodedBatch
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoder_parts import Part, find_parts
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.fisher import Forward, diagonal_fisher
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.likelihood import log_likelihood
from transfer_meta.encoding.tokens import encode
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType


class Setting:
    """A tiny encoder, a head and the examples of one task type."""

    def __init__(self, type: TaskType, encoder: Encoder | None = None) -> None:
        self.type = type
        self.encoder = encoder or load_encoder("random:2x32")
        examples = EXAMPLES[type]
        labels = tiny(type).labels()
        encoded = encode(
            type, examples, self.encoder.tokenizer, labels=labels, max_length=128, stride=16
        )
        self.batcher = Batcher(type, encoded, pad=0, device=torch.device("cpu"))
        torch.manual_seed(0)
        self.head: Head = build_head(type, 32, labels=len(labels), targets=np.array([-1.0, 1.0]))
        self.head.eval()

    def run(self, batch: EncodedBatch) -> torch.Tensor:
        """ln p of the gold labels, one a unit."""
        hidden = self.encoder.vectors(batch.ids, batch.types, batch.mask)
        return log_likelihood(self.type, self.head(hidden, batch), batch.target)

    def forward(self, batch: EncodedBatch) -> Forward:
        likelihood = self.run(batch)
        owner = torch.arange(len(likelihood))
        if batch.slots is not None:
            owner = owner.repeat_interleave((batch.slots >= 0).sum(1))
        return Forward(likelihood[None], owner, batch.mask)

    def batches(self, *groups: Sequence[int]) -> list[EncodedBatch]:
        return [self.batcher.batch(np.array(group)) for group in groups]

    def singles(self) -> list[EncodedBatch]:
        return self.batches(*([i] for i in range(len(self.batcher))))

    def together(self) -> list[EncodedBatch]:
        return self.batches(range(len(self.batcher)))

    def fisher(self, batches: list[EncodedBatch], **options: object) -> dict[str, np.ndarray]:
        return diagonal_fisher(self.encoder.model, batches, self.forward, embeddings=True, **options)

    def slow(self, batches: list[EncodedBatch], *, squared: bool = True) -> dict[str, np.ndarray]:
        """Ordinary backward passes, one a batch, through the weights themselves; divided by examples."""
        model = self.encoder.model.eval().requires_grad_(True)
        totals: dict[str, np.ndarray] = {}
        count = 0
        for batch in batches:
            model.zero_grad()
            likelihood = self.run(batch)
            count += len(likelihood)
            likelihood.sum().backward()
            for name, part in find_parts(model, embeddings=True).items():
                if part.kind in ("activation", "pooled"):
                    continue
                gradient = torch.cat([p.grad.flatten() for p in part.module.parameters()]).double()
                value = gradient.square() if squared else gradient
                totals[name] = totals.get(name, 0) + value.numpy()
        return {name: total / count for name, total in totals.items()}


def assert_near(actual: dict, expected: dict, tolerance: float = 1e-4) -> None:
    """Relative to the length of each part."""
    for name, reference in expected.items():
        error = np.linalg.norm(actual[name] - reference)
        assert error <= tolerance * np.linalg.norm(reference) + 1e-12, name


@pytest.mark.parametrize("type", ALL_TYPES)
def test_equals_the_loop_over_single_examples(type: TaskType) -> None:
    setting = Setting(type)
    reference = setting.slow(setting.singles())
    assert_near(setting.fisher(setting.together()), reference)
    assert_near(setting.fisher(setting.singles()), reference)


@pytest.mark.parametrize("type", ALL_TYPES)
def test_does_not_depend_on_batches_or_padding(type: TaskType) -> None:
    setting = Setting(type)
    last = len(setting.batcher) - 1
    whole = setting.fisher(setting.together())
    parts = setting.fisher(setting.batches([last], range(last)))
    assert whole.keys() == parts.keys()
    assert_near(parts, whole, 1e-5)


def test_covers_every_part() -> None:
    setting = Setting(TaskType.CLASSIFICATION)
    vectors = setting.fisher(setting.together())
    linear = ["query", "key", "value", "attention_output", "feed_forward_in", "feed_forward_out"]
    parts = [*linear, "attention_norm", "output_norm", "output"]
    expected = {f"layer.{i}.{part}" for i in range(2) for part in parts}
    assert set(vectors) == expected | {"pooled_output", "embeddings.words", "embeddings.norm"}
    in_layers = sum(p.numel() for p in setting.encoder.model.encoder.parameters())  # type: ignore[union-attr]
    covered = sum(v.size for k, v in vectors.items() if k.startswith("layer.") and k[-6:] != "output")
    covered += sum(v.size for k, v in vectors.items() if k.endswith("attention_output"))
    assert covered == in_layers
    assert all(v.min() >= 0 and v.max() > 0 for v in vectors.values())


def test_activations_and_pooled_output_equal_autograd() -> None:
    setting = Setting(TaskType.CLASSIFICATION)
    model = setting.encoder.model.eval()
    layer, pooled = np.zeros(32), np.zeros(32)
    for batch in setting.singles():
        kept: list[torch.Tensor] = []
        handle = model.encoder.layer[0].register_forward_hook(  # type: ignore[union-attr,index]
            lambda _, __, output, kept=kept: kept.append(
                output[0] if isinstance(output, tuple) else output
            )
        )
        hidden = setting.encoder.vectors(batch.ids, batch.types, batch.mask)
        handle.remove()
        mean = hidden.mean(1).detach().requires_grad_()
        outputs = setting.head.linear(mean)
        through_mean = log_likelihood(setting.type, outputs, batch.target).sum()
        pooled += torch.autograd.grad(through_mean, mean)[0][0].square().numpy()
        likelihood = log_likelihood(setting.type, setting.head(hidden, batch), batch.target).sum()
        layer += torch.autograd.grad(likelihood, kept[0])[0][0].square().mean(0).numpy()
    vectors = setting.fisher(setting.together())
    assert_near(vectors, {"layer.0.output": layer / 5, "pooled_output": pooled / 5})


def test_the_batch_summed_variant_is_that_and_depends_on_the_batches() -> None:
    setting = Setting(TaskType.CLASSIFICATION)
    cut = setting.batches([0, 1, 2], [3, 4])
    vectors = setting.fisher(cut, per_example=False)
    assert_near(vectors, setting.slow(cut))
    exact = setting.fisher(cut)
    assert_near(setting.fisher(setting.singles(), per_example=False), exact, 1e-5)
    query = "layer.0.query"
    assert np.linalg.norm(vectors[query] - exact[query]) > 0.05 * np.linalg.norm(exact[query])


def test_plain_gradients() -> None:
    setting = Setting(TaskType.CLASSIFICATION)
    vectors = setting.fisher(setting.together(), squared=False)
    assert_near(vectors, setting.slow(setting.singles(), squared=False))
    assert min(v.min() for v in vectors.values()) < 0


def test_several_draws_are_averaged_in_one_pass() -> None:
    setting = Setting(TaskType.CLASSIFICATION)

    once = setting.fisher(setting.together())

    def doubled(batch: EncodedBatch) -> Forward:
        gold = setting.forward(batch)
        rows = torch.cat([gold.log_likelihood, 2 * gold.log_likelihood])
        return Forward(rows, gold.example_of_input, gold.mask)

    vectors = diagonal_fisher(setting.encoder.model, setting.together(), doubled)
    # The second row's gradients are twice as large: (1 + 4) / 2.
    assert_near(vectors, {k: 2.5 * once[k] for k in vectors}, 1e-5)


def test_the_model_is_left_as_it_was() -> None:
    setting = Setting(TaskType.CLASSIFICATION)
    model = setting.encoder.model
    model.train()
    first = next(model.parameters())
    first.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    setting.fisher(setting.together())
    assert model.training
    assert not first.requires_grad
    assert sum(p.requires_grad for p in model.parameters()) == len(list(model.parameters())) - 1
    assert all(p.grad is None for p in model.parameters())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_another_architecture() -> None:
    config = DistilBertConfig(vocab_size=300, dim=32, n_layers=1, n_heads=4, hidden_dim=64)
    torch.manual_seed(0)
    model = DistilBertModel(config)
    ids = torch.randint(300, (4, 7))
    mask = torch.ones(4, 7, dtype=torch.long)
    mask[0, 5:] = 0

    def forward(rows: list[int]) -> Forward:
        hidden = model(input_ids=ids[rows], attention_mask=mask[rows]).last_hidden_state
        likelihood = hidden[:, 0, :3].log_softmax(1)[:, 0]
        return Forward(likelihood[None], torch.arange(len(rows)), mask[rows])

    together = diagonal_fisher(model, [[0, 1, 2, 3]], forward)
    alone = diagonal_fisher(model, [[0], [1], [2], [3]], forward)
    assert_near(together, alone, 1e-5)
    assert len(together) == 10


def test_what_cannot_be_done() -> None:
    with pytest.raises(InputError, match="the parts of encoder 'GPT2Model' are not known"):
        find_parts(GPT2Model(GPT2Config(vocab_size=10, n_embd=8, n_layer=1, n_head=2)))
    setting = Setting(TaskType.CLASSIFICATION)
    with pytest.raises(InputError, match="no examples"):
        setting.fisher([])


def test_shared_layers_are_refused() -> None:
    model = BertModel(
        BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                   intermediate_size=16),
        add_pooling_layer=False,
    )  # fmt: skip
    model.encoder.layer[1].output.dense = model.encoder.layer[0].output.dense

    def forward(ids: torch.Tensor) -> Forward:
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return Forward(hidden.mean((1, 2))[None], torch.arange(len(ids)), None)

    with pytest.raises(InputError, match="more than once"):
        diagonal_fisher(model, [torch.zeros(1, 4, dtype=torch.long)], forward)


class FlatLayer(torch.nn.Module):
    """A layer that reads the tokens of all texts as one row, as some layers of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.layer(vectors.flatten(0, 1)).view(vectors.shape)


def test_a_given_layer_that_mixes_the_texts_is_refused() -> None:
    model = FlatLayer()
    parts = {"layer": Part(model.layer, "linear")}

    def forward(vectors: torch.Tensor) -> Forward:
        return Forward(model(vectors).sum((1, 2))[None], torch.arange(len(vectors)), None)

    with pytest.raises(InputError, match="part 'layer' does not read its tokens text by text"):
        diagonal_fisher(model, [torch.ones(3, 4, 2)], forward, parts=parts)
