"""The GPT: equal to transformers' GPT-2, to its own parts written out, and to itself cached."""

import ast
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from nlpmeta import transformer
from nlpmeta.metrics import bits_per_character
from nlpmeta.neural_lm import NeuralLM
from nlpmeta.training import cosine, fit
from nlpmeta.transformer import GPT, GPTConfig, attention, fused_attention, rotate


def small(positions="learned", seed=0, **changes):
    shape = {"n_tokens": 11, "context": 12, "width": 16, "n_layers": 2, "n_heads": 4}
    generator = torch.Generator().manual_seed(seed)
    model = GPT(GPTConfig(**(shape | changes), positions=positions), generator)
    with torch.no_grad():  # larger than at the start, so that places and heads matter
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.2)
    return model.eval()


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(*shape, n=11, seed=0):
    return torch.randint(n, shape, generator=torch.Generator().manual_seed(seed))


# ---- attention


def test_attention_by_hand():
    """The chapter's case: keys (0) and (ln 3), query (1); weights 1/4 and 3/4."""
    q, k = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [math.log(3)]])
    v = torch.tensor([[8.0], [4.0]])
    mixed, weights = attention(q, k, v)
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0], [0.25, 0.75]]))
    torch.testing.assert_close(mixed, torch.tensor([[8.0], [5.0]]))


@pytest.mark.parity(
    "transformer",
    "`fused_attention` (PyTorch's kernel) and its gradients",
    "`attention`, written out, with and without a past",
    "`1e-5`",
)
@given(
    t=st.integers(1, 9), past=st.integers(0, 9), d=st.integers(1, 8), seed=st.integers(0, 99),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
)  # fmt: skip
def test_fused_attention_is_the_written_out_one(t, past, d, seed, scale):
    q, k, v = (draws(2, 3, n, d, seed=seed + n) for n in (t, t + past, t + past))
    q = q * scale
    mixed, weights = attention(q, k, v)
    torch.testing.assert_close(fused_attention(q, k, v), mixed, rtol=1e-5, atol=1e-5)
    assert weights.sum(-1).allclose(torch.ones(()))
    assert (weights >= 0).all()
    assert weights.triu(past + 1).eq(0).all()


def test_gradients_of_both_attentions_agree():
    for t in (5, 2):
        inputs = [draws(1, 2, n, 4, seed=n).double().requires_grad_() for n in (t, 5, 5)]
        found = [
            torch.autograd.grad(attend(*inputs).square().sum(), inputs)
            for attend in (fused_attention, lambda q, k, v: attention(q, k, v)[0])
        ]
        for one, other in zip(*found):
            torch.testing.assert_close(one, other)


# ---- positions


@given(m=st.integers(0, 200), n=st.integers(0, 200), shift=st.integers(0, 300))
def test_turned_products_depend_on_the_distance_alone(m, n, shift):
    q, k = draws(1, 8).double(), draws(1, 8, seed=1).double()
    here = rotate(q, m) @ rotate(k, n).T
    there = rotate(q, m + shift) @ rotate(k, n + shift).T
    assert here.item() == pytest.approx(there.item(), abs=1e-4)
    assert rotate(q, m).norm().item() == pytest.approx(q.norm().item(), abs=1e-5)


@pytest.mark.parity("transformer", "`rotate`", "the rotations of Llama in `transformers`", "`1e-5`")
def test_rotations_are_those_of_llama():
    x = draws(2, 3, 7, 8)
    rates = 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    angles = (torch.arange(7)[:, None] * rates).repeat(1, 2)[None]  # (1, t, d)
    theirs, _ = apply_rotary_pos_emb(x, x, angles.cos(), angles.sin())
    torch.testing.assert_close(rotate(x), theirs)
    torch.testing.assert_close(rotate(x[:, :, 3:], first=3), theirs[:, :, 3:])


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_order_matters(positions):
    model = small(positions)
    one, other = model(torch.tensor([[1, 2, 3]]))[0], model(torch.tensor([[2, 1, 3]]))[0]
    assert (one[0, -1] - other[0, -1]).abs().max() > 1e-3


# ---- the network


@given(
    length=st.integers(1, 12), cuts=st.lists(st.integers(1, 11), max_size=3),
    seed=st.integers(0, 9), positions=st.sampled_from(["learned", "rotary"]),
)  # fmt: skip
@settings(max_examples=25)
def test_the_cache_changes_nothing(length, cuts, seed, positions):
    model, x = small(positions), tokens(2, length, seed=seed)
    whole, _ = model(x)
    edges = [0, *sorted({c for c in cuts if c < length}), length]
    state, parts = None, []
    for start, end in itertools.pairwise(edges):
        logits, state = model(x[:, start:end], state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)
    assert state[0][0].shape == (2, 4, length, 4)


