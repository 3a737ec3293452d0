"""How close one string is to another: edit distance, BLEU, chrF and ROUGE.

``edit_distance`` (Levenshtein 1966) is written out. The three scores of generated text are thin
wrappers around the reference implementations, because published numbers are theirs: ``bleu`` and
``chrf`` around sacrebleu (Post 2018), ``rouge`` around rouge-score. ``nlpmeta.metrics`` hands all
four on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The least number of insertions, deletions and substitutions that turn ``a`` into ``b``.

    d[i, j] = min(d[i-1, j] + 1, d[i, j-1] + 1, d[i-1, j-1] + [a_i != b_j]) (Levenshtein 1966,
    algorithm of Wagner and Fischer 1974), a row at a time.

    Parameters
    ----------
    a, b : str or sequence of tokens
        Strings are compared by character, sequences by token.

    Returns
    -------
    int

    Examples
    --------
    >>> edit_distance("kitten", "sitting")
    3
    >>> edit_distance("to learn to learn".split(), "learn to learn".split())
    1
    """
    number: dict[Hashable, int] = {}
    ids = [number.setdefault(token, len(number)) for token in b]
    b_ids = np.array(ids, dtype=np.int64)
    place = np.arange(len(b) + 1)
    row = place
    for i, token in enumerate(a, start=1):
        substitute = row[:-1] + (b_ids != number.get(token, -1))
        above = np.concatenate(([i], np.minimum(row[1:] + 1, substitute)))
        # Insertions: d[j] = min over k <= j of above[k] + (j - k).
        row = np.minimum.accumulate(above - place) + place
    return int(row[-1])


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str | Sequence[str]],
    tokenize: str = "13a",
) -> float:
    """BLEU of a corpus: word n-grams shared with the references, short output penalized.

    BP exp((1/4) sum_{n=1..4} log P_n), with clipped precisions P_n pooled over the corpus and
    BP = min(1, exp(1 - reference length / hypothesis length)) (Papineni et al. 2002); computed by
    sacrebleu (Post 2018).

    Parameters
    ----------
    hypotheses : sequence of str
    references : sequence of str or of sequences of str
        One reference per hypothesis, or several.
    tokenize : str
        The tokenizer of sacrebleu: ``"13a"`` for European languages, ``"zh"`` for Chinese.

    Returns
    -------
    float
        From 0 to 100.

    Raises
    ------
    ValueError
        If there is no hypothesis, or not as many references.

    Examples
    --------
    >>> round(bleu(["the cat sat on the mat"], ["the cat sat on the mat"]))
    100
    """
    from sacrebleu.metrics import BLEU

    references = _references(hypotheses, references)
    return float(BLEU(tokenize=tokenize).corpus_score(list(hypotheses), references).score)


def chrf(hypotheses: Sequence[str], references: Sequence[str | Sequence[str]]) -> float:
    """The chrF2 score of a corpus: character n-grams shared with the references.

    (1 + 4) P R / (4 P + R), with precision P and recall R of character n-grams, averaged over n
    from 1 to 6, white space left out (Popović 2015); computed by sacrebleu (Post 2018).

    Parameters
    ----------
    hypotheses : sequence of str
    references : sequence of str or of sequences of str
        One reference per hypothesis, or several.

    Returns
    -------
    float
        From 0 to 100.

    Raises
    ------
    ValueError
        If there is no hypothesis, or not as many references.

    Examples
    --------
    >>> round(chrf(["the cats"], ["the cat"]), 1)
    93.3
    """
    from sacrebleu.metrics import CHRF

    references = _references(hypotheses, references)
    return float(CHRF().corpus_score(list(hypotheses), references).score)


def rouge(
    hypotheses: Sequence[str],
    references: Sequence[str],
    tokenize: Callable[[str], list[str]] | None = None,
) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L: words, word pairs and longest subsequence shared, as F1.

    The mean over the corpus of 2 P R / (P + R), with P and R the shares of the hypothesis and of
    the reference that the other has too (Lin 2004); computed by rouge-score, without stemming.

    Parameters
    ----------
    hypotheses, references : sequence of str
        One reference per hypothesis.
    tokenize : callable, optional
        Cuts a string into tokens. By default rouge-score's rule: lower case, and everything but
        a to z and 0 to 9 is dropped, so that text in another script has no tokens and scores 0.

    Returns
    -------
    dict of str to float
        ``"rouge1"``, ``"rouge2"`` and ``"rougeL"``, each from 0 to 100.

    Raises
    ------
    ValueError
        If there is no hypothesis, or not as many references.

    Examples
    --------
    >>> scores = rouge(["the cat sat"], ["the cat sat down"])
    >>> {name: round(score, 1) for name, score in scores.items()}
    {'rouge1': 85.7, 'rouge2': 80.0, 'rougeL': 85.7}
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Tokens(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return tokenize(text)

    _references(hypotheses, references)
    names = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(names, tokenizer=None if tokenize is None else Tokens())
    scores = [scorer.score(right, left) for left, right in zip(hypotheses, references)]
    return {name: 100 * float(np.mean([s[name].fmeasure for s in scores])) for name in names}


def _references(
    hypotheses: Sequence[str], references: Sequence[str | Sequence[str]]
) -> list[list[str | None]]:
    """References as sacrebleu takes them: one list per reference, None where there is no more."""
    for name, value in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(value, str):
            raise TypeError(f"{name} is one string; give a list of strings")
    if len(hypotheses) == 0:
        raise ValueError("hypotheses is empty; give at least one string")
    if len(hypotheses) != len(references):
        raise ValueError(
            f"references has {len(references)} entries for {len(hypotheses)} hypotheses; "
            "give one entry for each"
        )
    groups = [[r] if isinstance(r, str) else list(r) for r in references]
    if not all(groups):
        raise ValueError("references has an empty entry; give each hypothesis a reference")
    most = max(map(len, groups))
    return [[g[i] if i < len(g) else None for g in groups] for i in range(most)]
