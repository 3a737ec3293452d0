"""Learners that read: nothing changes, nothing leaks, equality with PyTorch's own encoder."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nlpmeta import meta
from nlpmeta.episodes import EpisodeSampler, by_class, evaluate
from nlpmeta.in_context_regression import linear_tasks, posterior
from nlpmeta.learners import InContext
from nlpmeta.learners.in_context import InContextRegressor, Reader
from nlpmeta.neural import CharacterCNN, initialize
from nlpmeta.training import fit
from nlpmeta.transformer import GPT, GPTConfig, attention

WIDTH = 8


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def learner(places=0, seed=0, n_labels=4, d=3):
    """A small learner of vectors, in double precision."""
    encoder = nn.Linear(d, WIDTH)
    initialize(encoder, generator(seed))
    return InContext(encoder, WIDTH, n_labels, 2, 2, generator(seed + 1), places).double()


def regressor(places=0, d=3):
    encoder = nn.Linear(d, WIDTH)
    initialize(encoder, generator())
    return InContextRegressor(encoder, WIDTH, 2, 2, generator(1), places).double()


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


X, Y, QUERY = drawn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]), drawn(5, 3, seed=1)
both = pytest.mark.parametrize("places", [0, 9], ids=["set", "sequence"])


# --- the transformer that is reused ---------------------------------------------------------------


def test_attention_with_the_past_spelled_out_is_attention_to_the_letter():
    for t, s in ((5, 5), (2, 7), (1, 4)):
        q, k, v = (torch.randn(2, 3, n, 4, generator=generator(n)) for n in (t, s, s))
        past = torch.ones(t, s, dtype=torch.bool).tril(s - t)
        for a, b in zip(attention(q, k, v), attention(q, k, v, past)):
            assert torch.equal(a, b)


def test_a_gpt_whose_mask_is_spelled_out_stays_equal_to_the_letter():
    model = GPT(GPTConfig(11, 12, 16, 2, 4))
    x = torch.randint(0, 11, (3, 9), generator=generator())
    before = model.attend_with(lambda q, k, v: attention(q, k, v)[0])(x)[0]
    past = torch.ones(9, 9, dtype=torch.bool).tril()
    assert torch.equal(model.attend_with(lambda q, k, v: attention(q, k, v, past)[0])(x)[0], before)


def peer(block, width, heads):
    """PyTorch's layer with the weights of a block."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation=lambda z: F.gelu(z, approximate="tanh"),
        batch_first=True, norm_first=True,
    ).double()  # fmt: skip
    parts = {
        "self_attn.in_proj_": block.attention.qkv, "self_attn.out_proj.": block.attention.out,
        "linear1.": block.up, "linear2.": block.down,
        "norm1.": block.norm_1, "norm2.": block.norm_2,
    }  # fmt: skip
    layer.load_state_dict(
        {name + kind: getattr(p, kind) for name, p in parts.items() for kind in ("weight", "bias")}
    )
    return layer


@pytest.mark.parity(
    "learners",
    "`Reader`: read, keep, answer",
    "`torch.nn.TransformerEncoderLayer` with the same weights and a mask, in one pass",
    "`1e-10`, absolute",
)
@both
@given(s=st.integers(1, 6), q=st.integers(1, 4), seed=st.integers(0, 100))
def test_reading_and_answering_is_one_pass_of_pytorchs_encoder_with_a_mask(places, s, q, seed):
    reader = Reader(WIDTH, 2, 2, generator(seed), places).double()
    support, queries = drawn(2, s, WIDTH, seed=seed), drawn(2, q, WIDTH, seed=seed + 1)
    ours = reader.answer(queries, reader.read(support))
    h = torch.cat([support + (reader.places.weight[:s] if places else 0), queries], 1)
    seen = torch.zeros(s + q, s + q, dtype=torch.bool)
    seen[:, :s] = True
    seen[range(s + q), range(s + q)] = True
    if places:
        seen[:s, :s] = seen[:s, :s].tril()
    for block in reader.blocks:
        h = peer(block, WIDTH, 2)(h, src_mask=~seen)
    assert torch.allclose(ours, reader.norm(h[:, s:]), atol=1e-10)


# --- what a learner that reads must do ------------------------------------------------------------


@pytest.mark.parity
@both
def test_adapting_changes_no_weight_and_takes_no_gradient(places):
    ours = learner(places)
    before = copy.deepcopy(ours.state_dict())
    predict = ours.adapt(X, Y)
    logits = predict(QUERY)
    assert logits.shape == (5, 3)
    assert ours.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())
    assert all(p.grad is None for p in ours.parameters())
    with torch.inference_mode():  # where no gradient can be taken
        assert torch.equal(ours.adapt(X, Y)(QUERY), logits)
    predict(QUERY + 1)
    assert torch.equal(predict(QUERY), logits), "nor does a query change what has been read"