@given(place=st.integers(1, 11), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_the_future_is_not_seen(place, seed):
    model, x = small(), tokens(1, 12, seed=seed)
    changed = x.clone()
    changed[:, place:] = (x[:, place:] + 1) % 11
    before, after = model(x)[0], model(changed)[0]
    torch.testing.assert_close(before[:, :place], after[:, :place])
    assert not before[:, place].allclose(after[:, place])


def test_weights_are_tied_and_counted_once():
    c = GPTConfig(n_tokens=11, context=12, width=16, n_layers=2, n_heads=4)
    d, block = 16, 12 * 16**2 + 13 * 16
    assert sum(p.numel() for p in GPT(c).parameters()) == 11 * d + 12 * d + 2 * block + 2 * d


def test_the_generator_decides_the_weights():
    c = GPTConfig(11, 12, 16, 2, 4)
    assert GPT(c).tokens.weight.equal(GPT(c).tokens.weight)
    assert not GPT(c).tokens.weight.equal(GPT(c, torch.Generator().manual_seed(1)).tokens.weight)
    logits, _ = GPT(c)(tokens(4, 12))
    loss = F.cross_entropy(logits.flatten(0, 1), tokens(4, 12, seed=1).flatten())
    assert loss.item() == pytest.approx(math.log(11), abs=0.05)  # at first nearly uniform
    assert GPT(c).blocks[0].down.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_attention_can_be_replaced():
    model, x = small(), tokens(1, 9)
    before, maps = model(x)[0], []

    def record(q, k, v):
        mixed, weights = attention(q, k, v)
        maps.append(weights)
        return mixed

    torch.testing.assert_close(model.attend_with(record)(x)[0], before, rtol=1e-5, atol=1e-5)
    assert [m.shape for m in maps] == [(1, 4, 9, 9)] * 2
    model.attend_with(lambda q, k, v: torch.zeros_like(q))
    assert not model(x)[0].allclose(before)
    assert model.attend_with(fused_attention)(x)[0].equal(before)


def test_it_learns_by_heart():
    x = tokens(4, 13, seed=5)

    def loss(model, batch):
        logits, _ = model(batch[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    for positions in ("learned", "rotary"):
        model = GPT(GPTConfig(11, 12, 32, 2, 4, positions))
        fit(model, loss, lambda step: x, steps=150, lr=3e-3, schedule=cosine(150, 10), clip=1.0)
        assert loss(model, x).item() < 0.1


def test_a_gpt_in_under_two_hundred_lines():
    """Of code: docstrings, comments and empty lines do not count."""
    source = Path(transformer.__file__).read_text(encoding="utf8")
    lines = {i for i, line in enumerate(source.splitlines(), 1) if line.split("#")[0].strip()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    assert len(lines) < 200


# ---- transformers


def gpt2(seed=0, **changes):
    options = {"vocab_size": 11, "n_positions": 12, "n_embd": 16, "n_layer": 2, "n_head": 4}
    options |= {"bos_token_id": None, "eos_token_id": None, "initializer_range": 0.2}
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return GPT2LMHeadModel(GPT2Config(**(options | changes))).eval()


configurations = st.fixed_dictionaries(
    {
        "vocab_size": st.integers(2, 40),
        "n_positions": st.integers(2, 20),
        "n_layer": st.integers(1, 3),
        "n_head": st.integers(1, 4),
        "n_embd": st.sampled_from([12, 24, 48]),
        "seed": st.integers(0, 1000),
    }
)


@pytest.mark.parity(
    "transformer",
    "`GPT.from_huggingface`: logits on random configurations",
    "`transformers.GPT2LMHeadModel`",
    "`1e-5`",
)
@given(configurations)
@settings(max_examples=30)
def test_logits_are_those_of_gpt2(configuration):
    theirs = gpt2(**configuration)
    ours = GPT.from_huggingface(theirs)
    x = tokens(3, configuration["n_positions"], n=configuration["vocab_size"])
    with torch.no_grad():
        expected = theirs(x).logits
        torch.testing.assert_close(ours(x)[0], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.to_huggingface()(x).logits, expected, rtol=0, atol=0)


@pytest.mark.parity(
    "transformer",
    "`GPT.generate` at temperature 0, with the cache",
    "`GPT2LMHeadModel.generate`; our network without a cache",
    "exact",
)
@given(configurations, st.integers(1, 5))
@settings(max_examples=15)
def test_greedy_generation_is_that_of_gpt2(configuration, prompt):
    theirs, n = gpt2(**configuration), configuration["n_positions"]
    x = tokens(2, min(prompt, n - 1), n=configuration["vocab_size"])
    length = n - x.shape[1]
    expected = theirs.generate(
        x, max_new_tokens=length, do_sample=False, pad_token_id=0, eos_token_id=None,
        attention_mask=torch.ones_like(x),
    )[:, x.shape[1] :]  # fmt: skip
    assert GPT.from_huggingface(theirs).generate(x, length, temperature=0).equal(expected)


@pytest.mark.parity(
    "transformer",
    "`GPT.to_huggingface`, stored and opened by `AutoModelForCausalLM`",
    "our own logits",
    "`1e-5`",
)
def test_what_is_trained_here_opens_in_transformers(tmp_path):
    def loss(model, batch):
        logits, _ = model(batch[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    model = GPT(GPTConfig(11, 12, 16, 2, 4))
    fit(model, loss, lambda step: tokens(4, 13, seed=step), steps=5)
    model.to_huggingface().save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True).eval()
    x = tokens(2, 12)
    with torch.no_grad():
        torch.testing.assert_close(theirs(x).logits, model(x)[0], rtol=1e-5, atol=1e-5)
        again = GPT.from_huggingface(theirs)
        assert again(x)[0].equal(model(x)[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"activation_function": "relu"},
        {"n_inner": 20},
        {"layer_norm_epsilon": 1e-6},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"tie_word_embeddings": False},
    ],
)
def test_a_gpt2_with_other_parts_is_refused(changes):
    with pytest.raises(ValueError, match=rf"{next(iter(changes))}=.*GPT needs"):
        GPT.from_huggingface(gpt2(**changes))


def test_rotary_positions_do_not_fit_into_gpt2():
    with pytest.raises(ValueError, match="rotary"):
        small("rotary").to_huggingface()


# ---- generation


@pytest.mark.parity
def test_generation_without_a_cache_is_the_same():
    model, x = small(), tokens(2, 3)
    text = x
    for _ in range(9):
        text = torch.cat([text, model(text)[0][:, -1:].argmax(-1)], dim=1)
    assert model.generate(x, 9, temperature=0).equal(text[:, 3:])


def test_generation_goes_on_when_the_context_is_full():
    model, x = small(), tokens(1, 12)
    new = model.generate(x, 14, temperature=0)
    assert new.shape == (1, 14)
    text = torch.cat([x, new], dim=1)
    assert new[0, 0] == model(x)[0][0, -1].argmax()
    assert new[0, 1] == model(text[:, 7:13])[0][0, -1].argmax()  # the last half, read anew
    assert new[0, 7] == model(text[:, 7:19])[0][0, -1].argmax()  # full again
    assert GPT(GPTConfig(5, 1, 4, 1, 1)).generate(tokens(1, 1, n=5), 3, temperature=0).shape == (
        1,
        3,
    )


def test_draws_follow_the_distribution_and_the_generator():
    model, x = small(), tokens(1, 4)
    p = model(x)[0][0, -1].softmax(-1).detach()
    many = x.expand(4000, -1)
    first = model.generate(many, 1, generator=torch.Generator().manual_seed(0))
    shares = first.flatten().bincount(minlength=11) / 4000
    assert (shares - p).abs().max() < 0.03
    assert first.equal(model.generate(many, 1, generator=torch.Generator().manual_seed(0)))
    best = set(p.topk(2).indices.tolist())
    kept = model.generate(many, 1, top_k=2, generator=torch.Generator().manual_seed(0))
    assert set(kept.flatten().tolist()) == best
    order, nucleus = p.sort(descending=True), set()
    for index, share in zip(order.indices.tolist(), order.values.cumsum(0) - order.values):
        nucleus |= {index} if share < 0.6 else set()
    kept = model.generate(many, 1, top_p=0.6, generator=torch.Generator().manual_seed(0))
    assert set(kept.flatten().tolist()) == nucleus


def test_temperatures_at_the_ends():
    model, x = small(), tokens(1, 4).expand(4000, -1)
    cold = model.generate(x, 1, temperature=0)
    assert (cold == model(x[:1])[0][0, -1].argmax()).all()
    hot = model.generate(x, 1, temperature=math.inf, generator=torch.Generator().manual_seed(0))
    assert (hot.flatten().bincount(minlength=11) / 4000 - 1 / 11).abs().max() < 0.03


# ---- what it refuses


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_tokens": 0}, "n_tokens is 0"),
        ({"context": -1}, "context is -1"),
        ({"n_layers": 1.5}, "n_layers is 1.5"),
        ({"n_heads": 3}, "width is 16, which the heads do not divide; give a multiple of 3"),
        ({"positions": "sine"}, "positions is 'sine'; give 'learned' or 'rotary'"),
        ({"positions": "rotary", "n_heads": 16}, "even number"),
    ],
)
def test_configurations_out_of_range(changes, message):
    shape = {"n_tokens": 11, "context": 12, "width": 16, "n_layers": 2, "n_heads": 4}
    with pytest.raises(ValueError, match=message):
        GPTConfig(**(shape | changes))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (tokens(1, 13), "13 tokens .* context 12; keep the last 12"),
        (tokens(1, 0), "at least one token"),
        (tokens(5), "give .b, t."),
        (torch.tensor([[3, 11]]), "token 11 is not in the vocabulary; give 0 to 10"),
        (torch.tensor([[3, -1]]), "token -1 is not in the vocabulary"),
    ],
)
def test_tokens_out_of_range(x, message):
    with pytest.raises(ValueError, match=message):
        small()(x)
    with pytest.raises(ValueError, match=message):
        small().generate(x, 2, temperature=0)


