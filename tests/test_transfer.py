"""Transfer: what is frozen stays, rates fall with depth, LoRA equals peft's and can be merged."""

from __future__ import annotations

import copy
from functools import partial

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import BertConfig, BertModel

from nlpmeta.training import fit, minibatches, step_decay
from nlpmeta.transfer import (
    Adapter,
    LoRA,
    add_lora,
    discriminative_rates,
    forgetting,
    freeze,
    gradual_unfreeze,
    merge,
    n_trainable,
    unmerge,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def stack(seed=0, dtype=torch.float32):
    """Three linear layers of widths 8, 6, 5, 3."""
    model = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    for p in model.parameters():
        nn.init.normal_(p, std=0.5, generator=generator(seed))
    return model.to(dtype)


def bert(seed=0):
    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertModel(config)
    for p in model.parameters():
        nn.init.normal_(p, std=0.2, generator=generator(seed))
    return model.eval()


def states(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def squared(model, batch):
    return ((model(batch[0]) - batch[1]) ** 2).mean()


def data(seed=1):
    x = torch.randn(40, 8, generator=generator(seed))
    return minibatches(x, torch.sin(x[:, :3]), size=10)


# Freezing


def test_names_modules_and_patterns():
    model = stack()
    assert freeze(model) == []
    assert freeze(model, but="4") == ["4.weight", "4.bias"]
    assert freeze(model, but="2.bias") == ["2.bias"]
    assert freeze(model, but=["*.bias", "0"]) == ["0.weight", "0.bias", "2.bias", "4.bias"]
    assert len(freeze(model, but="*")) == 6
    assert n_trainable(model) == 8 * 6 + 6 + 6 * 5 + 5 + 5 * 3 + 3


def test_a_number_is_not_the_beginning_of_another():
    model = nn.ModuleList(nn.Linear(2, 2) for _ in range(12))
    assert freeze(model, but="1") == ["1.weight", "1.bias"]


@given(st.sets(st.sampled_from([f"{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")])))
def test_what_freeze_returns_restores_it(names):
    model = stack()
    chosen = freeze(model, but=sorted(names))
    assert set(chosen) == names
    assert n_trainable(model) == sum(model.get_parameter(name).numel() for name in names)
    freeze(model, but="0")
    assert freeze(model, but=chosen) == chosen


def test_modes_stay_as_they_are():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2))
    model[1].eval()
    freeze(model, but="2")
    assert [m.training for m in model] == [True, False, True]


def test_a_tied_weight_answers_to_both_names():
    model = nn.ModuleDict({"embedding": nn.Embedding(5, 4), "out": nn.Linear(4, 5, bias=False)})
    model["out"].weight = model["embedding"].weight
    assert freeze(model, but="out") == ["embedding.weight"]


def test_training_moves_what_is_not_frozen():
    model = stack()
    freeze(model, but="4")
    before = states(model)
    fit(model, squared, data(), steps=3)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"4.weight", "4.bias"}


@pytest.mark.parametrize("names", ["3", "4.weihgt", ["4", "4.weihgt"], "nothing.*"])
def test_a_wrong_name_is_answered_with_near_ones(names):
    with pytest.raises(ValueError, match=r"but: .* is no parameter.*near: '"):
        freeze(stack(), but=names)
    with pytest.raises(ValueError, match=r"near: .*'4.weight'"):
        freeze(stack(), but="4.weihgt")


def test_a_name_that_is_no_string():
    with pytest.raises(TypeError, match="but: 4 is no string"):
        freeze(stack(), but=[4])


# Unfreezing from the top


def test_blocks_move_one_after_the_other():
    model, when = stack(), {}
    schedule = gradual_unfreeze(model, every=2)
    before = states(model)

    def batch(step):
        for name, p in model.named_parameters():
            if name not in when and not torch.equal(p, before[name]):
                when[name] = step - 1  # the last update was the first that moved it
        return data()(step)

    fit(model, squared, batch, steps=8, schedule=schedule)
    weights = {name: step for name, step in when.items() if name.endswith("weight")}
    assert weights == {"4.weight": 0, "2.weight": 2, "0.weight": 4}


