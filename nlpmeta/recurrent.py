"""Recurrent networks: a state that is updated at each token (Elman, 1990).

The three cells are written out as functions: the simple one, the long short-term memory (Hochreiter
and Schmidhuber, 1997, with the forget gate of Gers, Schmidhuber and Cummins, 2000) and the gated
recurrent unit (Cho et al., 2014). ``RecurrentLM`` is the language model; it runs PyTorch's fused
kernels, which compute the same (a test holds them equal). Exports ``rnn_cell``, ``lstm_cell``,
``gru_cell``, ``unroll``, ``bptt``, ``CELLS`` and ``RecurrentLM``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from nlpmeta.neural import initialize

__all__ = [
    "CELLS",
    "CellWeights",
    "RecurrentLM",
    "bptt",
    "gru_cell",
    "lstm_cell",
    "rnn_cell",
    "unroll",
]

State = Tensor | tuple[Tensor, ...]


class CellWeights(NamedTuple):
    """The weights of a cell, the gates stacked, in the order in which PyTorch keeps them.

    With g gates (1, 4 or 3), input width d and state width m: ``w_x`` (g m, d), ``w_h`` (g m, m),
    ``b_x`` and ``b_h`` (g m,).
    """

    w_x: Tensor
    w_h: Tensor
    b_x: Tensor
    b_h: Tensor


def rnn_cell(x: Tensor, h: Tensor, w: CellWeights) -> Tensor:
    """The simple recurrent network: ``h' = tanh(W_x x + b_x + W_h h + b_h)`` (Elman, 1990).

    Parameters
    ----------
    x : Tensor, shape (b, d)
    h : Tensor, shape (b, m)
    w : CellWeights
        Of one gate.

    Returns
    -------
    Tensor, shape (b, m)

    Examples
    --------
    >>> w = CellWeights(*(torch.ones(s) for s in ((1, 1), (1, 1), (1,), (1,))))
    >>> rnn_cell(torch.tensor([[0.5]]), torch.tensor([[-2.5]]), w)
    tensor([[0.]])
    """
    return torch.tanh(x @ w.w_x.T + w.b_x + h @ w.w_h.T + w.b_h)


def lstm_cell(x: Tensor, state: tuple[Tensor, Tensor], w: CellWeights) -> tuple[Tensor, Tensor]:
    """The long short-term memory: a memory c that is added to (Hochreiter and Schmidhuber, 1997).

    With ``a = W_x x + b_x + W_h h + b_h`` cut into four: input gate ``i = sigmoid(a_1)``, forget
    gate ``f = sigmoid(a_2)``, candidate ``g = tanh(a_3)``, output gate ``o = sigmoid(a_4)``. Then
    ``c' = f c + i g`` and ``h' = o tanh(c')``. The forget gate is by Gers et al. (2000).

    Parameters
    ----------
    x : Tensor, shape (b, d)
    state : (h, c), each (b, m)
    w : CellWeights
        Of four gates.

    Returns
    -------
    (h', c')
    """
    h, c = state
    i, f, g, o = (x @ w.w_x.T + w.b_x + h @ w.w_h.T + w.b_h).chunk(4, dim=-1)  # each (b, m)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_cell(x: Tensor, h: Tensor, w: CellWeights) -> Tensor:
    """The gated recurrent unit: interpolate between old state and new (Cho et al., 2014).

    Reset gate ``r = sigmoid(W_xr x + b_xr + W_hr h + b_hr)``, update gate z likewise, candidate
    ``n = tanh(W_xn x + b_xn + r (W_hn h + b_hn))``; then ``h' = (1 - z) n + z h``. Where r stands
    is a variant that the fused kernels use; the paper multiplies h before W.

    Parameters
    ----------
    x : Tensor, shape (b, d)
    h : Tensor, shape (b, m)
    w : CellWeights
        Of three gates.

    Returns
    -------
    Tensor, shape (b, m)
    """
    x_r, x_z, x_n = (x @ w.w_x.T + w.b_x).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w.w_h.T + w.b_h).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


CELLS: dict[str, tuple[Callable, type[nn.RNNBase], int]] = {
    "rnn": (rnn_cell, nn.RNN, 1),
    "lstm": (lstm_cell, nn.LSTM, 4),
    "gru": (gru_cell, nn.GRU, 3),
}  # written out; fused; gates


def unroll(cell: Callable, x: Tensor, state: State, w: CellWeights) -> tuple[Tensor, State]:
    """Run a cell over a sequence: the loop that the fused kernels hide.

    Parameters
    ----------
    cell : callable
        One of the three cells.
    x : Tensor, shape (b, t, d)
    state : Tensor (b, m), or a pair of them for an LSTM
    w : CellWeights

    Returns
    -------
    outputs : Tensor, shape (b, t, m)
    state : as given, after the last step
    """
    outputs = []
    for x_t in x.unbind(dim=1):  # (b, d)
        state = cell(x_t, state, w)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(outputs, dim=1), state


def bptt(x: Tensor, states: Tensor, slopes: Tensor, w: CellWeights) -> CellWeights:
    """Back-propagation through time, written out for the simple cell (Werbos, 1990).

    From the last step to the first, with ``a_t`` the argument of the tangent: ``dL/dh_t`` is its
    own slope plus ``W_h^T dL/da_(t+1)``; ``dL/da_t = (1 - h_t^2) dL/dh_t``; and ``dL/da_t``,
    multiplied by what came in at step t, is that step's share of each gradient.

    Parameters
    ----------
    x : Tensor, shape (b, t, d)
        Inputs.
    states : Tensor, shape (b, t + 1, m)
        The first state and those after each step.
    slopes : Tensor, shape (b, t, m)
        How the loss depends on the states after each step directly, not through later ones.
    w : CellWeights
        Of one gate.

    Returns
    -------
    CellWeights
        The gradients of the loss.

    Examples
    --------
    With one number in the state and slope 1 at the end: ``dh_2/dw_h = h_1 + w_h dh_1/dw_h``, all
    tangents being almost straight.

    >>> w = CellWeights(*(torch.tensor(v) for v in ([[1.0]], [[0.5]], [0.0], [0.0])))
    >>> x, states = torch.tensor([[[1e-3], [0.0]]]), torch.tensor([[[0.0], [1e-3], [5e-4]]])
    >>> bptt(x, states, torch.tensor([[[0.0], [1.0]]]), w).w_h
    tensor([[0.0010]])
    """
    w_x, w_h, b = torch.zeros_like(w.w_x), torch.zeros_like(w.w_h), torch.zeros_like(w.b_x)
    later = torch.zeros_like(states[:, 0])  # what later steps say about this state, (b, m)
    for t in reversed(range(x.shape[1])):
        a = (slopes[:, t] + later) * (1 - states[:, t + 1] ** 2)  # (b, m)
        w_x += a.T @ x[:, t]
        w_h += a.T @ states[:, t]
        b += a.sum(0)
        later = a @ w.w_h
    return CellWeights(w_x, w_h, b, b)


class RecurrentLM(nn.Module):
    """Language model whose memory is the state of a recurrent network (Mikolov et al., 2010).

    Token vectors, ``n_layers`` recurrent layers, and a linear map from the state to logits.

    Parameters
    ----------
    kind : {"rnn", "lstm", "gru"}
    n_symbols : int
        Size of the vocabulary.
    d_embedding, d_hidden : int
        Widths of token vectors and state.
    n_layers : int
    generator : torch.Generator
        Draws the initial weights.

    Examples
    --------
    >>> network = RecurrentLM("lstm", 10, 4, 8, generator=torch.Generator().manual_seed(0))
    >>> logits, state = network(torch.tensor([[1, 2, 3]]))
    >>> more, _ = network(torch.tensor([[4]]), state)
    >>> torch.allclose(more, network(torch.tensor([[1, 2, 3, 4]]))[0][:, -1:], atol=1e-6)
    True
    """

    context = None

    def __init__(
        self,
        kind: Literal["rnn", "lstm", "gru"],
        n_symbols: int,
        d_embedding: int,
        d_hidden: int,
        n_layers: int = 1,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if kind not in CELLS:
            raise ValueError(f"kind is {kind!r}; choose from {', '.join(CELLS)}")
        self.kind = kind
        self.embedding = nn.Embedding(n_symbols, d_embedding)
        self.recurrent = CELLS[kind][1](d_embedding, d_hidden, n_layers, batch_first=True)
        self.out = nn.Linear(d_hidden, n_symbols)
        initialize(self, generator)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits (b, t, v) after each of the tokens ``x`` (b, t), and the state after the last."""
        h, state = self.recurrent(self.embedding(x), state)  # (b, t, m)
        return self.out(h), state