def test_a_cache_and_more_tokens_than_the_context():
    model = small()
    _, state = model(tokens(1, 10))
    with pytest.raises(ValueError, match="13 tokens with those before it"):
        model(tokens(1, 3), state)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
)
def test_settings_of_generation_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        small().generate(tokens(1, 3), 2, generator=torch.Generator().manual_seed(0), **options)


# ---- checkpoints of a run


def steps_of(model, path, **options):
    def loss(model, batch):
        logits, _ = model(batch[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    options = {"steps": 12, "every": 4, "clip": 1.0} | options
    return fit(model, loss, lambda step: tokens(4, 13, seed=step), checkpoint=path, **options)


def test_a_gpt_resumes_from_its_checkpoint(tmp_path):
    half, whole = (GPT(GPTConfig(11, 12, 16, 2, 4)) for _ in range(2))
    steps_of(half, tmp_path / "run", steps=7)
    again = GPT(GPTConfig(11, 12, 16, 2, 4), torch.Generator().manual_seed(5))
    found = steps_of(again, tmp_path / "run")
    expected = steps_of(whole, None)
    np.testing.assert_array_equal(found.losses, expected.losses)
    assert again.tokens.weight.equal(whole.tokens.weight)


def test_a_checkpoint_cut_short_or_of_another_configuration(tmp_path):
    path = tmp_path / "run"
    steps_of(GPT(GPTConfig(11, 12, 16, 2, 4)), path)
    for other in (GPTConfig(11, 12, 16, 1, 4), GPTConfig(11, 12, 32, 2, 4)):
        with pytest.raises(ValueError, match="another model"):
            steps_of(GPT(other), path, steps=20)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        steps_of(GPT(GPTConfig(11, 12, 16, 2, 4)), path)


# ---- as a language model of the book


def build(v, generator):
    return GPT(GPTConfig(v, 16, 32, 2, 4, "rotary"), generator)


def test_it_is_a_language_model_of_the_book(tmp_path):
    model = NeuralLM(build, steps=120, batch_size=8, window=16, lr=1e-2).fit("abcd" * 100)
    text = "abcd" * 20
    assert bits_per_character(model, text) < 0.2
    found = model.logprobs(text)
    one_by_one = [model.next_logprobs(text[:i])["abcd".index(text[i])] for i in range(len(text))]
    np.testing.assert_allclose(found, one_by_one, atol=1e-4)
    assert "".join(model.generate(30, context="ab", temperature=0)).startswith("cdabcdabcd")
    model.save(tmp_path / "gpt")
    again = NeuralLM.load(tmp_path / "gpt", build)
    np.testing.assert_array_equal(again.logprobs(text), found)
    (tmp_path / "gpt").write_bytes((tmp_path / "gpt").read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged"):
        NeuralLM.load(tmp_path / "gpt", build)


def test_a_file_of_another_configuration(tmp_path):
    NeuralLM(build, steps=1, window=8).fit("abcd" * 9).save(tmp_path / "gpt")
    with pytest.raises(ValueError, match="another network"):
        NeuralLM.load(tmp_path / "gpt", lambda v, g: GPT(GPTConfig(v, 16, 32, 2, 4), g))
    # the same shapes, cut into other heads
    with pytest.raises(ValueError, match="another network"):
        NeuralLM.load(tmp_path / "gpt", lambda v, g: GPT(GPTConfig(v, 16, 32, 2, 2, "rotary"), g))
