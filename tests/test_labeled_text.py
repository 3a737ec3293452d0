"""Tables and folders as people have them are read; what is wrong is counted or refused."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.labeled_text import LeftOut, clean, read


@pytest.fixture
def written(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
        return path

    return write


def pairs(rows):
    return list(zip(rows.texts, rows.labels))


AB = [("one, two", "a"), ("three", "b")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("commas.csv", 'id,t,l\n1,"one, two",a\n2,three,b\n'),
        ("semicolons.csv", "id;t;l\r\n1;one, two;a\r\n2;three;b\r\n"),
        ("tabs.csv", "id\tt\tl\n1\tone, two\ta\n2\tthree\tb"),
        ("tabs.tsv", "t\tl,l2,l3,l\tl\none, two\t\ta\nthree\t\tb\n"),
        ("UPPER.CSV", 't,l\n"one, two",a\nthree,b\n'),
        ("spaces.csv", '\n t , l \n"one, two",a\nthree,b\n'),
        ("bom.csv", b"\xef\xbb\xbf" + b't,l\n"one, two",a\nthree,b\n'),
        ("utf16.csv", 't,l\n"one, two",a\nthree,b\n'.encode("utf-16")),
        ("old-mac.csv", 't,l\r"one, two",a\rthree,b\r'),
        ("lines.jsonl", '{"t": "one, two", "l": "a"}\n{"l": "b", "x": 1, "t": "three"}\n'),
        ("windows.ndjson", '{"t": "one, two", "l": "a"}\r\n{"t": "three", "l": "b"}\r\n'),
    ],
)
def test_tables_of_every_kind(written, name, content):
    rows = read(written(name, content), "t", "l")
    assert pairs(rows) == AB
    assert rows.left_out == LeftOut()


def test_line_breaks_and_quotes_inside_a_field(written):
    rows = read(written("x.csv", 't,l\n"one\ntwo ""three""",a\n'), "t", "l")
    assert pairs(rows) == [('one\ntwo "three"', "a")]


def test_a_separator_of_lines_that_only_unicode_knows_stays_in_the_text(written):
    rows = read(written("x.jsonl", '{"t": "one\u2028two", "l": "a"}\n'), "t", "l")
    assert rows.texts == ("one\u2028two",)


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=6))
def test_what_pandas_writes_is_read_back(tmp_path_factory, table):
    table = [
        tuple(s.replace("\x00", "").encode("utf8", "ignore").decode() for s in r) for r in table
    ]
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    pd.DataFrame(table, columns=["t", "l"]).to_csv(path, index=False, lineterminator="\n")
    if "\r" not in path.read_bytes().decode():  # pandas leaves a bare carriage return unquoted
        assert pairs(read(path, "t", "l")) == table
    path = path.with_suffix(".jsonl")
    path.write_text("\n".join(json.dumps({"t": t, "l": l}) for t, l in table), encoding="utf8")
    assert pairs(read(path, "t", "l")) == table


def test_a_folder_with_a_folder_for_each_class(written, tmp_path):
    for name, content in {
        "ham/1.txt": "hello",
        "ham/2.TXT": b"\xef\xbb\xbfhello again",
        "spam/1.txt": "win",
        "spam/0.txt": b"w\xff\xffn",
        "spam/photo.jpg": b"\x00\xff",
        "spam/binary.txt": b"\x00\x01",
        "spam/.hidden.txt": "x",
        ".git/config.txt": "x",
        "README.txt": "of no class",
    }.items():
        written(f"mail/{name}", content)
    (tmp_path / "mail" / "empty").mkdir()
    rows = read(tmp_path / "mail")
    assert pairs(rows) == [
        ("hello", "ham"),
        ("hello again", "ham"),
        ("w\udcff\udcffn", "spam"),
        ("win", "spam"),
    ]
    assert rows.left_out == LeftOut(malformed=1, undecodable=1)
    assert clean(*rows[:2], at_least=1).left_out == LeftOut(undecodable=1)


def test_rows_of_a_wrong_shape_are_counted(written):
    content = "t,l\none,a\ntoo,many,fields\n\ntoo few\nhello, world,b\nthree,b\n"
    rows = read(written("x.csv", content), "t", "l")
    assert pairs(rows) == [("one", "a"), (None, None), ("three", "b")]
    assert rows.left_out == LeftOut(malformed=3)
    content = (
        '{"t": "one", "l": 1}\n[1]\nnot json\n\n{"t": ["x"], "l": 2}\n{"l": true}\n' + "[" * 9999
    )
    rows = read(written("x.jsonl", content), "t", "l")
    assert pairs(rows) == [("one", "1"), (None, None), (None, "true")]
    assert rows.left_out == LeftOut(malformed=4)


def test_bytes_in_another_encoding_cost_their_rows_only(written):
    content = "t,l\ncafé,a\nplain,a\nthé,b\nbier,b\n".encode("cp1252")
    rows = read(written("x.csv", content), "t", "l")
    cleaned = clean(*rows[:2], at_least=1)
    assert pairs(cleaned) == [("plain", "a"), ("bier", "b")]
    assert cleaned.left_out == LeftOut(undecodable=2)
    rows = read(written("x.csv", content), "t", "l", encoding="cp1252")
    assert rows.texts == ("café", "plain", "thé", "bier")


