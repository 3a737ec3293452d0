"""Word segmentation: where are the words in a text that is written without spaces?

As tagging, each character is the beginning, middle or end of a word or a word of its own (B, M, E,
S; Xue 2003), which a hidden Markov model, a MEMM or a CRF can learn. As search, the best of all
ways to cut the text into known words (``UnigramSegmenter``). ``load_jieba`` reads the HMM that the
package jieba ships. Exports these two with ``ChineseSegmenter``, ``to_tags``, ``to_words`` and
``word_f1``.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from nlpmeta import lattice
from nlpmeta.hmm import HMM
from nlpmeta.lattice import log

__all__ = ["ChineseSegmenter", "UnigramSegmenter", "load_jieba", "to_tags", "to_words", "word_f1"]

TAGS = "BEMS"
FLOOR = -3.14e100  # jieba's logarithm of zero; nothing that is added to it changes it
_HAN = re.compile("([\u4e00-\u9fd5]+)")
_LATIN = re.compile(r"([a-zA-Z0-9]+(?:\.\d+)?%?)")


def to_tags(words: Iterable[str]) -> str:
    """One tag for each character of some words.

    Parameters
    ----------
    words : iterable of str
        None of them empty.

    Returns
    -------
    str

    Examples
    --------
    >>> to_tags(["a", "to", "matrix"])
    'SBEBMMMME'
    """
    return "".join("S" if len(word) == 1 else f"B{'M' * (len(word) - 2)}E" for word in words)


def to_words(characters: str, tags: Sequence[str]) -> list[str]:
    """Cut before every B and S and after every E and S, whatever the order of the tags.

    Parameters
    ----------
    characters : str
    tags : sequence of str
        One for each character.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If the two differ in length.

    Examples
    --------
    >>> to_words("atomatrix", "SBEBMMMME")
    ['a', 'to', 'matrix']
    """
    if len(characters) != len(tags):
        raise ValueError(
            f"there are {len(tags)} tags for {len(characters)} characters; give one for each"
        )
    cuts = [
        i for i in range(1, len(characters)) if tags[i] in ("B", "S") or tags[i - 1] in ("E", "S")
    ]
    return [characters[i:j] for i, j in zip([0, *cuts], [*cuts, len(characters)]) if i < j]


def word_f1(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """Harmonic mean of precision and recall of words: both ends of a word must be right.

    Parameters
    ----------
    gold, found : sequence of sequences of str
        The words of each text; the same characters in both.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no word, or the characters differ.

    Examples
    --------
    >>> round(word_f1([["a", "to", "matrix"]], [["at", "o", "matrix"]]), 9)
    0.333333333
    """
    right = said = meant = 0
    for a, b in zip(gold, found, strict=True):
        if "".join(a) != "".join(b):
            raise ValueError(f"gold spells {''.join(a)!r} and found {''.join(b)!r}")
        ends_a, ends_b = _spans(a), _spans(b)
        right += len(ends_a & ends_b)
        meant, said = meant + len(a), said + len(b)
    if meant == 0:
        raise ValueError("gold holds no word; give at least one")
    return 2 * right / (said + meant)


def _spans(words: Sequence[str]) -> set[tuple[int, int]]:
    ends = np.cumsum([len(word) for word in words]).tolist()
    return set(zip([0, *ends], ends))


class UnigramSegmenter:
    """The most probable way to cut a text into words, each word with its frequency as probability.

    best(j) = max_i best(i) + log p(text[i:j]): Viterbi's algorithm on the lattice of all words that
    a text may be cut into. A word that training has not seen has the share of words seen once as
    the probability of being new, and spells itself with letters that are equally likely.

    Examples
    --------
    >>> segmenter = UnigramSegmenter().fit(["to", "learn", "to", "earn", "is", "to", "learn"])
    >>> segmenter.cut("learntoearnisx")
    ['learn', 'to', 'earn', 'is', 'x']
    """

    def fit(self, words: Iterable[str]) -> Self:
        """Count words.

        Parameters
        ----------
        words : iterable of str

        Returns
        -------
        UnigramSegmenter

        Raises
        ------
        ValueError
            If there is no word.

        Examples
        --------
        >>> UnigramSegmenter().fit(["to", "learn"]).longest
        5
        """
        counts = Counter(words)
        counts.pop("", None)
        if not counts:
            raise ValueError("words is empty; give at least one word")
        total = counts.total() + 1
        self.logp = {word: float(np.log(count / total)) for word, count in counts.items()}
        once = sum(count == 1 for count in counts.values()) + 1
        self.new = float(np.log(once / total))
        self.letter = -float(np.log(len(set("".join(counts))) + 1))
        self.longest = max(map(len, counts))
        return self

    def cut(self, text: str) -> list[str]:
        """Cut a text into words.

        Parameters
        ----------
        text : str

        Returns
        -------
        list of str
            Joined, they are the text.

        Examples
        --------
        >>> UnigramSegmenter().fit(["to", "learn"]).cut("learnto")
        ['learn', 'to']
        """
        best, back = [0.0], [0]
        for j in range(1, len(text) + 1):
            ways = [
                (best[i] + self.logp.get(text[i:j], self.new + (j - i) * self.letter), i)
                for i in range(max(0, j - self.longest), j)
            ]
            score, i = max(ways)
            best.append(score)
            back.append(i)
        words, j = [], len(text)
        while j:
            words.append(text[back[j] : j])
            j = back[j]
        return words[::-1]


class ChineseSegmenter(NamedTuple):
    """A hidden Markov model over B, E, M, S that cuts Chinese text, and the characters it knows.

    Its ``emission`` need not be normalized: the best path is defined for any weights.
    """

    model: HMM  # states in the order of TAGS; symbol i is characters[i]
    characters: dict[str, int]

    def tags(self, block: str) -> str:
        """The best tags of a run of Chinese characters; the last one ends a word.

        Where no path is possible, because no state emits one of the characters, the path is the
        one that jieba's floor for log 0 leads to.

        Parameters
        ----------
        block : str
            Not empty.

        Returns
        -------
        str
            As long as ``block``.

        Examples
        --------
        >>> load_jieba().tags("自然语言")
        'BEBE'
        """
        start, transition = log(self.model.start), log(self.model.transition)
        emission = np.full((len(TAGS), len(block)), -np.inf)
        known = [i for i, character in enumerate(block) if character in self.characters]
        columns = [self.characters[block[i]] for i in known]
        emission[:, known] = log(self.model.emission[:, columns])
        open_ends = [TAGS.index("B"), TAGS.index("M")]
        floored = np.maximum(emission, FLOOR)
        emission[open_ends, -1] = floored[open_ends, -1] = -np.inf
        states, best = lattice.best_paths(start, transition, emission, range(len(block) + 1))
        if np.isneginf(best[0]):
            states = _rounded_path(np.maximum(start, FLOOR), transition, floored)
        return "".join(TAGS[state] for state in states)

    def cut(self, text: str) -> list[str]:
        """Cut a text into words, numbers, Latin words and what stands between them.

        Parameters
        ----------
        text : str

        Returns
        -------
        list of str
            Joined, they are the text.

        Examples
        --------
        >>> load_jieba().cut("我用Python 3.11。")
        ['我用', 'Python', ' ', '3.11', '。']
        """
        return list(self._cut(text))

    def _cut(self, text: str) -> Iterator[str]:
        for i, block in enumerate(_HAN.split(text)):
            if i % 2:
                yield from to_words(block, self.tags(block))
            else:
                yield from filter(None, _LATIN.split(block))


def load_jieba() -> ChineseSegmenter:
    """Read the hidden Markov model that the installed package jieba ships, as data.

    Its three files hold Python dictionaries of log-probabilities, which are parsed and not run.
    jieba (Sun Junyi and contributors, MIT license) uses the model for words that its dictionary
    does not know. The emission weights of a state sum to more than one, so ``score`` refuses the
    model; ``viterbi`` would too, and ``ChineseSegmenter.tags`` runs the same algorithm.

    Returns
    -------
    ChineseSegmenter

    Raises
    ------
    ImportError
        If jieba is not installed.

    Examples
    --------
    >>> load_jieba().cut("我爱自然语言")
    ['我', '爱', '自然', '语言']
    """
    spec = importlib.util.find_spec("jieba")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("jieba is not installed; run `pip install -r requirements.txt`")
    folder = Path(next(iter(spec.submodule_search_locations))) / "finalseg"
    start, transition, emission = (
        _literal(folder / f"prob_{name}.py") for name in ("start", "trans", "emit")
    )
    characters = sorted(set().union(*emission.values()))
    model = HMM(len(TAGS), len(characters))
    model.start = np.exp([start[tag] for tag in TAGS])
    model.transition = np.exp(
        [[transition[tag].get(following, -np.inf) for following in TAGS] for tag in TAGS]
    )
    model.emission = np.exp(
        [[emission[tag].get(character, -np.inf) for character in characters] for tag in TAGS]
    )
    return ChineseSegmenter(model, {character: i for i, character in enumerate(characters)})


def _rounded_path(start: np.ndarray, transition: np.ndarray, emission: np.ndarray) -> list[int]:
    """Viterbi with ``FLOOR`` for log 0, in jieba's order of additions.

    A number near FLOOR has no room for the few units that the rest of a path weighs: they are lost
    to rounding, and ties, which go to the tag that comes later in the alphabet, decide.
    """
    k, length = emission.shape
    best, back = start + emission[:, 0], []
    for t in range(1, length):
        ways = best[:, None] + transition + emission[:, t]  # (from, to)
        back.append(k - 1 - ways[::-1].argmax(axis=0))
        best = ways.max(axis=0)
    path = [k - 1 - int(best[::-1].argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]


def _literal(path: Path) -> dict:
    """The dictionary that a module assigns, without running the module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