def test_blocks_that_are_named_and_the_rate():
    model = stack()
    schedule = gradual_unfreeze(model, 3, blocks=["2", "4.bias"], schedule=step_decay(2, 0.5))
    rates = [(schedule(step), n_trainable(model)) for step in range(4)]
    rest = n_trainable(model) - 5 * 7 - 3
    assert [rate for rate, _ in rates] == [1.0, 1.0, 0.5, 0.5]
    assert [n - rest for _, n in rates] == [3, 3, 3, 38]
    assert rest == 54 + 15  # outside the blocks: as before


def test_a_parameter_in_two_blocks_belongs_to_the_upper():
    model = stack()
    schedule = gradual_unfreeze(model, 1, blocks=["*", "4"])
    schedule(0)
    assert n_trainable(model) == 18


def test_a_run_that_was_interrupted_goes_on(tmp_path):
    def run(model, steps, path):
        schedule = gradual_unfreeze(model, every=2)
        options = {"schedule": schedule, "checkpoint": path, "every": 1}
        return fit(model, squared, data(), steps=steps, **options)

    whole, parts = stack(), stack()
    run(whole, 7, tmp_path / "whole")
    for steps in (1, 3, 7):
        run(parts, steps, tmp_path / "parts")
    assert all(map(torch.equal, whole.parameters(), parts.parameters()))


def test_a_schedule_serves_one_run():
    model = stack()
    schedule = gradual_unfreeze(model, every=10)
    fit(model, squared, data(), steps=3, schedule=schedule)
    with pytest.raises(ValueError, match="make a new schedule"):
        fit(model, squared, data(), steps=3, schedule=schedule)
    model = stack()
    schedule = gradual_unfreeze(model, every=10)
    freeze(model, but="4")
    with pytest.raises(ValueError, match="make a new schedule"):
        fit(model, squared, data(), steps=3, schedule=schedule)


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_a_block_takes_a_whole_number_of_updates(every):
    with pytest.raises(ValueError, match=r"every: .*at least 1"):
        gradual_unfreeze(stack(), every)


@pytest.mark.parametrize("blocks", [[], "4"])
def test_blocks_are_a_list(blocks):
    with pytest.raises(ValueError, match=r"blocks: .*list of names"):
        gradual_unfreeze(stack(), 1, blocks)


def test_a_block_that_is_not_there():
    with pytest.raises(ValueError, match="blocks: '1' is no parameter"):
        gradual_unfreeze(stack(), 1, ["0", "1"])


# Rates


def test_rates_by_hand():
    groups = discriminative_rates(stack(), 2.6)
    assert [group["lr"] for group in groups] == pytest.approx([2.6, 1.0, 1 / 2.6])
    assert [sum(p.numel() for p in group["params"]) for group in groups] == [18, 35, 54]


def test_a_frozen_block_keeps_its_depth():
    model = stack()
    freeze(model, but=["0", "4"])
    groups = discriminative_rates(model, 1.0, decay=0.5)
    assert [group["lr"] for group in groups] == [1.0, 0.25]


def test_fit_uses_the_rates():
    model = stack()
    before = states(model)

    def optimizer(_, lr):
        return torch.optim.SGD(discriminative_rates(model, lr, decay=0.5))

    gradient = torch.autograd.grad(squared(model, data()(0)), list(model.parameters()))
    history = fit(model, squared, data(), steps=1, lr=0.1, optimizer=optimizer)
    assert history.rates.tolist() == [0.1]
    for (name, p), g in zip(model.named_parameters(), gradient):
        rate = {"4": 0.1, "2": 0.05, "0": 0.025}[name[0]]
        torch.testing.assert_close(p.detach(), before[name] - rate * g)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "lr: 0.0; give a positive"),
        ({"lr": float("nan")}, "lr: nan"),
        ({"decay": 0.0}, "decay: 0.0"),
        ({"decay": 2.6}, "decay: 2.6; .*at most 1"),
        ({"blocks": ["2", "4"]}, "blocks: none holds '0.weight'"),
        ({"blocks": ["0", "2", "5"]}, "blocks: '5' is no parameter"),
    ],
)
def test_rates_that_are_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        discriminative_rates(stack(), **{"lr": 0.1, **options})


# Adapters


