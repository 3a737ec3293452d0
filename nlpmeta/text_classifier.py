"""A pretrained encoder with a linear layer on top: what is fine-tuned, and a prompt of vectors.

:class:`TextClassifier` puts a head on an encoder of :mod:`nlpmeta.pretrained`;
:func:`text_batches` feeds it to :func:`nlpmeta.training.fit`. :class:`SoftPrompt` is an encoder
that reads a few trained vectors before each text (Lester, Al-Rfou and Constant, 2021). What of all
this moves, :mod:`nlpmeta.transfer` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from nlpmeta import pretrained
from nlpmeta.pretrained import NO_BARS, mean_pool
from nlpmeta.training import minibatches

__all__ = ["SoftPrompt", "TextClassifier", "text_batches", "text_loss"]

TextBatch = tuple[dict[str, Tensor], Tensor]


class TextClassifier(nn.Module):
    r"""A linear layer on the vectors of an encoder, ``logits = W (sqrt(d) z) + b``.

    The vectors z have length 1; the factor makes their d entries about 1 in size, so that a rate
    that suits other layers suits the head. Every parameter is trainable at first.

    Parameters
    ----------
    encoder : pretrained.Encoder or SoftPrompt
        Used in place, not copied.
    n_classes : int
        At least 2.
    generator : torch.Generator
        Draws the weights W, normal with deviation 0.02; b starts at 0.

    Attributes
    ----------
    encoder, head : nn.Module
        Their names are what ``freeze(model, but="head")`` takes.

    Raises
    ------
    ValueError
        If ``n_classes`` is below 2.

    Examples
    --------
    >>> from nlpmeta.pretrained import load_encoder
    >>> model = TextClassifier(load_encoder(), 3, torch.Generator().manual_seed(0))
    >>> model.logits(["Return the mean.", "Good soup."]).shape
    torch.Size([2, 3])
    """

    def __init__(
        self, encoder: pretrained.Encoder | SoftPrompt, n_classes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        if not isinstance(n_classes, int) or n_classes < 2:
            raise ValueError(f"n_classes: {n_classes!r}; give an integer of at least 2")
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, n_classes)
        nn.init.normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Logits (b, n_classes) of what the encoder's ``tokenize`` gave."""
        return self.head(self.encoder.width**0.5 * self.encoder(tokens))

    @torch.no_grad()
    def logits(self, texts: Sequence[str], batch_size: int = 64) -> Tensor:
        """Logits (n, n_classes) of texts, in their order, without gradients and dropout."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = torch.empty(len(texts), self.head.out_features)
        mode = self.training
        self.eval()
        try:
            steps = range(0, len(texts), batch_size)
            for start in tqdm(steps, desc="read", leave=False, delay=3, disable=NO_BARS):
                rows = order[start : start + batch_size]
                found[rows] = self(self.encoder.tokenize([texts[i] for i in rows])).float()
        finally:
            self.train(mode)
        return found

    def accuracy(self, texts: Sequence[str], labels: Sequence[int]) -> float:
        """Share of the texts whose largest logit is that of their label."""
        if len(texts) != len(labels) or not len(texts):
            raise ValueError(f"texts, labels: {len(texts)} and {len(labels)}; give one label each")
        return float((self.logits(texts).argmax(dim=1) == torch.as_tensor(labels)).float().mean())


def text_loss(model: nn.Module, batch: TextBatch) -> Tensor:
    """Mean cross-entropy of a batch of :func:`text_batches`, in nats, for ``fit``."""
    tokens, labels = batch
    return F.cross_entropy(model(tokens), labels)


def text_batches(
    encoder: pretrained.Encoder | SoftPrompt,
    texts: Sequence[str],
    labels: Sequence[int],
    size: int,
    seed: int = 0,
) -> Callable[[int], TextBatch]:
    """Batches of texts as a pure function of the step, each of texts of like length.

    Four batches at a time are drawn without replacement, sorted by length and dealt, so that
    little of a batch is padding.

    Parameters
    ----------
    encoder : pretrained.Encoder or SoftPrompt
        Its tokenizer cuts the texts.
    texts, labels : sequences of str and of int
        One label for each text.
    size : int
        Texts in a batch; all of them if there are fewer.
    seed : int
        Which permutations.

    Returns
    -------
    callable
        Maps a step to token ids and masks, and labels (b,).

    Raises
    ------
    ValueError
        If there is no text, not one label for each, or ``size`` is below 1.

    Examples
    --------
    >>> from nlpmeta.pretrained import load_encoder
    >>> batch = text_batches(load_encoder(), ["a b", "c", "d"], [0, 1, 1], size=2)
    >>> tokens, labels = batch(0)
    >>> tokens["input_ids"].shape[0], labels.shape
    (2, torch.Size([2]))
    """
    if len(texts) != len(labels) or not len(texts):
        raise ValueError(f"texts, labels: {len(texts)} and {len(labels)}; give one label each")
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size: {size!r}; give an integer of at least 1")
    n_dealt = max(1, min(4, len(texts) // size))
    draw = minibatches(torch.arange(len(texts)), size=n_dealt * size, seed=seed)
    targets = torch.as_tensor(labels)

    def batch(step: int) -> TextBatch:
        hand, place = divmod(step, n_dealt)
        rows = sorted(draw(hand)[0].tolist(), key=lambda i: len(texts[i]))
        rows = rows[place * size : (place + 1) * size]
        return encoder.tokenize([texts[i] for i in rows]), targets[rows]

    return batch


class SoftPrompt(nn.Module):
    """An encoder that reads ``n`` vectors of its own between the opening mark and each text.

    They stand where the vectors of ``n`` words would stand, but need not be those of any words
    (Lester, Al-Rfou and Constant, 2021). They start as those of words drawn at random.

    Parameters
    ----------
    encoder : pretrained.Encoder
        Used in place; freeze it with ``freeze(model, but=["encoder.prompt", "head"])``.
    n : int
        At least 1.
    generator : torch.Generator
        Draws the words.

    Attributes
    ----------
    prompt : Parameter (n, d)
    width : int

    Raises
    ------
    ValueError
        If ``n`` is below 1, or prompt and longest text exceed what the network reads.

    Examples
    --------
    >>> from nlpmeta.pretrained import load_encoder
    >>> encoder = SoftPrompt(load_encoder(), 5, torch.Generator().manual_seed(0))
    >>> encoder.prompt.shape
    torch.Size([5, 384])
    """

    def __init__(self, encoder: pretrained.Encoder, n: int, generator: torch.Generator) -> None:
        super().__init__()
        longest = getattr(encoder.network.config, "max_position_embeddings", 512)
        if not isinstance(n, int) or not 1 <= n <= longest - encoder.max_length:
            raise ValueError(
                f"n: {n!r}; give an integer from 1 to {longest - encoder.max_length}, or lower "
                f"the encoder's max_length of {encoder.max_length}"
            )
        self.encoder, self.width = encoder, encoder.width
        words = encoder.network.get_input_embeddings().weight  # (v, d)
        drawn = torch.randint(len(words), (n,), generator=generator)
        self.prompt = nn.Parameter(words[drawn].detach().clone())  # (n, d)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """As the encoder's; the prompt is no part of it."""
        return self.encoder.tokenize(texts)

    def forward(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Vectors of length 1, (b, d), of the texts with the prompt in front."""
        network, mask = self.encoder.network, tokens["attention_mask"]
        words = network.get_input_embeddings()(tokens["input_ids"])  # (b, t, d)
        prompt = self.prompt.expand(len(words), -1, -1)  # (b, n, d)
        x = torch.cat([words[:, :1], prompt, words[:, 1:]], dim=1)
        mask = torch.cat([mask[:, :1].expand(-1, len(self.prompt)), mask], dim=1)
        hidden = network(inputs_embeds=x, attention_mask=mask).last_hidden_state
        return mean_pool(hidden, mask)
