"""The public data sets: parsing, sha256, mirror and download, each whole, wrong and broken off."""

import errno
import hashlib
import json
import os
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.corpora import benchmarks
from nlpmeta.corpora.benchmarks import Labeled, fetch, is_present, load, parse_conllu

SETS = list(benchmarks.SOURCES)


def row(number, word, tag):
    return "\t".join([str(number), word, "_", tag, *"______"])


NEXT_LINE = "No\x85"  # a character at which str.splitlines would break

SMALL = {
    "clinc150": {
        "data_full.json": json.dumps(
            {
                "train": [["what is my balance", "balance"], ["play a song", "play_music"]],
                "val": [["show my balance", "balance"]],
                "test": [],
                "oos_train": [["who won", "oos"]],
                "oos_val": [],
                "oos_test": [["is it art", "oos"]],
            }
        ),
        "domains.json": json.dumps({"banking": ["balance"], "home": ["play_music"]}),
    },
    "banking77": {
        "train.csv": (
            'text,category\nWhere is my card?,card_arrival\n"\nTwo, lines\n",pin_blocked\n'
        ),
        "test.csv": "text,category\r\nAny fee?,fees\r\n",
    },
    "tinyshakespeare": {"input.txt": "".join(chr(ord("A") + i % 26) for i in range(200))},
    "ud_english_ewt": {
        f"en_ewt-ud-{part}.conllu": f"# text = Go {part}\n{row(1, 'Go', 'VERB')}\n"
        f"{row(2, part, 'NOUN')}\n\n{row(1, NEXT_LINE, 'INTJ')}\n\n"
        for part in ("train", "dev", "test")
    },
    "intent_splits": {
        f"{folder}/few_shot/{number:02d}/labels.{part}.txt": f"{part}_{number}\n{folder}_{part}\n"
        for folder in ("OOS", "BANKING77")
        for number in range(1, 6)
        for part in ("train", "test")
    },
}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The data sets in small, in a folder laid out as a mirror; the cache is empty."""
    for name, files in SMALL.items():
        for file, content in files.items():
            path = tmp_path / "mirror" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        hashes = {f: hashlib.sha256(text.encode()).hexdigest() for f, text in files.items()}
        source = benchmarks.SOURCES[name]._replace(files=hashes)
        monkeypatch.setitem(benchmarks.SOURCES, name, source)
    monkeypatch.setenv("NLPMETA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NLPMETA_MIRROR", raising=False)
    return tmp_path / "mirror"


@pytest.fixture
def mirrored(small, monkeypatch):
    monkeypatch.setenv("NLPMETA_MIRROR", str(small))
    return small


# Reading


def test_clinc150(mirrored):
    assert load("clinc150", "train") == (
        Labeled("what is my balance", "balance", "banking"),
        Labeled("play a song", "play_music", "home"),
    )
    assert load("clinc150", "validation") == (Labeled("show my balance", "balance", "banking"),)
    assert load("clinc150", "oos_test") == (Labeled("is it art", "oos", "oos"),)
    assert load("clinc150", "test") == load("clinc150", "oos_validation") == ()


def test_banking77_keeps_the_text_as_it_is(mirrored):
    assert load("banking77", "train") == (
        Labeled("Where is my card?", "card_arrival", "banking"),
        Labeled("\nTwo, lines\n", "pin_blocked", "banking"),
    )
    assert load("banking77", "test") == (Labeled("Any fee?", "fees", "banking"),)


def test_tinyshakespeare_parts_join_to_the_whole(mirrored):
    parts = [load("tinyshakespeare", part) for part in ("train", "validation", "test")]
    assert "".join(parts) == SMALL["tinyshakespeare"]["input.txt"]
    assert [len(part) for part in parts] == [180, 10, 10]


def test_ud_english_ewt(mirrored):
    assert load("ud_english_ewt", "validation") == (
        (("Go", "VERB"), ("dev", "NOUN")),
        ((NEXT_LINE, "INTJ"),),
    )


def test_conllu_leaves_out_what_is_no_word():
    lines = [
        "# a comment",
        row("1-2", "don't", "_"),
        row(1, "do", "AUX"),
        row(2, "n't", "PART"),
        row("2.1", "go", "VERB"),
        "",
        "",
        row(1, "#", "SYM"),
    ]
    assert parse_conllu(lines) == ((("do", "AUX"), ("n't", "PART")), (("#", "SYM"),))
    assert parse_conllu([]) == parse_conllu(["", "# only a comment", ""]) == ()


words = st.tuples(st.text("abc#é", min_size=1), st.sampled_from(["NOUN", "VERB"]))


@given(st.lists(st.lists(words, min_size=1)))
def test_conllu_gives_back_what_was_written(sentences):
    lines = [
        line
        for sentence in sentences
        for line in [*(row(i, *word) for i, word in enumerate(sentence, start=1)), ""]
    ]
    assert parse_conllu(lines) == tuple(map(tuple, sentences))


@pytest.mark.parametrize("line", ["1\tword", "no tabs", row(1, "a", "X") + "\textra"])
def test_conllu_with_wrong_columns(line):
    with pytest.raises(ValueError, match=r"line 2 has \d+ columns"):
        parse_conllu(["# first", line])


@pytest.mark.parametrize("name", ["clinc", "", None, "CLINC150"])
def test_unknown_name(name):
    with pytest.raises(ValueError, match="'clinc150', 'banking77', 'tinyshakespeare', 'ud_eng"):
        load(name, "train")


def test_unknown_part():
    with pytest.raises(ValueError, match="banking77 has 'train', 'test'"):
        load("banking77", "validation")
    with pytest.raises(ValueError, match="'oos_test'"):
        load("clinc150", "val")


def test_intent_splits(mirrored):
    found = load("intent_splits", "banking77")
    assert len(found) == 5
    assert found[1].train == {"train_2", "BANKING77_train"}
    assert found[4].test == {"test_5", "BANKING77_test"}
    with pytest.raises(ValueError, match="'clinc150', 'banking77'"):
        load("intent_splits", "train")


# Mirror


def test_mirror_is_present(mirrored):
    assert all(map(is_present, SETS))
    (mirrored / "clinc150" / "domains.json").unlink()
    assert not is_present("clinc150")


def test_mirror_without_the_file_names_both_ways(mirrored):
    (mirrored / "banking77" / "test.csv").unlink()
    with pytest.raises(RuntimeError, match="missing") as raised:
        load("banking77", "test")
    assert "--download banking77" in str(raised.value)
    assert "NLPMETA_MIRROR" in str(raised.value)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw + b" "])
def test_mirror_with_a_wrong_file(mirrored, damage):
    path = mirrored / "tinyshakespeare" / "input.txt"
    path.write_bytes(damage(path.read_bytes()))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = benchmarks.SOURCES["tinyshakespeare"].files["input.txt"]
    with pytest.raises(RuntimeError, match="put the right file there") as raised:
        load("tinyshakespeare", "train")
    assert all(text in str(raised.value) for text in (str(path), found, expected))
    assert not is_present("tinyshakespeare")


# Download, from a server on this machine


@pytest.fixture
def server(small, monkeypatch):
    """Serve the small data sets under the paths of the public host; ``fault`` spoils them."""
    files = {}
    for name, source in benchmarks.SOURCES.items():
        for file in source.files:
            path = f"/{source.repository}/{source.commit}/{source.folder}{file}"
            files[path] = (small / name / file).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            http.requests += 1  # before the answer: once that is read, the test counts
            content = files.get(self.path)
            if content is None or http.fault == "missing":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            sent = {"truncated": content[:-5], "wrong": content[::-1]}.get(http.fault, content)
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.fault, http.requests = None, 0
    threading.Thread(target=http.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(benchmarks, "HOST", f"http://127.0.0.1:{http.server_port}")
    yield http
    http.shutdown()
    http.server_close()


def cached():
    """The files under the cache folder."""
    folder = Path(os.environ["NLPMETA_CACHE"])
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.enable_socket
@pytest.mark.parametrize("name", SETS)
def test_download_once(server, name):
    assert not is_present(name)
    for file in benchmarks.SOURCES[name].files:
        assert fetch(name, file).read_bytes() == SMALL[name][file].encode()
        assert fetch(name, file).is_file()
    assert server.requests == len(SMALL[name])
    assert is_present(name)
    assert cached() == sorted(f"{name}/{file}" for file in SMALL[name])
    assert load(name, next(iter(benchmarks.PARTS[name])))


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("truncated", "failed|does not match"),
        ("wrong", "input.txt.*does not match the known hash: expected .* but got"),
        ("missing", r"failed \(HTTPError\)"),
    ],
)
def test_a_bad_download_leaves_no_file(server, fault, message):
    server.fault = fault
    with pytest.raises(RuntimeError, match=message) as raised:
        load("tinyshakespeare", "train")
    assert "tinyshakespeare" in str(raised.value)
    assert "--download tinyshakespeare" in str(raised.value)
    assert "NLPMETA_MIRROR" in str(raised.value)
    assert cached() == []
    server.fault = None
    assert len(load("tinyshakespeare", "train")) == 180


@pytest.mark.enable_socket
def test_a_damaged_file_is_fetched_again(server):
    path = fetch("tinyshakespeare", "input.txt")
    path.write_bytes(b"damaged")
    assert not is_present("tinyshakespeare")
    assert len(load("tinyshakespeare", "train")) == 180


@pytest.mark.enable_socket
def test_no_network(small, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(benchmarks, "HOST", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(RuntimeError, match=r"failed \(ConnectionError\)") as raised:
        load("clinc150", "train")
    assert "--download clinc150" in str(raised.value)
    assert "NLPMETA_MIRROR to a folder that has clinc150/data_full.json" in str(raised.value)
    assert cached() == []


def broken_downloader(error):
    class Downloader:
        def __init__(self, progressbar):
            pass

        def __call__(self, url, output, _):
            Path(output).write_bytes(b"half of it")
            raise error

    return Downloader


def test_an_interrupted_download_leaves_no_file(small, monkeypatch):
    monkeypatch.setattr(pooch, "HTTPDownloader", broken_downloader(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        load("tinyshakespeare", "train")
    assert cached() == []


def test_a_full_disk_is_told(small, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(pooch, "HTTPDownloader", broken_downloader(full))
    with pytest.raises(RuntimeError, match=r"No space left.*set NLPMETA_CACHE"):
        load("tinyshakespeare", "train")
    assert cached() == []


def test_a_folder_that_cannot_be_made_is_told(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NLPMETA_CACHE", str(tmp_path / "file"))
    with pytest.raises(RuntimeError, match="set NLPMETA_CACHE"):
        load("tinyshakespeare", "train")


# The real files, where there is a copy


@pytest.fixture(scope="module")
def real():
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    mirror = Path(os.environ.get("NLPMETA_MIRROR") or beside)
    if not mirror.is_dir():
        pytest.skip("no local copy of the benchmarks; NLPMETA_MIRROR can name one")
    return mirror


@pytest.mark.parity(
    "corpora.benchmarks",
    "the files, their sizes and labels",
    "sha256 at the pinned commits, published sizes; where there is a copy",
    "exact",
)
@pytest.mark.parametrize("name", SETS)
def test_real_files_are_the_book_s(real, name, monkeypatch):
    monkeypatch.setenv("NLPMETA_MIRROR", str(real))
    if not (real / name).is_dir():
        pytest.skip(f"{real} has no {name}")
    assert is_present(name)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "sizes"),
    [  # as their publications give them
        ("clinc150", {"train": 15000, "validation": 3000, "test": 4500, "oos_test": 1000}),
        ("banking77", {"train": 10003, "test": 3080}),
        ("tinyshakespeare", {"train": 1003854, "validation": 55770, "test": 55770}),
        ("ud_english_ewt", {"train": 12544, "validation": 2001, "test": 2077}),
    ],
)
def test_real_sizes(real, name, sizes, monkeypatch):
    monkeypatch.setenv("NLPMETA_MIRROR", str(real))
    assert {part: len(load(name, part)) for part in sizes} == sizes


@pytest.mark.parity
def test_real_labels(real, monkeypatch):
    monkeypatch.setenv("NLPMETA_MIRROR", str(real))
    queries = load("clinc150", "train")
    assert set(Counter(query.label for query in queries).values()) == {100}
    assert len({query.label for query in queries}) == 150
    assert len({query.domain for query in queries}) == 10
    assert len({query.label for query in load("banking77", "test")}) == 77
    tags = {tag for sentence in load("ud_english_ewt", "test") for _, tag in sentence}
    assert len(tags) == 17
    assert "_" not in tags
