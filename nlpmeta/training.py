"""One loop trains every network of the book.

:func:`fit` asks for the batch of a step, takes the loss, follows its gradient, and writes down
what happened. Everything that varies is a function of the step: the batch, the learning rate
(a schedule) and the noise of dropout. A run is therefore reproducible, and one that was killed
continues from its checkpoint as if nothing had happened. Several processes share each batch and
average their gradients (data parallelism), and compute what one process computes. Early stopping
follows Prechelt (1998). The schedules are step decay, the cosine of Loshchilov and Hutter (2017),
the warm-up of Goyal et al. (2017) and the trapezoid of Hu et al. (2024).

Exports: fit, History, minibatches; constant, step_decay, linear_warmup, cosine, trapezoid.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from accelerate import Accelerator

Schedule = Callable[[int], float]
_CURVES = ("losses", "rates", "evaluated", "scores")

__all__ = [
    "History",
    "constant",
    "cosine",
    "fit",
    "linear_warmup",
    "minibatches",
    "step_decay",
    "trapezoid",
]


class History(NamedTuple):
    """What happened in a run of :func:`fit`.

    Attributes
    ----------
    losses : float64 array (steps,)
        The training loss before each update.
    rates : float64 array (steps,)
        The learning rate of each update.
    evaluated : int64 array (evaluations,)
        How many updates had been made at each evaluation.
    scores : float64 array (evaluations,)
        What ``evaluate`` returned.
    best : int
        How many updates the returned weights have had.
    """

    losses: np.ndarray
    rates: np.ndarray
    evaluated: np.ndarray
    scores: np.ndarray
    best: int


def constant(step: int) -> float:
    """The schedule that leaves the learning rate alone: 1 at every step.

    Parameters
    ----------
    step : int
        Updates made so far.

    Returns
    -------
    float
        The multiplier 1.

    Examples
    --------
    >>> constant(1000)
    1.0
    """
    return 1.0


def step_decay(every: int, factor: float = 0.1) -> Schedule:
    """The schedule ``factor ** (step // every)``: a staircase downwards.

    Parameters
    ----------
    every : int
        Length of a stair in updates.
    factor : float
        What each stair multiplies the learning rate by.

    Returns
    -------
    callable
        Maps the number of updates made so far to a multiplier of the learning rate.

    Examples
    --------
    >>> [step_decay(100, 0.5)(step) for step in (0, 99, 100, 250)]
    [1.0, 1.0, 0.5, 0.25]
    """
    _at_least("every", every, 1)
    return lambda step: factor ** (step // every)


def linear_warmup(steps: int) -> Schedule:
    """The schedule ``min(1, (step + 1) / steps)``: up in a straight line, then level.

    Parameters
    ----------
    steps : int
        Updates until the full learning rate; 0 for none.

    Returns
    -------
    callable
        Maps the number of updates made so far to a multiplier of the learning rate.

    Examples
    --------
    >>> [linear_warmup(4)(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    _at_least("steps", steps, 0)
    return lambda step: min(1.0, (step + 1) / max(steps, 1))


def cosine(steps: int, warmup: int = 0) -> Schedule:
    """Linear warm-up, then half a cosine wave from 1 down to 0 (Loshchilov and Hutter 2017).

    After the warm-up the multiplier is ``(1 + cos(pi * s)) / 2``, where ``s`` runs from 0 to 1.

    Parameters
    ----------
    steps : int
        Updates of the whole run.
    warmup : int
        How many of them go up.

    Returns
    -------
    callable
        Maps the number of updates made so far to a multiplier of the learning rate.

    Examples
    --------
    >>> [round(cosine(8, warmup=4)(step), 2) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    _at_least("warmup", warmup, 0)
    _at_least("steps", steps, warmup + 1)
    up = linear_warmup(warmup)

    def multiplier(step: int) -> float:
        share = min(1.0, max(0, step - warmup) / (steps - warmup))
        return up(step) * (1 + math.cos(math.pi * share)) / 2

    return multiplier


def trapezoid(steps: int, warmup: int, decay: int) -> Schedule:
    """Up in a straight line, level, and down to 0 in a straight line (Hu et al. 2024).

    Until the descent begins, the multipliers do not depend on ``steps``: how long to train can be
    decided while it trains.

    Parameters
    ----------
    steps : int
        Updates of the whole run.
    warmup, decay : int
        How many of them go up, and down.

    Returns
    -------
    callable
        Maps the number of updates made so far to a multiplier of the learning rate.

    Examples
    --------
    >>> [round(trapezoid(8, warmup=2, decay=4)(step), 2) for step in range(8)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    _at_least("warmup", warmup, 0)
    _at_least("decay", decay, 1)
    _at_least("steps", steps, warmup + decay)
    up = linear_warmup(warmup)
    return lambda step: min(up(step), max(0, steps - step) / decay)


def minibatches(*data: Tensor, size: int, seed: int = 0) -> Callable[[int], tuple[Tensor, ...]]:
    """Batches without replacement, as a pure function of the step.

    Every epoch has its own permutation, drawn from ``(seed, epoch)``; what is left over at its end
    is dropped.

    Parameters
    ----------
    *data : Tensor (n, ...)
        Tensors of one length, cut in parallel.
    size : int
        Examples in a batch; all n if there are fewer.
    seed : int
        Which permutations.

    Returns
    -------
    callable
        Maps a step to a tuple of tensors, each (size, ...).

    Examples
    --------
    >>> batch = minibatches(torch.arange(6), size=3)
    >>> sorted(torch.cat([batch(0)[0], batch(1)[0]]).tolist())
    [0, 1, 2, 3, 4, 5]
    >>> batch(7)[0].equal(batch(7)[0])
    True
    """
    lengths = {len(x) for x in data}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"data: lengths {sorted(lengths)}; give tensors of one length above 0")
    _at_least("size", size, 1)
    n = lengths.pop()
    per_epoch = max(1, n // size)

    @lru_cache(maxsize=1)
    def order(epoch: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n))

    def batch(step: int) -> tuple[Tensor, ...]:
        epoch, place = divmod(step, per_epoch)
        rows = order(epoch)[place * size : (place + 1) * size]
        return tuple(x[rows.to(x.device)] for x in data)

    return batch


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    batch: Callable[[int], Any],
    *,
    steps: int,
    lr: float = 1e-3,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    schedule: Schedule = constant,
    clip: float | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    every: int = 100,
    patience: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
    accelerator: Accelerator | None = None,
) -> History:
    """Train a model in place, step by step.

    At each step: take ``batch(step)``, its loss, the gradient; clip; update with learning rate
    ``lr * schedule(step)``. The model ends in evaluation mode and, if ``evaluate`` is given, with
    the weights that scored best.

    Parameters
    ----------
    model : nn.Module
        What to train; parameters that require no gradient stay as they are.
    loss : callable
        ``loss(model, batch)`` gives a scalar tensor.
    batch : callable
        ``batch(step)`` gives the batch of a step and depends on nothing else.
    steps : int
        Number of updates.
    lr : float
        Learning rate before the schedule.
    optimizer : callable
        ``optimizer(parameters, lr=lr)`` gives a ``torch.optim.Optimizer``; use
        ``functools.partial`` to set more. Its groups may have rates of their own: the schedule
        multiplies each.
    schedule : callable
        ``schedule(step)`` gives the multiplier of the learning rate.
    clip : float, optional
        Largest norm of the gradient.
    evaluate : callable, optional
        ``evaluate(model)`` gives a score, lower is better (negate an accuracy). It is called in
        evaluation mode without gradients, every ``every`` updates and after the last.
    every : int
        Updates between evaluations and between checkpoints.
    patience : int, optional
        Stop after that many evaluations in a row without a new best score.
    checkpoint : path, optional
        One safetensors file, replaced in one piece every ``every`` updates. If it exists, the run
        continues from it.
    device : str or torch.device, optional
        Where to train; where the model is, if left out. Batches follow.
    seed : int
        Which noise dropout draws: that of a step depends on seed and step alone, and the global
        generator is left as it was.
    accelerator : accelerate.Accelerator, optional
        Train in all processes that ``accelerate launch`` started. ``batch`` gives the same whole
        batch in each, and each takes its share of the rows. The first one writes checkpoints.

    Returns
    -------
    History
        Losses, learning rates and scores.

    Raises
    ------
    ValueError
        For an argument out of range, a loss that is no scalar with a gradient, or a checkpoint of
        another run.
    FloatingPointError
        If the loss or its gradient is not finite; it names the step and the remedies. Nothing is
        updated or written then, so the last checkpoint is the last good one.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 20)[:, None]
    >>> model = nn.Linear(1, 1)
    >>> def error(model, batch):
    ...     return ((model(batch[0]) - batch[1]) ** 2).mean()
    >>> history = fit(model, error, minibatches(x, 3 * x + 1, size=10), steps=300, lr=0.1)
    >>> [round(p.item(), 2) for p in model.parameters()]
    [3.0, 1.0]
    """
    _check_options(steps, lr, clip, evaluate, every, patience)
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("model: no parameter requires a gradient; unfreeze one")
    if device is None:
        device = accelerator.device if accelerator else trained[0].device
    device = torch.device(device)
    model.to(device)
    rank, processes = (
        (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    )
    stepper = optimizer(trained, lr=lr)
    base_rates = [group["lr"] for group in stepper.param_groups]
    name = type(stepper).__name__
    settings = {"lr": lr, "clip": clip, "seed": seed, "optimizer": name}
    run = _Run()
    if checkpoint is not None and Path(checkpoint).exists():
        run = _load(Path(checkpoint), model, stepper, settings)

    with tqdm(total=steps, initial=run.step, desc="fit", leave=False) as bar:
        while run.step < steps and not run.waited(patience):
            step = run.step
            for group, rate in zip(stepper.param_groups, base_rates):
                group["lr"] = rate * schedule(step)
            model.train()
            with _noise(seed, step, rank, device):
                value = loss(model, _share(_to(batch(step), device), rank, processes))
            rate = stepper.param_groups[0]["lr"]
            run.losses.append(_update(stepper, value, trained, clip, step, accelerator))
            run.rates.append(rate)
            bar.update()
            if run.step % every == 0 or run.step == steps:
                bar.set_postfix_str(f"loss {run.losses[-1]:.3f}", refresh=False)
                if evaluate is not None:
                    run.judge(_evaluate(evaluate, model), model)
                if checkpoint is not None and rank == 0:
                    _save(Path(checkpoint), model, stepper, run, settings)
    if run.best_weights is not None:
        model.load_state_dict(run.best_weights)
    model.eval()
    return run.history()


class _Run:
    """The state of a run beside weights and optimizer: everything a checkpoint adds to them."""

    def __init__(self):
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.evaluated: list[int] = []
        self.scores: list[float] = []
        self.best_weights: dict[str, Tensor] | None = None

    @property
    def step(self) -> int:
        return len(self.losses)

    @property
    def best(self) -> int:
        return self.evaluated[int(np.argmin(self.scores))] if self.scores else self.step

    def judge(self, score: float, model: nn.Module) -> None:
        self.scores.append(score)
        self.evaluated.append(self.step)
        if self.best == self.step:
            self.best_weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def waited(self, patience: int | None) -> bool:
        worse = len(self.scores) - 1 - int(np.argmin(self.scores)) if self.scores else 0
        return patience is not None and worse >= patience

    def history(self) -> History:
        return History(
            np.array(self.losses, dtype=np.float64),
            np.array(self.rates, dtype=np.float64),
            np.array(self.evaluated, dtype=np.int64),
            np.array(self.scores, dtype=np.float64),
            self.best,
        )


# Whatever depends on devices, processes or how a gradient is taken stands in the next functions.


def _to(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor on the device; tuples, named tuples, lists, dicts keep shape."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: _to(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_to(value, device) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(_to(value, device) for value in batch)
    return batch


def _share(batch: Any, rank: int, processes: int) -> Any:
    """Every ``processes``-th row of each tensor of the batch, from row ``rank`` on."""
    if processes == 1:
        return batch
    if isinstance(batch, Tensor):
        if batch.ndim == 0 or len(batch) % processes:
            raise ValueError(
                f"batch: a tensor of shape {tuple(batch.shape)} does not divide among {processes} "
                "processes; give a number of rows that does"
            )
        return batch[rank::processes]
    if isinstance(batch, dict):
        return {key: _share(value, rank, processes) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [_share(value, rank, processes) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def _update(
    stepper: torch.optim.Optimizer,
    value: Tensor,
    trained: list[Tensor],
    clip: float | None,
    step: int,
    accelerator: Accelerator | None,
) -> float:
    """Gradient, averaged over processes; clipping; update. The loss, averaged likewise."""
    _check(value)
    stepper.zero_grad()
    value.backward()
    value = value.detach()
    if accelerator is not None:
        value = accelerator.reduce(value, "mean")
        for p in trained:
            if p.grad is not None:
                p.grad = accelerator.reduce(p.grad, "mean")
    norm = nn.utils.clip_grad_norm_(trained, math.inf if clip is None else clip)
    for name, number in {"loss": value, "norm of the gradient": norm}.items():
        if not torch.isfinite(number):
            raise FloatingPointError(
                f"the {name} is {number.item()} at step {step} (learning rate "
                f"{stepper.param_groups[0]['lr']:g}); lower lr, warm up with linear_warmup, or "
                "clip the gradient, for example clip=1.0"
            )
    stepper.step()
    return value.item()


@contextmanager
def _noise(seed: int, step: int, rank: int, device: torch.device) -> Iterator[None]:
    """Inside, random draws depend on seed, step and process alone; outside, all is as it was."""
    number = int(
        np.random.SeedSequence([seed, step, rank] if rank else [seed, step]).generate_state(1)[0]
    )
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(number)  # torch.manual_seed is a hundred times slower
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(number)
        yield


def _evaluate(evaluate: Callable[[nn.Module], float], model: nn.Module) -> float:
    """The score, with dropout off and nothing recorded."""
    model.eval()
    with torch.no_grad():
        score = float(evaluate(model))
    if math.isnan(score):
        raise FloatingPointError("evaluate returned nan; check the score on an untrained model")
    return score


def _save(
    path: Path, model: nn.Module, stepper: torch.optim.Optimizer, run: _Run, settings: dict
) -> None:
    """One file: tensors as safetensors, everything else as JSON in its header."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in (run.best_weights or {}).items()}
    plain: dict[str, Any] = {}
    for index, entries in stepper.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                plain[f"{index}.{key}"] = value
    curves = {name: getattr(run, name) for name in _CURVES}
    header = {"settings": settings, "plain": plain, "curves": curves}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".tmp")
    copies = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    save_file(copies, draft, metadata={"fit": json.dumps(header)})
    os.replace(draft, path)  # the old checkpoint stays whole until the new one is


def _load(path: Path, model: nn.Module, stepper: torch.optim.Optimizer, settings: dict) -> _Run:
    """Put a checkpoint's weights and optimizer state in place; return the rest of the run."""
    remedy = "delete the file to start again, or name another"
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["fit"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"checkpoint: {path} is damaged or not from fit; {remedy}") from error
    if header["settings"] != settings:
        raise ValueError(
            f"checkpoint: {path} is of a run with {header['settings']}, not {settings}; {remedy}"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    state: dict[int, dict[str, Any]] = {}
    for name, value in (part("optimizer.") | header["plain"]).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    try:
        model.load_state_dict(part("model."))
    except RuntimeError as error:
        raise ValueError(f"checkpoint: {path} is of another model; {remedy}") from error
    groups = stepper.state_dict()["param_groups"]
    stepper.load_state_dict({"state": state, "param_groups": groups})
    run = _Run()
    for name in _CURVES:
        setattr(run, name, header["curves"][name])
    run.best_weights = part("best.") or None
    return run


def _check_options(
    steps: int,
    lr: float,
    clip: float | None,
    evaluate: Callable[[nn.Module], float] | None,
    every: int,
    patience: int | None,
) -> None:
    _at_least("steps", steps, 1)
    _at_least("every", every, 1)
    for name, value in {"lr": lr, "clip": clip}.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}: {value}; give a positive number")
    if patience is not None:
        _at_least("patience", patience, 1)
        if evaluate is None:
            raise ValueError(f"patience: {patience} needs a score to watch; give evaluate")


def _check(value: Any) -> None:
    if not isinstance(value, Tensor) or value.ndim != 0 or not value.requires_grad:
        raise ValueError(
            "loss: must return a scalar tensor with a gradient, such as a mean over the batch; "
            f"got {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        )


def _at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: {value!r}; give an integer of at least {least}")
