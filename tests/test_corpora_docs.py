"""The docs corpus: cleaning, splitting, near copies, parts, and what can go wrong on a machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.corpora import _cache, docs
from nlpmeta.corpora._docstrings import RULE, SECTION_OF, SECTIONS, dedent, paragraphs, read
from nlpmeta.corpora._lines import LINE_SECTIONS, extract_lines, labeled
from nlpmeta.corpora._parts import deal, group_of, mask, shingles, without_leaks
from nlpmeta.corpora._prose import is_clean, plain, sentences
from nlpmeta.corpora._sources import docstrings, docstrings_of

MARKUP = re.compile(r"[`{}|\\$~#@]|::|>>>|={3,}|:[a-z]+:|</?[A-Za-z]|https?:")


# --- markup inside a paragraph


@pytest.mark.parametrize(
    ("marked", "clean"),
    [
        ("Use ``np.sum(x)`` here.", "Use np.sum(x) here."),
        ("Use `x` here.", "Use x here."),
        ("See :func:`numpy.sum` now.", "See numpy.sum now."),
        ("See :class:`~torch.nn.Linear` now.", "See Linear now."),
        ("See :py:meth:`!fit` now.", "See fit now."),
        ("See :ref:`the guide <guide>` now.", "See the guide now."),
        ("See `.Axes.plot` now.", "See Axes.plot now."),
        ("See `the guide <https://a.org/b_c>`_ now.", "See the guide now."),
        ("See [the guide](https://a.org/b_(c)) now.", "See the guide now."),
        ("See [`~Model.from_pretrained`] now.", "See from_pretrained now."),
        ("See [[the guide]](a) now.", "See the guide now."),
        ("A *very* **bold** _emphatic_ claim.", "A very bold emphatic claim."),
        ("Pass \\*args and \\*\\*kwargs on.", "Pass *args and **kwargs on."),
        ("Two ``Tensor``\\ s meet.", "Two Tensors meet."),
        ("The root_module 's tree.", "The root_module's tree."),
        ("The rank :math:`n` of it.", "The rank n of it."),
        ("For :math:`\\alpha_{i} \\leq 1` only.", "For alpha_i <= 1 only."),
        ("For $x^2$ and \\(y\\) only.", "For x^2 and y only."),
        ("It is fast [1]_ and small [2, 3]_.", "It is fast and small."),
        ("It is fast [Knuth73]_.", "It is fast."),
        ("It is fast [2].", "It is fast."),
        ("Values in [0, 1] and x[1] stay.", "Values in [0, 1] and x[1] stay."),
        ("Call f[i](x) on the range [1, 2].", "Call f[i](x) on the range [1, 2]."),
        ("<Tip warning={true}> Take care. </Tip>", "Take care."),
        ("\u201cQuoted\u201d \u2013 it\u2019s 2\u00d72\u2026", '"Quoted" - it\'s 2x2...'),
        ("One\u00a0space,  two   spaces .", "One space, two spaces."),
    ],
)
def test_markup_is_removed(marked: str, clean: str) -> None:
    assert plain(marked) == clean


@pytest.mark.parametrize(
    "marked",
    [
        "The sum :math:`\\sum_{i=1}^{n} \\frac{x_i}{y_i}` is finite here.",
        "The value is $\\int_0^1 f(x) \\, dx$ in this case.",
        "This is described in detail in [1]_ for all of them.",
        "See [3] for the proof of this claim.",
        "[1]_ describes the method used by this function.",
        "The data are at https://example.org/data and nowhere else.",
        "The value of |version| is set when the docs are built.",
    ],
)
def test_a_sentence_that_lost_something_is_not_clean(marked: str) -> None:
    assert not is_clean(plain(marked))


# --- paragraphs and sections

NUMPY_STYLE = """
    Compute the sum of all elements.

    The elements are added in order::

        total = 0  # Not a sentence of prose at all.

    A second paragraph has two sentences. It ends here.

    .. versionadded:: 1.5
        Not a sentence to keep either.

    .. note:: Notes are kept with
       their second line.

    Parameters
    ----------
    x : array_like, shape (n,)
        The values to be added up. May be
        empty too, of course.
    axis : int, optional
        The axis along which to add.

    Returns
    -------
    float
        The sum of the values given.

    Raises
    ------
    ValueError
        If the values are not numbers at all.

    See Also
    --------
    mean : The mean of all the elements.

    Notes
    -----
    * The first item of this list.
    * The second item of this list
      goes over two lines.

    ======  ==========================
    Name    The table is not a text.
    ======  ==========================

    References
    ----------
    .. [1] A. Author. The title of a good book. 1999.

    Examples
    --------
    Add the first three numbers.

    >>> total([1, 2, 3])
    6
    Not a sentence but an output.
    """

GOOGLE_STYLE = """Compute the sum of all elements.

    Args:
        x (`torch.Tensor` of shape `(batch, n)`):
            The values to be added up.
        axis (int, *optional*): The axis along which to add. The default
            is the last axis of all.

    Returns:
        torch.Tensor: The sum of the values given.

    Example::

        >>> total([1, 2, 3])
        The output is not a sentence.

    Note:
        Take care with large numbers here.

    The text goes on after the note.

    ```python
    # This is not a sentence of prose.
    ```
    """

SPHINX_STYLE = """Compute the sum of all elements.

    :param x: The values to be added up,
        over two lines of text.
    :type x: list
    :returns: The sum of the values given.
    :raises ValueError: If the values are not numbers at all.
    """


def test_numpy_style() -> None:
    assert read(NUMPY_STYLE) == [
        ("summary", "Compute the sum of all elements."),
        ("description", "A second paragraph has two sentences."),
        ("notes", "Notes are kept with their second line."),
        ("parameters", "The values to be added up."),
        ("parameters", "May be empty too, of course."),
        ("parameters", "The axis along which to add."),
        ("returns", "The sum of the values given."),
        ("raises", "If the values are not numbers at all."),
        ("notes", "The first item of this list."),
        ("notes", "The second item of this list goes over two lines."),
        ("examples", "Add the first three numbers."),
    ]


def test_google_style() -> None:
    assert read(GOOGLE_STYLE) == [
        ("summary", "Compute the sum of all elements."),
        ("parameters", "The values to be added up."),
        ("parameters", "The axis along which to add."),
        ("parameters", "The default is the last axis of all."),
        ("returns", "The sum of the values given."),
        ("notes", "Take care with large numbers here."),
        ("description", "The text goes on after the note."),
    ]


def test_sphinx_style() -> None:
    assert read(SPHINX_STYLE) == [
        ("summary", "Compute the sum of all elements."),
        ("parameters", "The values to be added up, over two lines of text."),
        ("returns", "The sum of the values given."),
        ("raises", "If the values are not numbers at all."),
    ]


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("", []),
        ("   \n  \n", []),
        ("add(x, y) -> z\n\nAdd x to y and give z.", [("summary", "Add x to y and give z.")]),
        ("Title\n=====\n\nThe text has a title.", [("summary", "The text has a title.")]),
        ("It is a multi-\nlabel task here.", [("summary", "It is a multi-label task here.")]),
        ("A heading\nThe text goes on here.", [("description", "The text goes on here.")]),
        ("x\n~~~~\n.. math::\n\n    a = b. C is d e f.\n", []),
        (".. |name| replace:: This is what it stands for.", []),
        ("In [1]: This is not prose at all.", []),
        ("+-----+\n| This is a cell of it. |\n+-----+", []),
        ("Copyright 1999. All rights reserved. This is free text.", []),
    ],
)
def test_hard_docstrings(docstring: str, found: list[tuple[str, str]]) -> None:
    assert [item for item in read(docstring) if item[1] != "A heading"] == found


def test_the_margin_is_removed_as_in_every_python_version() -> None:
    assert dedent("One.\n    Two.\n      Three.\n\n    ") == ["One.", "Two.", "  Three.", "", ""]
    assert dedent("\tOne.\r\n\tTwo.") == ["One.", "Two."]


# --- sentences


@pytest.mark.parametrize(
    "whole",
    [
        "See e.g. the guide, i.e. the long one, cf. the short one.",
        "Use version 1.2.3 of numpy.linalg here.",
        "It was found by J. Smith et al. (1999) in the end.",
        "Values between 0. and 1. are fine vs. those above.",
        "The sizes are 1, 2, ... and so on.",
        "It is independent (i.i.d.) of the rest.",
        "Follow Eq. 3 and Fig. 4 of the text.",
    ],
)
def test_one_sentence(whole: str) -> None:
    found = sentences(whole)
    assert found == [whole] or whole.startswith("Values")


@pytest.mark.parametrize(
    "parts",
    [
        ["This is one.", "This is two."],
        ["Is it one?", "It is!", "And three."],
        ["Lists, arrays, etc. are fine.", "It is so."],
        ["Lists, arrays, etc.", "The rest is not."],
        ["Solve for the matrix A.", "The matrix is square."],
        ["It is (see below.)", "This is next."],
        ["Defaults to 0.5.", "2 is too large."],
        ["Use fit.", "x is then given."],
    ],
)
def test_several_sentences(parts: list[str]) -> None:
    assert sentences(" ".join(parts)) == parts


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "Too short.",
        "starts with a small letter here.",
        "It does not end as it should",
        "It ends in an ellipsis and stops...",
        "See :func:`x` for more of this.",
        "The {name} of this thing here.",
        "The a|b of this thing here.",
        "The ``code`` of this thing here.",
        "Call >>> now in this line here.",
        "It has an open (bracket in it here.",
        'It has an open "quote in it here.',
        "It was (found] in this place here.",
        "It was found 75 times), in (some places.",
        "It is the sample coefficient of skewness, i.e.",
        "X = a + b * c - d / e + f.",
        "The \u03b1 of this thing is Greek.",
        "Smith, J. and A. Jones. A good book, pp. 3-4.",
        "Journal of Good Things has published it.",
        "The cell size This is the next one.",
        "The *args is fine but *this is not.",
        "A" * 3 + " word" * 100 + ".",
    ],
)
def test_not_clean(bad: str) -> None:
    assert not is_clean(bad)


@pytest.mark.parametrize(
    "good",
    [
        "Return the sum of all elements.",
        "2-D arrays are treated as matrices here.",
        "Is the matrix positive definite?",
        "All *args and **kwargs are passed on to plot.",
        "The value x[0] is at most 2**n - 1 then.",
        "The Erd\u0151s-R\u00e9nyi graph has random edges.",
        'The mode "same" keeps the shape (n, m).',
    ],
)
def test_clean(good: str) -> None:
    assert is_clean(good)


# --- properties

PIECES = st.sampled_from(
    ["a", "The", "of.", "e.g.", "A.", "x_i", "``x``", "`y`_", ":math:`x`", "$x$", "[1]_", "**b**"]
    + ["*c*", "::", "..", "note::", ">>>", "|", "{x}", "\\", "==", "----", "Parameters", "Args:"]
    + ["x:", "x :", ":param", "word", "Word.", "Word?", "3.", "3.5", "(", ")", "[", "]", '"', "```"]
)
DOCSTRINGS = st.one_of(
    st.text(max_size=200),
    st.lists(st.tuples(st.sampled_from(["\n", " ", "\n\n", "\n    "]), PIECES), max_size=60).map(
        lambda pairs: "".join(space + piece for space, piece in pairs)
    ),
)


@given(DOCSTRINGS)
def test_nothing_but_clean_sentences_comes_out(docstring: str) -> None:
    for section, sentence in read(docstring):
        assert section in SECTIONS
        assert is_clean(sentence)
        assert not MARKUP.search(sentence)
        assert len(re.findall("[A-Za-z]+", sentence)) >= 4


@given(DOCSTRINGS)
def test_the_splitter_loses_no_word(text: str) -> None:
    found = sentences(text)
    assert " ".join(found).split() == text.split()
    assert all(found)


@given(DOCSTRINGS)
def test_cleaning_gives_one_line(text: str) -> None:
    assert plain(text) == " ".join(plain(text).split())
    assert all(section in SECTIONS for section, _ in paragraphs(text))


@given(st.lists(st.sampled_from("abcde"), max_size=30), st.integers(1, 9))
def test_shingles_are_all_the_runs(words: list[str], n: int) -> None:
    runs = shingles(" ".join(words), n)
    assert len(runs) == max(0, len(words) - n + 1)
    assert all(run.split() == words[i : i + n] for i, run in enumerate(runs))


@given(st.dictionaries(st.sampled_from([f"a.{i}" for i in range(40)]), st.integers(1, 1000)))
def test_held_out_parts_have_at_most_a_tenth(sizes: dict[str, int]) -> None:
    parts = deal(sizes)
    assert set(parts) == set(sizes)
    for part in ("validation", "test"):
        assert sum(sizes[g] for g in sizes if parts[g] == part) <= sum(sizes.values()) / 10


# --- near copies and parts


def test_copies_that_differ_in_names_and_numbers_have_one_mask() -> None:
    assert mask("Builds a BERT encoder of 12 layers.") == mask(
        "Builds a GPT-2 encoder of 6 layers."
    )
    assert mask("Returns True if np.any holds.") == mask("Returns False if x_y holds.")
    assert mask("Return the sum.") != mask("Compute the sum.")


def test_a_held_out_row_that_shares_eight_words_is_dropped() -> None:
    shared = "one two three four five six seven eight"
    rows = [
        ("train", "a", "notes", f"Here {shared} nine."),
        ("validation", "b", "notes", f"There {shared} ten."),
        ("validation", "b", "notes", "One two three four five six seven only."),
        ("test", "c", "pair", "Summary here.", f"Long {shared}."),
        ("test", "c", "notes", "Nothing is shared with anything in this line."),
    ]
    assert without_leaks(rows) == [rows[0], rows[2], rows[4]]


def test_groups() -> None:
    assert group_of("numpy") == "numpy"
    assert group_of("sklearn.cluster._kmeans") == "sklearn.cluster"
    assert group_of("networkx.algorithms.flow.maxflow") == "networkx.algorithms.flow"


# --- source files


def test_docstrings_are_found_without_running_anything() -> None:
    source = b'''"""Module."""
raise SystemExit("executed")
if True:
    class A:
        """Class."""
        x = add_newdoc("m", "f", ("g", """Tuple."""))
        def f(self):
            """Method."""
        "Not a docstring."
async def g():
    "Coroutine."
_add_docstr(h, r"""Added {x} """.format(x=1) + """and more.""")
print("""Printed.""")
'''
    assert list(docstrings_of(source, "a.py")) == [
        "Module.", "Class.", "Tuple.", "Method.", "Coroutine.", "Added {x} ", "and more.",
    ]  # fmt: skip


def test_invalid_escapes_of_others_are_silent(recwarn: pytest.WarningsRecorder) -> None:
    assert list(docstrings_of(b'"""A \\d escape."""', "a.py")) == ["A \\d escape."]
    assert not recwarn.list


@pytest.mark.parametrize("damaged", [b'"""Whole."""\ndef f(:\n', b'"""Cut off', b'"""a"""\n\0'])
def test_a_damaged_source_file_is_named(damaged: bytes) -> None:
    with pytest.raises(RuntimeError, match=r"docs: numpy/x\.py is damaged .*reinstall"):
        list(docstrings_of(damaged, "numpy/x.py"))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return root


