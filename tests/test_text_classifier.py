"""A head on the encoder, its batches, and a prompt that equals words if it has their vectors."""

from __future__ import annotations

import copy

import pytest
import torch

from nlpmeta.pretrained import Encoder, load_encoder
from nlpmeta.text_classifier import SoftPrompt, TextClassifier, text_batches, text_loss
from nlpmeta.training import fit
from nlpmeta.transfer import add_lora, freeze, n_trainable

TEXTS = ["A warm room.", "Cold soup, and the waiter laughed at us when we asked.", "Fine.", "No."]


@pytest.fixture(scope="module")
def opened() -> Encoder:
    return load_encoder()


@pytest.fixture
def encoder(opened) -> Encoder:
    return copy.deepcopy(opened)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_logits_are_the_head_of_the_scaled_vectors(encoder):
    model = TextClassifier(encoder, 3, generator())
    wanted = encoder.embed(TEXTS) * 384**0.5 @ model.head.weight.T + model.head.bias
    assert torch.allclose(model.logits(TEXTS, batch_size=3), wanted, atol=1e-5)
    best = wanted.argmax(1).tolist()
    assert model.accuracy(TEXTS, best) == 1
    assert model.accuracy(TEXTS, [*best[:2], *((c + 1) % 3 for c in best[2:])]) == 0.5


def test_the_mode_of_the_network_survives_a_score(encoder):
    model = TextClassifier(encoder, 2, generator()).train()
    first, second = model.logits(TEXTS), model.logits(TEXTS)
    assert torch.equal(first, second)  # no dropout
    assert model.training
    assert encoder.network.training


def test_a_head_alone_learns_two_kinds_of_text(encoder):
    texts = ["The soup was cold.", "Multiply the matrices."] * 4
    model = TextClassifier(encoder, 2, generator())
    freeze(model, but="head")
    before = copy.deepcopy(encoder.network.state_dict())
    fit(model, text_loss, text_batches(encoder, texts, [0, 1] * 4, 4), steps=20, lr=1e-2)
    assert model.accuracy(["My tea was hot.", "Invert the matrix."], [0, 1]) == 1
    assert all(torch.equal(before[k], v) for k, v in encoder.network.state_dict().items())


def test_lora_and_a_head_are_trained_and_nothing_else(encoder):
    model = TextClassifier(encoder, 2, generator())
    names = ["encoder.network.encoder.layer.5.*.query"]
    freeze(model, but=[*add_lora(model, names, 2, 4, generator()), "head"])
    assert n_trainable(model) == 2 * (384 + 384) + 2 * 385
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fit(model, text_loss, text_batches(encoder, TEXTS, [0, 1, 0, 1], 4), steps=2, lr=1e-2)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(before[k], v)}
    assert {k.rsplit(".", 1)[1] for k in moved} == {"A", "B", "weight", "bias"}
    assert all(k.startswith("head") or k.endswith((".A", ".B")) for k in moved)


def test_batches_deal_every_text_once_an_epoch(encoder):
    texts = [f"{'long ' * (i % 5)}text {i}" for i in range(16)]
    batch = text_batches(encoder, texts, list(range(16)), size=4, seed=3)
    epoch = [batch(step)[1].tolist() for step in range(4)]
    assert sorted(i for b in epoch for i in b) == list(range(16))
    assert [len(texts[i]) for b in epoch for i in b] == sorted(map(len, texts))
    assert batch(1)[1].tolist() == epoch[1]
    again = text_batches(encoder, texts, list(range(16)), size=4, seed=3)
    assert again(6)[1].tolist() == batch(6)[1].tolist()
    tokens, labels = batch(0)
    assert torch.equal(
        tokens["input_ids"], encoder.tokenize([texts[i] for i in labels])["input_ids"]
    )


def test_few_texts_make_one_batch_and_no_text_is_left_out_for_good(encoder):
    assert text_batches(encoder, TEXTS, [0, 1, 0, 1], size=16)(5)[1].shape == (4,)
    batch = text_batches(encoder, TEXTS[:3], [0, 1, 2], size=2)
    assert {label for step in range(20) for label in batch(step)[1].tolist()} == {0, 1, 2}


@pytest.mark.parity(
    "text_classifier",
    "`SoftPrompt` with the vectors of words",
    "the encoder on texts that begin with these words",
    "`1e-5`, absolute",
)
def test_a_prompt_of_the_vectors_of_words_equals_the_words(encoder):
    soft = SoftPrompt(encoder, 3, generator()).eval()
    words = encoder.tokenizer("this movie is", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        soft.prompt.copy_(encoder.network.get_input_embeddings().weight[words])
        found = soft(soft.tokenize(TEXTS))
    wanted = encoder.embed([f"this movie is {text}" for text in TEXTS])
    assert torch.allclose(found, wanted, atol=1e-5)


def test_only_the_prompt_of_a_frozen_encoder_moves(encoder):
    model = TextClassifier(SoftPrompt(encoder, 4, generator()), 2, generator())
    freeze(model, but=["encoder.prompt", "head"])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fit(model, text_loss, text_batches(model.encoder, TEXTS, [0, 1, 0, 1], 4), steps=2, lr=1e-2)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(before[k], v)}
    assert moved == {"encoder.prompt", "head.weight", "head.bias"}
    assert n_trainable(model) == 4 * 384 + 2 * 385


def test_prompts_start_as_words_of_the_network(encoder):
    words = encoder.network.get_input_embeddings().weight
    soft = SoftPrompt(encoder, 5, generator())
    assert all((words == row).all(dim=1).any() for row in soft.prompt)


@pytest.mark.parametrize("n_classes", [1, 0, 2.0])
def test_one_class_is_refused(encoder, n_classes):
    with pytest.raises(ValueError, match=r"n_classes: .*at least 2"):
        TextClassifier(encoder, n_classes, generator())


@pytest.mark.parametrize("n", [0, -1, 257, 2.0])
def test_a_prompt_that_does_not_fit_is_refused(encoder, n):
    with pytest.raises(ValueError, match=r"n: .*from 1 to 256, or lower .*max_length of 256"):
        SoftPrompt(encoder, n, generator())


def test_bad_batches_are_refused(encoder):
    with pytest.raises(ValueError, match="texts, labels: 4 and 1"):
        text_batches(encoder, TEXTS, [0], 2)
    with pytest.raises(ValueError, match="texts, labels: 0 and 0"):
        text_batches(encoder, [], [], 2)
    with pytest.raises(ValueError, match="size: 0"):
        text_batches(encoder, TEXTS, [0, 1, 0, 1], 0)
    model = TextClassifier(encoder, 2, generator())
    with pytest.raises(ValueError, match="texts, labels: 4 and 2"):
        model.accuracy(TEXTS, [0, 1])
