"""A hidden Markov model as a language model: the state is all it remembers.

The scales of the forward algorithm are the conditional probabilities of the next symbol (Rabiner
1989), so an HMM that Baum-Welch has fitted to a text predicts it token by token. Exports
``HMMLanguageModel``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from nlpmeta.hmm import HMM
from nlpmeta.lattice import log
from nlpmeta.text import UNK, Vocabulary

__all__ = ["HMMLanguageModel"]


class HMMLanguageModel:
    """A hidden Markov model as a language model: predict the next token from the filtered state.

    p(x_t | x_1 ... x_{t-1}) = sum_j p(z_t = j | x_1 ... x_{t-1}) emission(j, x_t). The state must
    carry all that the model knows of the past, so its memory is log_2(n_states) bits at most.

    Parameters
    ----------
    n_states : int
    iterations : int
        Most steps of Baum-Welch.
    smoothing : float
        Added to every expected count; above zero, so that unknown tokens are not impossible.
    window : int
        The training text is cut into sequences of so many tokens, each on its own.
    seed : int
        Of the generator that draws the parameters Baum-Welch begins with.

    Attributes
    ----------
    vocabulary : tuple of str
        The distinct training tokens in alphabetical order and ``UNK``, which stands for all others.
    n_parameters : int
    hmm : HMM

    Examples
    --------
    >>> model = HMMLanguageModel(2, seed=0).fit("abababab")
    >>> model.vocabulary
    ('<unk>', 'a', 'b')
    >>> bool(np.exp(model.next_logprobs("aba"))[2] > 0.9)
    True
    """

    def __init__(
        self,
        n_states: int,
        iterations: int = 50,
        smoothing: float = 0.01,
        window: int = 500,
        seed: int = 0,
    ) -> None:
        if smoothing <= 0:
            raise ValueError(f"smoothing is {smoothing}; above zero, or unknown tokens have none")
        if window < 1:
            raise ValueError(f"window is {window}; it must be at least 1")
        self.n_states, self.iterations, self.smoothing = n_states, iterations, smoothing
        self.window, self.seed = window, seed

    def fit(self, tokens: Sequence[str]) -> Self:
        """Learn from a text that has been cut into tokens.

        Parameters
        ----------
        tokens : sequence of str

        Returns
        -------
        HMMLanguageModel

        Raises
        ------
        ValueError
            If there is no token.

        Examples
        --------
        >>> HMMLanguageModel(2).fit("abab").vocabulary
        ('<unk>', 'a', 'b')
        """
        if len(tokens) == 0:
            raise ValueError("tokens is empty; give at least one token")
        self._index = Vocabulary(tuple(sorted({*tokens, UNK})))
        ids = self._index.encode(tokens)
        windows = [ids[i : i + self.window] for i in range(0, len(ids), self.window)]
        self.hmm = HMM(self.n_states, len(self._index)).fit(
            windows,
            np.random.default_rng(self.seed),
            iterations=self.iterations,
            smoothing=self.smoothing,
        )
        return self

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens that the model can predict."""
        return self._index.tokens

    @property
    def n_parameters(self) -> int:
        """How many numbers the fitted model stores."""
        return self.hmm.start.size + self.hmm.transition.size + self.hmm.emission.size

    def logprobs(self, tokens: Sequence[str]) -> np.ndarray:
        """Natural log-probability of each token given those before it.

        Parameters
        ----------
        tokens : sequence of str

        Returns
        -------
        numpy.ndarray of float, shape (t,)

        Examples
        --------
        >>> HMMLanguageModel(2).fit("abab").logprobs("abx").shape
        (3,)
        """
        return self.hmm.logprobs(self._index.encode(tokens)) if len(tokens) else np.empty(0)

    def next_logprobs(self, context: Sequence[str]) -> np.ndarray:
        """Natural log-probability of every token of the vocabulary as the next.

        Parameters
        ----------
        context : sequence of str
            May be empty.

        Returns
        -------
        numpy.ndarray of float, shape (v,)

        Examples
        --------
        >>> round(np.exp(HMMLanguageModel(2).fit("abab").next_logprobs("a")).sum().item(), 9)
        1.0
        """
        hmm, state = self.hmm, self.hmm.start
        if len(context):
            state = hmm.filter(self._index.encode(context))[-1] @ hmm.transition
        return log(state @ hmm.emission)