@pytest.mark.parametrize(
    ("name", "content", "arguments", "named"),
    [
        ("x.csv", "", ("t", "l"), r"x\.csv is empty"),
        ("x.csv", " \n\n", ("t", "l"), r"x\.csv is empty"),
        (
            "x.csv",
            "a,b\n1,2\n",
            ("t", "b"),
            r"text is 't', which is not a column; there are 'a', 'b'",
        ),
        ("x.csv", "a,b\n1,2\n", ("a", "l"), "label is 'l', which is not a column"),
        ("x.csv", "a,b\n1,2\n", (None, None), "text is None, which is not a column"),
        ("x.csv", "a,b\n1,2\n", ("a", "a"), "both 'a'; name two"),
        ("x.csv", "a,a,b\n1,2,3\n", ("a", "b"), "names several columns"),
        ("x.csv", 'a,b\n1,2\n"3,4\n5,6\n', ("a", "b"), "begins at line 3 never closes"),
        ("x.csv", f"a,b\n1,{'x' * 200_000}\n", ("a", "b"), "field larger than.*begins at line 2"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16-le"), ("a", "b"), "zero bytes.*utf-16"),
        ("x.csv", b"PK\x03\x04\x00\x00", ("a", "b"), "zero bytes"),
        ("x.csv", b"\xff\xfea", ("a", "b"), "not text in utf-16"),
        ("x.xlsx", b"PK\x03\x04", ("a", "b"), r"ends in '\.xlsx'.*saved as CSV"),
        ("x", "a,b\n", ("a", "b"), r"ends in ''; give \.csv"),
        ("x.jsonl", "[1, 2]\n3\n", ("a", "b"), "no line is a JSON object"),
        ("x.jsonl", '[\n{"a": 1,\n"b": 2}]', ("a", "b"), "no line is a JSON object"),
        ("x.jsonl", '{"a": 1, "c": 2}', ("a", "b"), "label is 'b', which is not a column"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(written, name, content, arguments, named):
    with pytest.raises(ValueError, match=named):
        read(written(name, content), *arguments)


def test_what_is_not_there_and_what_is_unknown(written, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*nothing\.csv"):
        read(tmp_path / "nothing.csv", "t", "l")
    path = written("x.csv", "t,l\na,b\n")
    for encoding in ("klingon", "base64"):
        with pytest.raises(ValueError, match=f"encoding is '{encoding}', which is unknown"):
            read(path, "t", "l", encoding=encoding)
    with pytest.raises(ValueError, match="is a folder and has no columns"):
        read(tmp_path, "t", "l")
    with pytest.raises(ValueError, match="has no folders"):
        read(tmp_path)
    (tmp_path / "class").mkdir()
    with pytest.raises(ValueError, match=r"no folder in it has a \.txt"):
        read(tmp_path)


def test_every_reason_is_counted_once():
    rows = clean(
        [
            "Good",
            "good",
            " good\n",
            "bad",
            "BAD",
            "",
            None,
            float("nan"),
            "x",
            "caf\udce9",
            "y",
            "z",
        ],
        ["+", "+", "+", "-", "+", "+", "+", "+", None, "-", " ", "-"],
        at_least=1,
    )
    assert pairs(rows) == [("Good", "+"), ("z", "-")]
    assert rows.left_out == LeftOut(undecodable=1, empty=5, ambiguous=2, repeated=2)


def test_composition_and_white_space_do_not_make_two_texts():
    rows = clean(["caf\u00e9  noir", "cafe\u0301\u00a0NOIR"], [1, 1], at_least=1)
    assert rows.texts == ("caf\u00e9 noir",)
    assert rows.labels == ("1",)


def test_pandas_columns_with_missing_values():
    frame = pd.DataFrame({"t": ["a", None, "b"], "l": pd.array([1, 2, pd.NA], dtype="Int64")})
    rows = clean(frame["t"], frame["l"], at_least=1)
    assert pairs(rows) == [("a", "1")]
    assert rows.left_out.empty == 2


words = st.lists(
    st.tuples(st.sampled_from(["a", "A", "b", "c", "d", "", " ", None]), st.sampled_from("xyz")),
    max_size=30,
)


@given(words, st.integers(1, 3))
def test_nothing_is_lost_nothing_is_double_and_cleaning_again_changes_nothing(table, at_least):
    texts, labels = [t for t, _ in table], [l for _, l in table]
    rows = clean(texts, labels, at_least)
    assert len(rows.texts) + sum(rows.left_out) == len(table)
    keys = [text.casefold() for text in rows.texts]
    assert len(set(keys)) == len(keys)
    assert all(rows.labels.count(label) >= at_least for label in rows.labels)
    again = clean(*rows[:2], at_least)
    assert again == (*rows[:2], LeftOut())


def test_wrong_types_and_lengths_are_refused():
    with pytest.raises(TypeError, match="texts is the string 'hello'"):
        clean("hello", ["a"] * 5)
    with pytest.raises(TypeError, match="labels is the string 'aab'"):
        clean(["x", "y", "z"], "aab")
    with pytest.raises(TypeError, match="texts has 3 of type int at 1"):
        clean(["x", 3], ["a", "b"])
    with pytest.raises(TypeError, match="of type bytes"):
        clean([b"x"], ["a"])
    with pytest.raises(ValueError, match="2 entries and labels 1"):
        clean(["x", "y"], ["a"])
    assert clean([], []) == ((), (), LeftOut())
    assert clean(np.array(["x", "y"]), np.array([0, 0])).labels == ("0", "0")
