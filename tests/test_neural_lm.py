"""Networks as language models: the laws of the interface, files, and bad input."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from nlpmeta import scoreboard
from nlpmeta.information import bits_per_character
from nlpmeta.neural_lm import CHUNK, NeuralLM
from nlpmeta.recurrent import RecurrentLM
from nlpmeta.transformer import GPT, GPTConfig
from nlpmeta.windowed import CausalCNNLM, FixedWindowLM

TEXT = "the cat sat on the mat and the rat sat on the cat. " * 4


def gpt(v, g):
    return GPT(GPTConfig(v, 12, 8, 1, 2), g)


BUILDS = {
    "rnn": lambda v, g: RecurrentLM("rnn", v, 6, 10, generator=g),
    "lstm": lambda v, g: RecurrentLM("lstm", v, 6, 10, generator=g),
    "gru": lambda v, g: RecurrentLM("gru", v, 6, 10, n_layers=2, generator=g),
    "window": lambda v, g: FixedWindowLM(4, v, 6, 10, generator=g),
    "cnn": lambda v, g: CausalCNNLM(3, v, 8, generator=g),
    "gpt": gpt,
}
MODELS: dict[str, NeuralLM] = {}
names = pytest.mark.parametrize("name", BUILDS)


def fitted(name: str) -> NeuralLM:
    if name not in MODELS:
        MODELS[name] = NeuralLM(BUILDS[name], steps=40, batch_size=8, window=12, lr=0.02).fit(TEXT)
    return MODELS[name]


texts = st.text(alphabet="thecasonmrd .?", max_size=40)


@names
@given(context=texts)
@settings(max_examples=20)
def test_next_token_is_a_distribution(name, context):
    p = np.exp(fitted(name).next_logprobs(context))
    assert p.shape == (len(fitted(name).vocabulary),)
    assert p.sum() == pytest.approx(1)


@names
@given(text=texts.filter(bool))
@settings(max_examples=15)
def test_the_two_questions_have_one_answer(name, text):
    model = fitted(name)
    ids = [model.vocabulary.index(c if c in model.vocabulary else "<unk>") for c in text]
    wanted = [model.next_logprobs(text[:i])[token] for i, token in enumerate(ids)]
    np.testing.assert_allclose(model.logprobs(text), wanted, atol=1e-5)


@names
@given(text=st.text("thecasonm ", min_size=2, max_size=40), data=st.data())
@settings(max_examples=20)
def test_a_later_token_never_changes_an_earlier_probability(name, text, data):
    place = data.draw(st.integers(1, len(text) - 1))
    other = text[:place] + data.draw(st.sampled_from("thr.?")) + text[place + 1 :]
    a, b = (fitted(name).logprobs(t)[:place] for t in (text, other))
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parity
@names
@given(text=st.text("thecasonm ", min_size=2, max_size=12), data=st.data())
@settings(max_examples=20)
def test_a_carried_state_equals_the_whole(name, text, data):
    network = fitted(name).network
    x = fitted(name)._encode(text)[None, :12]
    cut = data.draw(st.integers(1, x.shape[1] - 1))
    with torch.no_grad():
        whole, _ = network(x)
        first, state = network(x[:, :cut])
        second, _ = network(x[:, cut:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=1e-4)


@names
def test_a_batch_equals_its_rows(name):
    network = fitted(name).network
    x = torch.randint(5, (7, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = network(x)[0]
        for row, logits in zip(x, together):
            torch.testing.assert_close(network(row[None])[0][0], logits, atol=1e-5, rtol=1e-4)


@names
def test_it_learns_and_is_the_same_again(name):
    model = fitted(name)
    again = NeuralLM(BUILDS[name], steps=40, batch_size=8, window=12, lr=0.02).fit(TEXT)
    assert (again.logprobs(TEXT) == model.logprobs(TEXT)).all()
    assert model.history.losses[-1] < 0.8 * model.history.losses[0]
    uniform = math.log2(len(model.vocabulary))
    assert bits_per_character(model, TEXT) < uniform - 1


@names
def test_it_enters_the_scoreboard(name):
    row = scoreboard.measure(name, NeuralLM(BUILDS[name], steps=3, window=12), TEXT, "the cat!")
    assert row.parameters == sum(p.numel() for p in fitted(name).network.parameters())
    assert len(scoreboard.sample(fitted(name), 15, np.random.default_rng(0), "the ")) >= 15


@pytest.mark.parity(
    "neural_lm",
    "text scored in pieces, in overlapping windows, token by token",
    "each other",
    "`1e-4`, `1e-6`, `1e-5`, absolute",
)
@pytest.mark.parametrize("name", ["lstm", "window"])
def test_a_long_text_is_scored_in_pieces(name):
    model, text = fitted(name), TEXT * (1 + 2 * CHUNK // len(TEXT))
    ids = model._encode(text)
    with torch.no_grad():
        whole = model.network(ids[None, :-1])[0].double().log_softmax(-1)[0]
    wanted = whole.gather(-1, ids[1:, None])[:, 0]
    np.testing.assert_allclose(model.logprobs(text), wanted, atol=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("context", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("length", [0, 1, 2, 4, 5, 6, 7, 8, 11, 12, 13, 30])
def test_overlapping_windows_cover_every_place_once(context, length):
    """A network that shows how much it has seen, in windows of any length."""

    class Seen(nn.Module):
        def __init__(self, v):
            super().__init__()
            self.context, self.bias = context, nn.Parameter(torch.zeros(v))

        def forward(self, x, state=None):
            assert x.shape[1] <= self.context
            depth = torch.arange(x.shape[1]).expand(x.shape) / 10
            return depth[..., None] * torch.eye(len(self.bias))[0] + self.bias, None

    model = NeuralLM(lambda v, g: Seen(v), steps=1, window=1, lr=1e-9).fit("ab")
    text = "a" * length
    wanted = [model.next_logprobs(text[:i])[0] for i in range(length)]
    np.testing.assert_allclose(model.logprobs(text), wanted, atol=1e-6)


@names
def test_generation_equals_drawing_from_next_logprobs(name):
    model, text = fitted(name), ["t"]
    greedy = model.generate(30, context=text, temperature=0)
    for _ in range(30):
        text.append(model.vocabulary[int(model.next_logprobs(text).argmax())])
    assert greedy == text[1:]
    one, two = (model.generate(30, torch.Generator().manual_seed(5), top_p=0.9) for _ in range(2))
    assert one == two
    assert len(one) == 30


def test_the_empty_prompt_and_the_empty_text():
    model = fitted("gru")
    assert model.logprobs("").shape == (0,)
    assert len(model.generate(3, torch.Generator().manual_seed(0))) == 3
    assert model.generate(0) == []
    with pytest.raises(ValueError, match="text is empty"):
        bits_per_character(model, "")


@pytest.mark.parametrize("temperature", [0, 1.0, math.inf])
def test_temperatures(temperature):
    generator = torch.Generator().manual_seed(0)
    text = fitted("gru").generate(400, generator, temperature=temperature)
    if temperature == 0:
        assert fitted("gru").generate(400, temperature=0) == text
    if temperature == math.inf:  # every token is equally probable
        assert set(text) == set(fitted("gru").vocabulary)


def test_generation_with_bad_numbers():
    model = fitted("gru")
    with pytest.raises(ValueError, match="temperature is -1"):
        model.generate(3, torch.Generator(), temperature=-1)
    with pytest.raises(ValueError, match="length is -1"):
        model.generate(-1, torch.Generator())
    with pytest.raises(ValueError, match="generator is missing"):
        model.generate(3)


def test_a_token_outside_the_vocabulary_is_unknown():
    model = fitted("gru")
    assert model.vocabulary[-1] == "<unk>"
    assert (model.logprobs("cat?") == model.logprobs("cat!")).all()
    assert np.isfinite(model.logprobs("???")).all()


def test_what_an_unknown_token_costs_is_learned():
    build = BUILDS["gru"]
    model = NeuralLM(build, steps=150, batch_size=64, window=24, lr=0.02).fit(TEXT * 20)
    bits = -model.next_logprobs(TEXT[:40])[-1] / math.log(2)
    assert 9 < bits < 18


def test_not_fitted():
    for call in ("logprobs", "next_logprobs"):
        with pytest.raises(ValueError, match="the model is not fitted"):
            getattr(NeuralLM(BUILDS["gru"], steps=1), call)("abc")
    with pytest.raises(ValueError, match="the model is not fitted"):
        _ = NeuralLM(BUILDS["gru"], steps=1).n_parameters


def test_bad_training_text():
    with pytest.raises(ValueError, match="tokens is empty"):
        NeuralLM(BUILDS["gru"], steps=1).fit("")
    with pytest.raises(TypeError, match="tokens holds 3 of type int"):
        NeuralLM(BUILDS["gru"], steps=1).fit([3])
    assert NeuralLM(BUILDS["gru"], steps=1).fit("a").vocabulary == ("a", "<unk>")


@pytest.mark.parametrize("window", [0, -1, 2.5])
def test_a_window_that_cannot_be(window):
    with pytest.raises(ValueError, match="window is"):
        NeuralLM(BUILDS["gru"], steps=1, window=window)


def test_a_window_longer_than_the_model():
    with pytest.raises(ValueError, match="window is 13, and the network has context 12"):
        NeuralLM(BUILDS["gpt"], steps=1, window=13).fit(TEXT)


def test_the_best_weights_on_validation_text_are_kept():
    model = NeuralLM(BUILDS["gru"], steps=60, batch_size=8, window=12, lr=0.02)
    model.fit(TEXT, validation="xyz the dog?" * 5, every=10)
    assert model.history.best == model.history.evaluated[model.history.scores.argmin()]
    assert model.history.evaluated.tolist() == [10, 20, 30, 40, 50, 60]


def test_a_killed_run_goes_on(tmp_path):
    def train(steps, checkpoint):
        flat = partial(NeuralLM, BUILDS["lstm"], batch_size=8, window=12, schedule=lambda step: 1.0)
        return flat(steps=steps).fit(TEXT, every=5, checkpoint=checkpoint)

    train(15, tmp_path / "run")
    resumed, whole = train(30, tmp_path / "run"), train(30, None)
    np.testing.assert_allclose(resumed.history.losses, whole.history.losses, atol=1e-6)
    assert (resumed.logprobs(TEXT) == whole.logprobs(TEXT)).all()


@names
def test_files(name, tmp_path):
    path, model = tmp_path / "m.safetensors", fitted(name)
    model.save(path)
    again = NeuralLM.load(path, BUILDS[name])
    assert (again.logprobs(TEXT) == model.logprobs(TEXT)).all()
    assert again.vocabulary == model.vocabulary
    assert (again.steps, again.window, again.lr) == (40, 12, 0.02)


def test_half_the_size(tmp_path):
    model = fitted("lstm")
    model.save(tmp_path / "whole")
    model.save(tmp_path / "half", half=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("whole", "half")]
    saved = 2 * model.n_parameters  # bytes
    assert sizes[0] - sizes[1] == pytest.approx(saved, rel=0.05)
    again = NeuralLM.load(tmp_path / "half", BUILDS["lstm"])
    assert again.network.out.weight.dtype == torch.float32
    np.testing.assert_allclose(again.logprobs(TEXT), model.logprobs(TEXT), atol=0.02)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_cut_short(tmp_path, share):
    path = tmp_path / "m.safetensors"
    fitted("gru").save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="damaged or not from NeuralLM"):
        NeuralLM.load(path, BUILDS["gru"])


def test_a_file_of_something_else(tmp_path):
    save_file({"w": torch.zeros(2)}, tmp_path / "other")
    with pytest.raises(ValueError, match="not from NeuralLM"):
        NeuralLM.load(tmp_path / "other", BUILDS["gru"])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        NeuralLM.load(tmp_path / "missing", BUILDS["gru"])


@pytest.mark.parametrize("other", ["lstm", "rnn", "gpt"])
def test_a_file_of_another_network(tmp_path, other):
    fitted("gru").save(tmp_path / "m")
    with pytest.raises(ValueError, match="is of another network, RecurrentLM"):
        NeuralLM.load(tmp_path / "m", BUILDS[other])


def test_another_configuration_with_the_same_shapes(tmp_path):
    fitted("gpt").save(tmp_path / "m")
    with pytest.raises(ValueError, match="is of another network"):
        NeuralLM.load(tmp_path / "m", lambda v, g: GPT(GPTConfig(v, 12, 8, 1, 4)))


def test_the_header_can_be_read_without_the_package(tmp_path):
    fitted("gru").save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["NeuralLM"])
    assert header["settings"]["steps"] == 40
    assert header["vocabulary"][-1] == "<unk>"