def test_only_the_package_s_own_prose_is_read(tmp_path: Path) -> None:
    doc = '"""This is the text of {}."""\n'
    left_out = (
        "__init__.py", "version.py", "a/tests/b.py", "_vendor/c.py", "externals/d.py", "setup.py",
        "__config__.py", "distutils/e.py", "test_f.py", "utils/dummy_pt_objects.py",
    )  # fmt: skip
    files = {name: doc.format(name) for name in left_out}
    files |= {"made.py": "# Automatically generated file\n" + doc.format("made")}
    files |= {name: doc.format(name) for name in ("b/__init__.py", "b/c.py", "a.py")}
    found = list(docstrings("numpy", write(tmp_path, files)))
    assert [module for module, _ in found] == ["numpy.a", "numpy.b", "numpy.b.c"]


def test_extraction_drops_copies_and_keeps_groups_whole(tmp_path: Path) -> None:
    letters = iter("abcdefghijkl")
    doc = (
        '"""Build a {0} encoder here.\n\nThis {1} is about {1} and nothing but {1} in the end."""\n'
    )
    files = {
        f"{g}/{m}.py": doc.format(f"BERT{g}{m}", 3 * next(letters)) for g in "abcdef" for m in "xy"
    }
    root = write(tmp_path, files)
    lines = docs.extract({"numpy": root})
    assert lines == docs.extract({"numpy": root})
    rows = [line.split("\t") for line in lines]
    assert sum(row[3] == "Build a BERTax encoder here." for row in rows if row[2] != "pair") == 1
    assert sum("encoder" in row[3] for row in rows) == 2  # the first sentence and the first pair
    assert len({(row[0], group_of(row[1])) for row in rows}) == 6