def test_an_adapter_by_hand():
    adapter = Adapter(2, 1, generator())
    with torch.no_grad():
        adapter.down.weight.copy_(torch.tensor([[1.0, 2.0]]))
        adapter.down.bias.fill_(0.5)
        adapter.up.weight.copy_(torch.tensor([[3.0], [-1.0]]))
        adapter.up.bias.copy_(torch.tensor([0.25, 0.0]))
    hidden = 1.0 * 1 + 2.0 * 2 + 0.5
    gelu = hidden * torch.distributions.Normal(0, 1).cdf(torch.tensor(hidden)).item()
    wanted = torch.tensor([1 + 3 * gelu + 0.25, 2 - gelu])
    torch.testing.assert_close(adapter(torch.tensor([1.0, 2.0])), wanted)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 100))
def test_an_adapter_starts_near_the_identity(width, bottleneck, seed):
    adapter = Adapter(width, bottleneck, generator(seed))
    h = torch.randn(5, width, generator=generator(seed))
    # |D h| <= 0.02 |h|_1 in each place, |gelu(x)| <= |x|, and the same again upwards
    bound = 0.02 * bottleneck * 0.02 * h.abs().sum(-1, keepdim=True)
    assert ((adapter(h) - h).abs() <= bound + 1e-6).all()
    assert n_trainable(adapter) == 2 * width * bottleneck + width + bottleneck


def test_adapters_in_a_trained_network_learn():
    model = bert()
    x = torch.randint(20, (4, 7), generator=generator(1))
    before = model(x).last_hidden_state
    for layer in model.encoder.layer:
        layer.output.dense = nn.Sequential(layer.output.dense, Adapter(16, 2, generator(2)))
    torch.testing.assert_close(model(x).last_hidden_state, before, atol=0.02, rtol=0)
    names = freeze(model, but="encoder.layer.*.output.dense.1")
    assert len(names) == 2 * 4
    goal = torch.zeros_like(before)
    history = fit(
        model,
        lambda model, x: nn.functional.mse_loss(model(x).last_hidden_state, goal),
        lambda step: x,
        steps=20,
        lr=0.01,
    )
    assert history.losses[-1] < history.losses[0]


@pytest.mark.parametrize(("width", "bottleneck"), [(0, 1), (4, 0), (4, 1.5)])
def test_an_adapter_has_a_size(width, bottleneck):
    with pytest.raises(ValueError, match="at least 1"):
        Adapter(width, bottleneck, generator())


# LoRA


def test_lora_by_hand():
    layer = nn.Linear(2, 2)
    lora = LoRA(layer, r=1, alpha=3, generator=generator())
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
        layer.bias.copy_(torch.tensor([0.5, 0.0]))
        lora.A.copy_(torch.tensor([[1.0, -1.0]]))
        lora.B.copy_(torch.tensor([[2.0], [0.0]]))
    # W + 3 B A = [[1 + 6, -6], [0, 1]]
    assert lora(torch.tensor([1.0, 2.0])).tolist() == [7 - 12 + 0.5, 2.0]
    assert lora.weight.tolist() == [[7.0, -6.0], [0.0, 1.0]]
    lora.merge()
    assert lora(torch.tensor([1.0, 2.0])).tolist() == [7 - 12 + 0.5, 2.0]


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_laws_of_lora(i, o, draw):
    r = draw.draw(st.integers(1, min(i, o)))
    alpha = draw.draw(st.floats(0.1, 32))
    layer = nn.Linear(i, o)
    x = torch.randn(4, i, generator=generator(1))
    start, weight = layer(x), layer.weight.detach().clone()
    lora = LoRA(layer, r, alpha, generator())
    assert torch.equal(lora(x), start)
    assert n_trainable(lora) == r * (i + o)
    nn.init.normal_(lora.B, generator=generator(2))
    change = lora.weight - weight
    assert torch.linalg.matrix_rank(change, rtol=1e-4) <= r
    y = lora(x)
    lora.merge()
    torch.testing.assert_close(lora(x), y, atol=1e-5 * max(1, alpha), rtol=1e-5)
    lora.unmerge()
    assert torch.equal(layer.weight, weight)
    assert torch.equal(lora(x), y)


def perturb(model, seed=3):
    for name, p in model.named_parameters():
        if name.endswith((".A", ".B")):
            nn.init.normal_(p, std=0.2, generator=generator(seed))


