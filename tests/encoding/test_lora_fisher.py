"""The Fisher information of LoRA's weights, against backward passes of one example at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tiny_language_models import LANGUAGE_MODELS, save_language_model
from tiny_tasks import EXAMPLES, tiny

from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained
from transfer_meta.encoding.lora_fisher import answer_fisher, lora_layers
from transfer_meta.encoding.text_tokens import TextTokenizer
from transfer_meta.errors import RunFailed
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.lora import add_lora

READING = EncodingSettings()
TYPES = [TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION, TaskType.GENERATION]
WRITTEN = [
    Example("one", ("two, three",)),
    Example("a longer text", ("four",), text_pair="Go on."),
    Example("z", ("five and more",)),
]


def task_of(type: TaskType) -> Task:
    return Task.from_iterable("tiny", type, {"train": EXAMPLES.get(type, WRITTEN)})


@pytest.fixture(scope="module", params=list(LANGUAGE_MODELS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A model with LoRA updates that are not zero."""
    folder = tmp_path_factory.mktemp("models") / request.param
    found = add_lora(load_pretrained(save_language_model(request.param, folder)), 2)
    assert isinstance(found, LanguageModel)
    torch.manual_seed(0)
    for factors in lora_layers(found.model).values():
        for module in factors:
            torch.nn.init.normal_(module.weight, std=0.2)  # type: ignore[arg-type]
    found.model.eval()
    return found


def shares(model: LanguageModel, prompt: Any, answer: Any) -> torch.Tensor:
    """Log-probabilities of all tokens at each place of one answer, (tokens, vocabulary), by the plain model."""
    whole: Any = model.model
    if model.is_encoder_decoder:
        before = torch.tensor([[model.begin, *answer[:-1]]])
        logits = whole(input_ids=torch.tensor([prompt.tolist()]), decoder_input_ids=before).logits[0]
    else:
        ids = torch.tensor([[*prompt, *answer]])
        logits = whole(input_ids=ids).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1)


def slow(
    model: LanguageModel, task: Task, groups: Sequence[Sequence[int]], *, squared: bool = True
) -> dict[str, np.ndarray]:
    """One backward pass for each group of examples, through LoRA's weights; divided by examples."""
    templates = TextTemplates.of_task(task)
    layers = lora_layers(model.model)
    weights: list[Any] = [module.weight for factors in layers.values() for module in factors]
    totals = [torch.zeros_like(weight, dtype=torch.float64) for weight in weights]
    examples = list(task.examples())
    for group in groups:
        units = [templates.as_text(examples[i]) for i in group]
        encoded = TextTokenizer(model, READING.max_length)(units)
        likelihood = torch.zeros(())
        for prompt, answer in zip(encoded.prompts, encoded.answers, strict=True):
            own = torch.from_numpy(answer.astype(np.int64))[:, None]
            likelihood = likelihood + shares(model, prompt, answer).gather(1, own).sum()
        for total, gradient in zip(totals, torch.autograd.grad(likelihood, weights), strict=True):
            total += gradient.double().square() if squared else gradient.double()
    flat = [(total / len(examples)).flatten().numpy() for total in totals]
    return {name: np.concatenate(flat[2 * i : 2 * i + 2]) for i, name in enumerate(layers)}


def assert_near(actual: dict, expected: dict, tolerance: float = 1e-4) -> None:
    assert actual.keys() == expected.keys()
    for name, reference in expected.items():
        error = np.linalg.norm(actual[name] - reference)
        assert error <= tolerance * np.linalg.norm(reference), name


@pytest.mark.parametrize("type", TYPES)
def test_equals_the_loop_over_single_examples(model: LanguageModel, type: TaskType) -> None:
    task = task_of(type)
    reference = slow(model, task, [[i] for i in range(len(list(task.examples())))])
    assert all(np.any(values) for values in reference.values())
    for most in (4096, 1):
        reading = EncodingSettings(max_tokens=most)
        assert_near(answer_fisher(model, task, FisherSettings(), reading), reference)


def test_the_other_variants(model: LanguageModel) -> None:
    task = tiny(TaskType.CLASSIFICATION)
    summed = FisherSettings("batch-summed", batch_size=2)
    assert_near(answer_fisher(model, task, summed, READING), slow(model, task, [[0, 1], [2, 3], [4]]))
    mean = slow(model, task, [[i] for i in range(5)], squared=False)
    assert_near(answer_fisher(model, task, FisherSettings("gradient"), READING), mean)


def test_drawn_answers_come_near_the_exact_expectation(model: LanguageModel) -> None:
    splits = {"train": [Example("ab", ("c",))]}
    task = Task.from_iterable("t", TaskType.GENERATION, splits)
    (unit,) = TextTemplates.of_task(task).as_text(splits["train"][0])
    encoded = TextTokenizer(model, READING.max_length)([[unit]])
    given: list[torch.Tensor] = []
    output: Any = model.model.get_output_embeddings()  # type: ignore[operator]
    handle = output.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0][0]))
    found = shares(model, encoded.prompts[0], encoded.answers[0]).detach()
    handle.remove()
    hidden = given[0] if model.is_encoder_decoder else given[0][len(encoded.prompts[0]) - 1 : -1]
    name, factors = list(lora_layers(model.model).items())[-1]
    weights: list[Any] = [module.weight for module in factors]
    each = torch.eye(hidden.numel()).view(-1, *hidden.shape)
    jacobian = torch.autograd.grad(hidden, weights, each, is_grads_batched=True)
    # Of logits: (tokens, vocabulary, weights); of log-probabilities: the same less its expectation.
    expected = []
    for own in jacobian:
        logits = torch.einsum("vw,twn->tvn", output.weight, own.view(*hidden.shape, -1))
        chances = found.exp()[..., None]
        spread = (chances * (logits - (chances * logits).sum(1, keepdim=True)).square()).sum(1)
        # Tokens are drawn apart from each other: only squares of the same token's gradient are left.
        expected.append(spread.sum(0))
    reference = torch.cat(expected).detach().numpy()
    settings = FisherSettings("theoretical", draws=150)
    drawn = answer_fisher(model, task, settings, READING)[name]
    assert np.linalg.norm(drawn - reference) < 0.35 * np.linalg.norm(reference)
    assert np.corrcoef(drawn, reference)[0, 1] > 0.95
    other = answer_fisher(model, task, FisherSettings("theoretical", seed=1), READING)[name]
    assert not np.array_equal(
        other, answer_fisher(model, task, FisherSettings("theoretical"), READING)[name]
    )


def test_weights_stay_as_they_are(model: LanguageModel) -> None:
    wanted = {name: weight.requires_grad for name, weight in model.model.named_parameters()}
    before = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    answer_fisher(model, tiny(TaskType.REGRESSION), FisherSettings(), READING)
    assert {name: w.requires_grad for name, w in model.model.named_parameters()} == wanted
    after = model.model.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_bad_labels(model: LanguageModel) -> None:
    bare = [*EXAMPLES[TaskType.CLASSIFICATION], Example("unlabelled")]
    task = Task.from_iterable("t", TaskType.CLASSIFICATION, {"train": bare})
    with pytest.raises(RunFailed, match="train example 6"):
        answer_fisher(model, task, FisherSettings(), READING)