def test_line_ends_do_not_matter(tmp_path: Path) -> None:
    text = f'"""{NUMPY_STYLE}"""\n'
    unix = write(tmp_path / "unix", {"a/b.py": text})
    windows = write(tmp_path / "windows", {"a/b.py": text.replace("\n", "\r\n")})
    assert docs.extract({"numpy": unix}) == docs.extract({"numpy": windows})


def test_another_hash_seed_gives_the_same_text() -> None:
    code = (
        "import hashlib; from nlpmeta.corpora import docs; "
        "lines = docs.extract({'mpl_toolkits': docs._roots()['mpl_toolkits']}); "
        "print(hashlib.sha256('\\n'.join(lines).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


# --- the corpus


@pytest.mark.parity
def test_the_corpus_is_the_book_s() -> None:
    assert docs.content_hash() == docs.EXPECTED


def test_size_and_labels() -> None:
    everything = docs.load()
    assert len(docs.text()) >= 3_500_000
    assert {sentence.library for sentence in everything} == set(docs.LIBRARIES)
    assert {sentence.section for sentence in everything} == set(docs.SECTIONS)
    assert len(docs.LIBRARIES) == 9
    assert len(docs.pairs()) >= 5_000


def test_every_sentence_is_clean() -> None:
    whole = docs.text()
    assert MARKUP.search(whole) is None
    assert len(set(whole)) <= 100
    held_out = docs.load("validation") + docs.load("test")
    assert [sentence for sentence in held_out if not is_clean(sentence.text)] == []


def test_pairs_are_a_sentence_and_more() -> None:
    for pair in docs.pairs():
        assert is_clean(pair.summary)
        assert len(pair.description) >= len(pair.summary)
        assert not MARKUP.search(pair.description)


def test_there_are_no_duplicates() -> None:
    for texts in (
        [" ".join(sentence.text.casefold().split()) for sentence in docs.load()],
        [mask(sentence.text) for sentence in docs.load()],
        [mask(pair.summary) for pair in docs.pairs()],
        [mask(pair.description) for pair in docs.pairs()],
    ):
        duplicates = len(texts) - len(set(texts))
        assert duplicates == 0


def test_parts_partition_the_corpus_by_groups() -> None:
    groups = [
        {group_of(record.module) for record in (*docs.load(part), *docs.pairs(part))}
        for part in docs.PARTS
    ]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert sum(len(docs.load(part)) for part in docs.PARTS) == len(docs.load())
    assert sum(len(docs.pairs(part)) for part in docs.PARTS) == len(docs.pairs())


def test_each_library_is_in_each_part_with_its_share() -> None:
    shares = {part: Counter(s.library for s in docs.load(part)) for part in docs.PARTS}
    for library in docs.LIBRARIES:
        total = sum(shares[part][library] for part in docs.PARTS)
        assert 0.75 < shares["train"][library] / total < 0.85
        assert 0.07 < shares["validation"][library] / total < 0.13
        assert 0.07 < shares["test"][library] / total < 0.13


def test_no_part_shares_eight_words_with_another() -> None:
    runs = []
    for part in docs.PARTS:
        texts = [sentence.text for sentence in docs.load(part)]
        texts += [f"{pair.summary} {pair.description}" for pair in docs.pairs(part)]
        runs.append({run for text in texts for run in shingles(text)})
    assert not runs[0] & runs[1]
    assert not runs[0] & runs[2]
    assert not runs[1] & runs[2]


# --- whole docstrings, line by line


def test_labels_come_from_headings_that_are_taken_out() -> None:
    found = labeled(NUMPY_STYLE)
    assert [section for _, section in found] == sorted(
        (section for _, section in found), key=[*LINE_SECTIONS].index
    )
    assert {section for _, section in found} == set(LINE_SECTIONS)
    by_section = {name: [text for text, s in found if s == name] for name in LINE_SECTIONS}
    assert by_section["summary"] == ["Compute the sum of all elements."]
    assert by_section["description"][1] == "    total = 0  # Not a sentence of prose at all."
    assert by_section["returns"] == ["float", "    The sum of the values given."]
    assert by_section["raises"] == ["ValueError", "    If the values are not numbers at all."]
    assert by_section["see also"] == ["mean : The mean of all the elements."]
    assert by_section["examples"][:3] == [
        "Add the first three numbers.",
        ">>> total([1, 2, 3])",
        "6",
    ]


@pytest.mark.parametrize(
    ("docstring", "sections"),
    [
        ("Add.", ""),
        ("", ""),
        ("Add.\n\nArgs:\n    x: A number.", ""),  # Google's style
        ("Add.\n\nMethods\n-------\nf\n", ""),  # a section that is none of ours
        ("Add.\n\nReturns\n-------\nx\n\nThe idea\n--------\ny", ""),
        ("\n\nAdd\nup.\n\n\nNotes:\n======\n\nx\n\ny", "summary summary notes notes"),
        ("Add.\nNotes\n---\nx\n\n::\n", "summary notes notes"),  # no blank line above
        ("Add.\n\n  x\n\n    Returns\n    -------\n  z", "summary description returns"),
        ("Parameters\n----------\nx", "parameters"),
        ("A.\n\n===  ===\na    b\n\nNotes\n---\nx\n", "summary description description notes"),
    ],
)  # fmt: skip
def test_sections_of_lines(docstring: str, sections: str) -> None:
    assert " ".join(section for _, section in labeled(docstring)) == sections


@given(DOCSTRINGS)
def test_labeled_lines_are_lines_of_the_docstring(docstring: str) -> None:
    lines = iter(dedent(docstring))
    for text, section in labeled(docstring):
        assert section in LINE_SECTIONS
        assert text.strip(" ")
        assert text in lines  # in their order


def test_lines_drop_copies_and_keep_to_the_parts(tmp_path: Path) -> None:
    doc = '"""{}\n\nNotes\n-----\n{}\n"""\n'
    files = {
        "a/b.py": doc.format("Add numbers.", "This is the first long line here."),
        "a/c.py": doc.format("Add numbers.", "This is the first long line here."),
        "b/b.py": doc.format("Sum.", "This is the first long line here."),
        "b/c.py": doc.format("Sum of all the numbers here.", "This is the first long line here."),
        "c/b.py": doc.format("Not dealt to a part.", "Something else is said in here."),
    }
    part_of = {"numpy.a": "train", "numpy.b": "test"}
    found = extract_lines({"numpy": write(tmp_path, files)}, part_of)
    assert [line.split(", ")[:2] for line in found] == [
        ['["train"', '"numpy.a.b"'],
        ['["test"', '"numpy.b.c"'],
    ]


@pytest.mark.parity
def test_the_lines_are_the_book_s() -> None:
    assert docs.lines_hash() == docs.LINES_EXPECTED


def test_size_and_labels_of_lines() -> None:
    for part, least in (("train", 300_000), ("validation", 30_000), ("test", 30_000)):
        found = docs.lines(part)
        assert all(len(d.lines) == len(d.sections) > 0 for d in found)
        assert sum(len(d.lines) for d in found) >= least
        assert {section for d in found for section in d.sections} == set(docs.LINE_SECTIONS)
    assert sum(len(docs.lines(part)) for part in docs.PARTS) == len(docs.lines())
    share = Counter(section for d in docs.lines() for section in d.sections)  # what the card says
    assert 15_000 <= len(docs.lines()) < 15_500
    assert 390_000 < share.total() < 400_000
    assert all(0.3 < share[s] / share.total() < 0.36 for s in ("examples", "parameters"))
    assert {d.library for d in docs.lines()} == set(docs.LIBRARIES) - {"torch", "transformers"}


def test_no_heading_is_left_in_the_text() -> None:
    for docstring in docs.lines():
        texts = [line.strip(" ") for line in docstring.lines]
        for text, below in itertools.pairwise(texts):
            assert text.rstrip(":").lower() not in SECTION_OF or not RULE.match(below)


def test_lines_share_their_parts_with_the_sentences() -> None:
    part_of = {group_of(s.module): part for part in docs.PARTS for s in docs.load(part)}
    for part in docs.PARTS:
        assert {part_of[group_of(d.module)] for d in docs.lines(part)} == {part}


def test_no_held_out_docstring_is_a_copy() -> None:
    taken: set[str] = set()
    for part in docs.PARTS:
        for docstring in docs.lines(part):
            long = [text.strip() for text in docstring.lines if len(text.split()) >= 5]
            assert 2 * sum(text in taken for text in long) <= len(long)
        taken |= {text.strip() for d in docs.lines(part) for text in d.lines}
    whole = [d.lines for d in docs.lines()]
    assert len(set(whole)) == len(whole)


# --- what can go wrong


@pytest.mark.parametrize("part", ["Train", "dev", "", "all"])
def test_an_unknown_part(part: str) -> None:
    for function in (docs.load, docs.pairs, docs.text, docs.lines):
        with pytest.raises(ValueError, match="part must be one of train, validation, test"):
            function(part)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A small corpus in a cache of its own; gives the list of its extractions."""
    calls: list[str] = []

    def extract(roots: dict[str, Path]) -> list[str]:
        calls.append("extracted")
        return ["train\tnumpy.a\tsummary\tReturn the sum of all elements."]

    monkeypatch.setenv("NLPMETA_CACHE", str(tmp_path))
    monkeypatch.setattr(docs, "extract", extract)
    docs._records.cache_clear()
    yield calls
    docs._records.cache_clear()


def set_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "EXPECTED", _cache.sha256_of(docs.extract({})))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, toy: list[str]) -> None:
    version = importlib.metadata.version

    def without_networkx(name: str) -> str:
        if name == "networkx":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_networkx)
    with pytest.raises(ImportError, match=r"networkx; run `pip install -r requirements\.txt`"):
        docs.load()
    assert not toy


def test_a_library_without_its_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"numpy has no folder numpy; run `pip install"):
        docs._roots()


def test_another_version_costs_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, toy: list[str]
) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "2.3.0" if name == "numpy" else version(name)
    )
    with pytest.warns(_cache.CorpusWarning, match=r"numpy 2\.3\.0 .* 2\.4\.6") as warned:
        assert len(docs.load()) == 1
    assert len(warned) == 1


def test_the_build_of_a_version_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.13.0+cpu")
    assert set(docs._installed().values()) == {"2.13.0"}


def test_the_second_load_reads_the_cache(monkeypatch: pytest.MonkeyPatch, toy: list[str]) -> None:
    set_expected(monkeypatch)
    toy.clear()
    first = docs.load()
    docs._records.cache_clear()
    assert docs.load() == first
    assert toy == ["extracted"]


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw.replace(b"sum", b"pun")])
def test_a_damaged_cache_is_made_again(
    damage: object, monkeypatch: pytest.MonkeyPatch, toy: list[str], tmp_path: Path
) -> None:
    set_expected(monkeypatch)
    first = docs.load()
    path = tmp_path / "docs.txt"
    path.write_bytes(damage(path.read_bytes()))
    docs._records.cache_clear()
    toy.clear()
    with pytest.warns(_cache.CorpusWarning, match="damaged"):
        assert docs.load() == first
    assert toy == ["extracted"]
    docs._records.cache_clear()
    assert docs.load() == first