NETWORKS = {
    "stack": (stack, ["0", "2", "4"], lambda: torch.randn(7, 8, generator=generator(4))),
    "bert": (
        bert,
        ["*.query", "*.value", "*.output.dense"],
        lambda: torch.randint(20, (4, 7), generator=generator(4)),
    ),
}
CALLS = {"stack": lambda m, x: m(x), "bert": lambda m, x: m(x).last_hidden_state}


@pytest.mark.parity(
    "transfer",
    "merged and unmerged",
    "each other; the weights before",
    "`1e-5`; exact",
)
@pytest.mark.parametrize("kind", NETWORKS)
def test_merged_is_unmerged(kind):
    make, names, x = NETWORKS[kind]
    model, call, x = make(), CALLS[kind], x()
    plain = call(model, x)
    add_lora(model, names, r=2, alpha=4, generator=generator())
    assert torch.equal(call(model, x), plain)
    perturb(model)
    changed = call(model, x)
    assert (changed - plain).abs().max() > 0.01
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merge(model)
    torch.testing.assert_close(call(model, x), changed, atol=1e-5, rtol=0)
    merge(model)  # twice is once
    torch.testing.assert_close(call(model, x), changed, atol=1e-5, rtol=0)
    unmerge(model)
    unmerge(model)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(call(model, x), changed)


@pytest.mark.parity(
    "transfer",
    "`LoRA` with the same weights: outputs, gradients, merged weights",
    "`peft`",
    "`1e-6`, absolute; gradients `1e-4`",
)
@pytest.mark.parametrize("kind", NETWORKS)
def test_parity_with_peft(kind):
    """Outputs, gradients, trainable parameters and merged weights with the same A and B."""
    make, names, x = NETWORKS[kind]
    ours, base, x = make(), make(), x()
    trainable = add_lora(ours, names, r=2, alpha=5, generator=generator())
    perturb(ours)
    targets = [name.removesuffix(".A") for name in trainable if name.endswith(".A")]
    config = peft.LoraConfig(r=2, lora_alpha=5, target_modules=targets, lora_dropout=0.0)
    theirs = peft.get_peft_model(base, config).eval()
    pairs = []
    for target in targets:
        mine, other = ours.get_submodule(target), theirs.base_model.model.get_submodule(target)
        pairs += [
            (mine.A, other.lora_A["default"].weight),
            (mine.B, other.lora_B["default"].weight),
        ]
    with torch.no_grad():
        for mine, other in pairs:
            other.copy_(mine)
    y, wanted = CALLS[kind](ours, x), CALLS[kind](theirs, x)
    torch.testing.assert_close(y, wanted, atol=1e-6, rtol=0)
    for outputs in (y, wanted):
        (outputs * torch.linspace(-1, 1, y.numel()).view_as(y)).mean().backward()
    for mine, other in pairs:
        assert mine.grad.abs().max() > 0
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-6, rtol=1e-4)
    assert n_trainable(ours) == theirs.get_nb_trainable_parameters()[0]
    assert not [p for name, p in ours.named_parameters() if ".base." in name and p.grad is not None]
    merge(ours)
    merged = theirs.merge_and_unload()
    for target in targets:
        other = merged.get_submodule(target).weight
        torch.testing.assert_close(ours.get_submodule(target).weight, other, atol=1e-6, rtol=0)


def test_lora_is_used_where_a_network_asks_for_the_weight():
    """PyTorch's attention never calls its output layer, it multiplies by its weight."""
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 3, 8, generator=generator(1))
    add_lora(model, "out_proj", r=2, alpha=2, generator=generator())
    perturb(model)
    y = model(x, x, x)[0]
    y.sum().backward()
    assert model.out_proj.A.grad.abs().max() > 0
    merge(model)
    torch.testing.assert_close(model(x, x, x)[0], y, atol=1e-5, rtol=0)


def test_only_a_and_b_move():
    model = stack()
    before = states(model)
    names = add_lora(model, ["0", "4"], r=2, alpha=2, generator=generator())
    assert names == ["0.A", "0.B", "4.A", "4.B"]
    history = fit(model, squared, data(), steps=30, lr=0.05)
    assert history.losses[-1] < history.losses[0]
    after = {name.replace(".base", ""): p for name, p in model.named_parameters()}
    assert all(torch.equal(after[name], p) for name, p in before.items())
    assert freeze(model, but=[*names, "2"]) == [*names[:2], "2.weight", "2.bias", *names[2:]]