@both
@given(order=st.permutations(range(5)), keep=st.integers(1, 5), seed=st.integers(0, 50))
def test_queries_do_not_see_each_other(places, order, keep, seed):
    predict = learner(places, seed).adapt(X, Y)
    chosen = torch.tensor(order[:keep])
    assert torch.allclose(predict(QUERY[chosen]), predict(QUERY)[chosen], atol=1e-12)


@both
def test_a_query_sees_every_support_example_and_every_label(places):
    ours = learner(places)
    logits = ours.adapt(X, Y)(QUERY)
    for i in range(6):
        x, y = X.clone(), Y.clone()
        x[i] += 1
        assert not torch.allclose(ours.adapt(x, Y)(QUERY), logits)
        y[i] = (y[i] + 1) % 3
        assert not torch.allclose(ours.adapt(X, y)(QUERY), logits)


@given(order=st.permutations(range(6)), seed=st.integers(0, 50))
def test_the_order_of_a_set_is_nothing(order, seed):
    ours, order = learner(0, seed), torch.tensor(order)
    logits = ours.adapt(X, Y)(QUERY)
    assert torch.allclose(ours.adapt(X[order], Y[order])(QUERY), logits, atol=1e-10)


def test_the_order_of_a_sequence_is_something():
    ours, order = learner(6), torch.tensor([5, 4, 3, 2, 1, 0])
    logits = ours.adapt(X, Y)(QUERY)
    assert not torch.allclose(ours.adapt(X[order], Y[order])(QUERY), logits, atol=1e-3)


def test_in_a_sequence_no_example_sees_a_later_one_and_in_a_set_it_does():
    support = drawn(6, WIDTH)
    for places in (9, 0):
        reader = Reader(WIDTH, 2, 2, generator(), places).double()
        short, long = reader.read(support[:4]), reader.read(support)
        keys = [torch.allclose(a[0], b[0][:, :, :4], atol=1e-12) for a, b in zip(short, long)]
        assert keys == [True, bool(places)], "the first block's keys come from the example alone"


@pytest.mark.parity(
    "learners",
    "`InContext`: loss and gradient on a batch of tasks; weights after adapting",
    "a loop over the tasks; weights before",
    "`1e-12`; `1e-10`; exact",
)
@both
def test_the_vectorized_loss_and_its_gradient_equal_a_loop(places):
    ours = learner(places)
    data = by_class(drawn(60, 3, seed=2), list("abcdef") * 10)
    tasks = EpisodeSampler(data, 3, 2, 4, seed=0).batch(0, 6)
    together = meta.episode_loss(ours, tasks, 3)
    losses = [
        F.cross_entropy(ours(*(part[i] for part in tasks[:3]), 3), tasks[3][i]) for i in range(6)
    ]
    one_by_one = torch.stack(losses).mean()
    assert torch.allclose(together, one_by_one, atol=1e-12)
    parameters = list(ours.parameters())
    for a, b in zip(
        torch.autograd.grad(together, parameters), torch.autograd.grad(one_by_one, parameters)
    ):
        assert torch.allclose(a, b, atol=1e-10)
    assert torch.allclose(
        copy.deepcopy(ours).adapt(X, Y)(QUERY), ours.adapt(X, Y)(QUERY), atol=0
    ), "and a copy can be made of what has been trained"


def test_names_under_vmap_too():
    encoder = CharacterCNN(20, 4, 6, WIDTH, generator())
    x = torch.randint(1, 20, (40, 7), generator=generator())
    tasks = EpisodeSampler(by_class(x, list("abcd") * 10), 3, 2, 3, seed=0).batch(0, 4)
    ours = InContext(encoder, WIDTH, 3, 1, 2, generator())
    meta.episode_loss(ours, tasks, 3).backward()
    assert all(torch.isfinite(p.grad).all() for p in ours.parameters())


def test_meta_training_teaches_it_to_read():
    """Classes are directions never seen in training; weights hold no class, so it must read."""
    centers = 4 * F.normalize(torch.randn(80, 4, generator=generator()), dim=-1)
    x = centers.repeat_interleave(12, 0) + 0.3 * torch.randn(960, 4, generator=generator(1))
    labels = [str(c) for c in range(80) for _ in range(12)]
    train, test = by_class(x[:720], labels[:720]), by_class(x[720:], labels[720:])
    encoder = nn.Linear(4, 16)
    initialize(encoder, generator())
    ours = InContext(encoder, 16, 3, 2, 2, generator(1))
    sampler, held_out = (EpisodeSampler(data, 3, 2, 4, seed=0) for data in (train, test))
    assert evaluate(ours, held_out, 100).mean < 0.55
    meta.meta_train(ours, sampler, steps=300, lr=3e-3)
    assert evaluate(ours, held_out, 100).mean > 0.75


def test_fewer_classes_than_labels_and_a_single_one_are_served():
    assert learner().adapt(X[:2], torch.tensor([0, 1]))(QUERY).shape == (5, 2)
    assert learner().adapt(X[:2], torch.tensor([0, 0]))(QUERY).shape == (5, 1)