def test_lora_is_drawn_by_its_generator_alone():
    one, two = stack(), stack()
    add_lora(one, ["0", "4"], r=2, alpha=2, generator=generator(7))
    torch.rand(3)
    add_lora(two, ["4", "0"], r=2, alpha=2, generator=generator(7))
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    assert not torch.equal(one[0].A[:, :5], one[4].A)


def test_a_second_layer_can_follow():
    model = stack()
    add_lora(model, "0", r=2, alpha=2, generator=generator())
    names = add_lora(model, "2", r=2, alpha=2, generator=generator())
    assert names == ["0.A", "0.B", "2.A", "2.B"]


def test_a_layer_in_two_places_stays_one():
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Tanh()})
    model["c"] = model["a"]
    add_lora(model, "a", r=1, alpha=1, generator=generator())
    assert model["c"] is model["a"]
    assert isinstance(model["c"], LoRA)


def test_a_copy_and_a_type_keep_the_merged_weight():
    model = stack(dtype=torch.float64)
    add_lora(model, "0", r=2, alpha=2, generator=generator())
    assert model[0].A.dtype == torch.float64
    perturb(model)
    before = model[0].base.weight.clone()
    merge(model)
    twin = copy.deepcopy(model)
    unmerge(twin)
    assert torch.equal(twin[0].base.weight, before)
    assert model[0].merged
    assert not twin[0].merged


@pytest.mark.parametrize("r", [0, -1, 4, 1.0])
def test_a_rank_that_does_not_fit(r):
    model = stack()
    before = n_trainable(model)
    with pytest.raises(ValueError, match=r"r: .*layer '4' takes an integer from 1 to 3"):
        add_lora(model, ["4"], r=r, alpha=1, generator=generator())
    assert n_trainable(model) == before
    with pytest.raises(ValueError, match=r"r: .*from 1 to 3"):
        LoRA(nn.Linear(5, 3), r, 1, generator())


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_positive(alpha):
    with pytest.raises(ValueError, match=r"alpha: .*positive"):
        LoRA(nn.Linear(5, 3), 1, alpha, generator())


def test_a_layer_that_is_not_there():
    message = r"names: '\*.qeury' is no layer; near: .*query"
    with pytest.raises(ValueError, match=message):
        add_lora(bert(), "*.qeury", r=2, alpha=2, generator=generator())
    with pytest.raises(ValueError, match=r"near: .*'encoder.layer.1.attention.self.key'"):
        add_lora(bert(), "encoder.layer.1.attention.key", r=2, alpha=2, generator=generator())
    with pytest.raises(TypeError, match="names: 0 is no string"):
        add_lora(stack(), [0], r=2, alpha=2, generator=generator())


def test_a_layer_that_is_not_linear():
    add = partial(add_lora, r=1, alpha=1, generator=generator())
    with pytest.raises(TypeError, match="layer '1' is of type Tanh"):
        add(stack(), ["0", "1"])
    model = stack()
    add(model, "0")
    with pytest.raises(TypeError, match="layer '0' is of type LoRA"):
        add(model, "0")
    with pytest.raises(TypeError, match="layer is of type Embedding"):
        LoRA(nn.Embedding(3, 4), 1, 1, generator())


def test_a_layer_that_is_tied():
    model = nn.ModuleDict({"embedding": nn.Embedding(5, 4), "out": nn.Linear(4, 5, bias=False)})
    model["out"].weight = model["embedding"].weight
    with pytest.raises(ValueError, match="layer 'out' shares its weight"):
        add_lora(model, "out", r=1, alpha=1, generator=generator())


@pytest.mark.parametrize("function", [merge, unmerge])
def test_nothing_to_merge(function):
    with pytest.raises(ValueError, match="no LoRA layer; call add_lora"):
        function(stack())


# Forgetting


def test_forgetting_by_hand():
    assert forgetting({"a": 0.75}, {"a": 0.5}) == {"a": 0.25}
    assert forgetting({}, {}) == {}
    with pytest.raises(ValueError, match=r"after: tasks \['b'\]"):
        forgetting({"a": 0.75}, {"b": 0.5})