def test_the_generator_decides_the_weights_and_the_encoder_is_left_alone():
    encoder = nn.Linear(3, WIDTH)
    before = encoder.weight.clone()
    a, b, c = (InContext(encoder, WIDTH, 4, 2, 2, generator(seed), 5) for seed in (1, 1, 2))
    assert torch.equal(encoder.weight, before)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))
    assert not torch.equal(a.labels.weight, c.labels.weight)
    assert not torch.equal(a.reader.places.weight, c.reader.places.weight)


# --- regression -----------------------------------------------------------------------------------


def test_along_a_sequence_each_answer_is_that_of_a_learner_which_read_what_came_before():
    ours, (x, y) = regressor(9), (drawn(2, 6, 3), drawn(2, 6, 1, seed=1))
    along = ours.along(x, y)
    assert along.shape == (2, 6, 1)
    for i in range(1, 6):
        read = ours.adapt(x[:, :i], y[:, :i])(x[:, i : i + 1])
        assert torch.allclose(along[:, i : i + 1], read, atol=1e-12)
    later = y.clone()
    later[:, 3:] += 1
    assert torch.allclose(ours.along(x, later)[:, :4], along[:, :4], atol=1e-12)
    assert torch.allclose(ours.along(x[0], y[0]), along[0], atol=1e-12), "one task or a batch"


@both
def test_numbers_are_read_without_a_change_of_weights_and_a_batch_is_each_task(places):
    ours, (x, y) = regressor(places), (drawn(2, 6, 3), drawn(2, 6, 1, seed=1))
    before = copy.deepcopy(ours.state_dict())
    together = ours.adapt(x, y)(x)
    for i in range(2):
        assert torch.allclose(ours.adapt(x[i], y[i])(x[i]), together[i], atol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_trained_along_sequences_it_comes_near_the_bayes_predictor():
    """One number an input, four points: far below the error of no reading, above the best."""
    encoder = nn.Linear(1, 16)
    initialize(encoder, generator())
    ours = InContextRegressor(encoder, 16, 2, 2, generator(1), places=4)

    def batch(step):
        return linear_tasks(32, 4, 1, 1, generator(step), noise=0.2)[0]

    fit(
        ours,
        lambda model, task: (model.along(*task[:2]) - task.support_y).square().mean(),
        batch,
        steps=500,
        lr=3e-3,
    )
    x, y, query_x, query_y = linear_tasks(1000, 4, 1, 1, generator(10**6), noise=0.2)[0]
    with torch.no_grad():
        error = (ours.adapt(x, y)(query_x) - query_y).square().mean().item()
    best = (query_x @ posterior(x, y, 0.2).mean - query_y).square().mean().item()
    assert best < error < 0.5 * query_y.square().mean().item()


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "named"), [([0, 2], "labels have no 1"), ([-1, 0], "numbered from 0")]
)
def test_a_support_set_with_a_missing_label_is_refused(labels, named):
    with pytest.raises(ValueError, match=named):
        learner().adapt(X[:2], torch.tensor(labels))


def test_more_classes_than_labels_are_refused():
    with pytest.raises(ValueError, match="the task has 3 classes, but the learner 2 labels"):
        learner(n_labels=2).adapt(X, Y)


def test_more_examples_than_places_are_refused():
    with pytest.raises(ValueError, match="has 6 examples, but the reader 5 places"):
        learner(places=5).adapt(X, Y)


def test_an_encoder_of_another_width_is_refused():
    with pytest.raises(ValueError, match="have 5 numbers, but the reader has width 8"):
        Reader(WIDTH, 1, 2, generator()).read(torch.ones(4, 5))
    state = Reader(WIDTH, 1, 2, generator()).read(torch.ones(4, 8))
    with pytest.raises(ValueError, match="have 5 numbers"):
        Reader(WIDTH, 1, 2, generator()).answer(torch.ones(4, 5), state)


def test_an_encoder_of_another_type_is_refused():
    ours = learner()
    ours.reader.float()
    with pytest.raises(TypeError, match=r"float64, but the reader's weights are torch\.float32"):
        ours.adapt(X, Y)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Reader(8, 2, 2, generator(), places=-1), "places is -1"),
        (lambda: Reader(8, 0, 2, generator()), "n_layers is 0"),
        (lambda: Reader(9, 2, 2, generator()), "width is 9"),
        (lambda: InContext(nn.Identity(), 8, 0, 2, 2, generator()), "n_labels is 0"),
    ],
)
def test_impossible_settings_are_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_a_set_has_no_along():
    with pytest.raises(ValueError, match="places is 0: every example sees the later ones"):
        regressor().along(drawn(4, 3), drawn(4, 1))


@pytest.mark.parametrize("shape", [(4,), (3, 1), (4, 2)])
def test_targets_must_be_one_number_for_each_input(shape):
    with pytest.raises(ValueError, match=r"give y the shape \(4, 1\)"):
        regressor().adapt(drawn(4, 3), torch.ones(shape).double())
