"""Public data sets, fetched on request at fixed commits and checked by sha256.

CLINC150 and BANKING77 (intents of short queries), Tiny Shakespeare (one long text), the English
Web Treebank of Universal Dependencies (words with their parts of speech), and the class splits in
which few-shot results on the two sets of intents are published. ``load`` downloads what it needs
once into the cache folder; the environment variable ``NLPMETA_MIRROR`` names a local folder to
read instead, laid out as ``<mirror>/<data set>/<file>``. Exports ``load``, ``fetch``,
``is_present``, ``parse_conllu``, ``Labeled``, ``ClassSplit``, ``Source``, ``SOURCES`` and
``PARTS``.
"""

import csv
import hashlib
import importlib.util
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nlpmeta.corpora._cache import cache_dir

SPLIT = ("train", "test")  # of classes; the others are for validation
HOST = "https://raw.githubusercontent.com"


class Labeled(NamedTuple):
    """A query with its intent and the domain the intent belongs to."""

    text: str
    label: str
    domain: str


class ClassSplit(NamedTuple):
    """Intents to learn from and intents to be tested on; all others are for validation."""

    train: frozenset[str]
    test: frozenset[str]


class Source(NamedTuple):
    """Where a data set comes from: a repository at a commit, a folder, its files' sha256."""

    repository: str
    commit: str
    folder: str
    license: str
    files: dict[str, str]


SOURCES = {
    "clinc150": Source(
        repository="clinc/oos-eval",
        commit="828f8093932c8fe6ca7936c3d2e52903b1c523de",
        folder="data/",
        license="CC BY 3.0",
        files={
            "data_full.json": "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
            "domains.json": "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
        },
    ),
    "banking77": Source(
        repository="PolyAI-LDN/task-specific-datasets",
        commit="57ec275d8078af65b7731c2a98be812d844a6d6b",
        folder="banking_data/",
        license="CC BY 4.0",
        files={
            "train.csv": "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
            "test.csv": "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
        },
    ),
    "tinyshakespeare": Source(
        repository="karpathy/char-rnn",
        commit="6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e",
        folder="data/tinyshakespeare/",
        license="public domain",
        files={"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
    ),
    "ud_english_ewt": Source(
        repository="UniversalDependencies/UD_English-EWT",
        commit="15d613d8447b3478787d4c278730a1e48a945efb",
        folder="",
        license="CC BY-SA 4.0",
        files={
            "en_ewt-ud-train.conllu": (
                "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b"
            ),
            "en_ewt-ud-dev.conllu": (
                "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6"
            ),
            "en_ewt-ud-test.conllu": (
                "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd"
            ),
        },
    ),
    "intent_splits": Source(
        repository="tdopierre/ProtAugment",
        commit="6352ababa740133708daed815666b5bf39850d98",
        folder="data/",
        license="none stated",
        files=dict(
            zip(
                (
                    f"{folder}/few_shot/{number:02d}/labels.{part}.txt"
                    for folder in ("OOS", "BANKING77")
                    for number in range(1, 6)
                    for part in SPLIT
                ),
                (
                    "09d3937c82290d220fd8e7d7c869b67d925a8b553152a038d0bd5951433ddd61",
                    "2e15b8d0bcca648a3e548021397b5d8ae7a470d7d6547bb8f937d01e32359e7e",
                    "0fe33ab45d013ce1ecbc5acc812d87ec2418f64e02f0febd7bf6b3840491b5a7",
                    "0294cb823c614db59c17a1158d94cf219fc7f3ede7d198aef57e0f4287819ae1",
                    "4ac4510e248f0ddce70f0e0cdd7ad96bad4bd5298520ba8f239ebae0243795c6",
                    "60a0db222f9f874ba73b1ea738af7a8e33d208ec1ea6e1a5356f27f88e8286e4",
                    "fc0d816b030f1b164a5b3e551dc9aaeb9310b72245c7a4f0648e73497facf574",
                    "0bcfc4eea6844dcb0cb93065dff0555f34d99d33dea372a8c9bedd734ad41184",
                    "27e241d0bf313a6f891c1e2130aef7b70cee965151c9bca0a997c5fcef5589fc",
                    "5c51ecfb7cd468cbc68a788e58136c70f135681dab70c6c03f3288220dd3c77e",
                    "24c65da022d4b08284576a486b40184ee289ce743adf31cfcb4f455c57d4d2a6",
                    "49f28d5d8407026f65e8695f6ed4f5197f8bc01d472b409b13c05e001fa1cff3",
                    "9f46fe71d7458846d12332f6d5ca08ab90fea22ba265c0cd764979e20bcd8657",
                    "b4e88a349d35188ab969cb58d774528574403f8e8545761c366f9a17a934c644",
                    "e4c304f1e05b5c103d77e584501af0c89399bebc3488eca6e213c4c205113ee3",
                    "6e9a900c934ffbf099708fb02ccae92dce027c7ab6c4867668aee2b070307cf5",
                    "2babffff35ec25c9385b51122fcd90f39d86fbd457e43e0b4bdd275d2e2e0178",
                    "cc33a69762dcbb6b600843771a3c4167096cc9ae4bfdfa4a8827cc2e8e9cac79",
                    "21c00659254cd525e1f21ce775b17da1823471d4870cfdec5860e050bb3c696e",
                    "2a00100b5fa1131a1c573489be6bc268fe49c00d8e090d1dea450cf3d56f7ff3",
                ),
                strict=True,
            )
        ),
    ),
}

# The parts of each data set, and what its own files call them.
PARTS = {
    "clinc150": {
        "train": "train",
        "validation": "val",
        "test": "test",
        "oos_train": "oos_train",
        "oos_validation": "oos_val",
        "oos_test": "oos_test",
    },
    "banking77": {"train": "train.csv", "test": "test.csv"},
    "tinyshakespeare": {"train": (0, 90), "validation": (90, 95), "test": (95, 100)},
    "ud_english_ewt": {
        "train": "en_ewt-ud-train.conllu",
        "validation": "en_ewt-ud-dev.conllu",
        "test": "en_ewt-ud-test.conllu",
    },
    "intent_splits": {"clinc150": "OOS", "banking77": "BANKING77"},
}

Sentence = tuple[tuple[str, str], ...]
Loaded = tuple[Labeled, ...] | str | tuple[Sentence, ...] | tuple[ClassSplit, ...]


def load(name: str, part: str = "train") -> Loaded:
    """Return one part of a data set, downloading its files if they are not there yet.

    Parameters
    ----------
    name : str
        ``"clinc150"``, ``"banking77"``, ``"tinyshakespeare"``, ``"ud_english_ewt"`` or
        ``"intent_splits"``.
    part : str
        ``"train"``, ``"validation"`` or ``"test"`` (BANKING77 has no validation part). CLINC150
        keeps its queries that fit no intent apart, as ``"oos_train"``, ``"oos_validation"`` and
        ``"oos_test"``; their label and domain are ``"oos"``. The splits of intents have the parts
        ``"clinc150"`` and ``"banking77"``.

    Returns
    -------
    tuple of Labeled
        For CLINC150 and BANKING77, in the order of the files, the text untouched.
    str
        For Tiny Shakespeare: its first 90 percent of characters, the next 5 or the last 5.
    tuple of tuple of (str, str)
        For the treebank: sentences of words, each with its universal part of speech.
    tuple of ClassSplit
        For the splits of intents: the five of Dopierre et al. (2021).

    Raises
    ------
    ValueError
        If there is no such data set or part.
    RuntimeError
        If a file cannot be had, or is not the one that the book was computed with.
    """
    if name not in PARTS:
        raise ValueError(f"name is {name!r}; choose one of {_quoted(PARTS)}")
    if part not in PARTS[name]:
        raise ValueError(f"part is {part!r}; {name} has {_quoted(PARTS[name])}")
    own = PARTS[name][part]
    if name == "clinc150":
        domains = json.loads(fetch(name, "domains.json").read_bytes())
        domain_of = {label: domain for domain, labels in domains.items() for label in labels}
        queries = json.loads(fetch(name, "data_full.json").read_bytes())[own]
        return tuple(Labeled(text, label, domain_of.get(label, "oos")) for text, label in queries)
    if name == "banking77":
        rows = csv.DictReader(io.StringIO(fetch(name, own).read_bytes().decode(), newline=""))
        return tuple(Labeled(row["text"], row["category"], "banking") for row in rows)
    if name == "tinyshakespeare":
        text = fetch(name, "input.txt").read_bytes().decode()
        start, end = (len(text) * percent // 100 for percent in own)
        return text[start:end]
    if name == "intent_splits":
        folders = [f"{own}/few_shot/{number:02d}/labels" for number in range(1, 6)]
        read = [[fetch(name, f"{f}.{p}.txt").read_text("utf-8") for p in SPLIT] for f in folders]
        return tuple(ClassSplit(*(frozenset(text.split()) for text in texts)) for texts in read)
    return parse_conllu(fetch(name, own).read_bytes().decode().split("\n"))


def fetch(name: str, file: str) -> Path:
    """Give the path of a file of a data set whose sha256 is right, downloading it if needed.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``.
    file : str
        A file of that source.

    Returns
    -------
    pathlib.Path
        In the folder ``NLPMETA_MIRROR`` where that is set, otherwise in the cache folder.

    Raises
    ------
    RuntimeError
        If the file is neither there nor to be downloaded, or its sha256 is wrong. A download
        that fails or is interrupted leaves no file behind.
    """
    mirror = os.environ.get("NLPMETA_MIRROR")
    return _mirrored(Path(mirror), name, file) if mirror else _downloaded(name, file)


def is_present(name: str) -> bool:
    """Tell whether all files of a data set are in the mirror or the cache folder, and intact.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``.

    Returns
    -------
    bool

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, NLPMETA_MIRROR="no/such/folder"):
    ...     is_present("clinc150")
    False
    """
    folder = Path(os.environ.get("NLPMETA_MIRROR") or cache_dir()).expanduser() / name
    return all(
        (folder / file).is_file() and _sha256(folder / file) == expected
        for file, expected in SOURCES[name].files.items()
    )


def parse_conllu(lines: Iterable[str]) -> tuple[Sentence, ...]:
    """Read the words and universal parts of speech from text in the CoNLL-U format.

    Comments, multiword tokens (``3-4``, whose words follow on lines of their own) and empty nodes
    (``5.1``, words that are understood but not there) are left out.

    Parameters
    ----------
    lines : iterable of str
        A word a line in ten columns between tabs; an empty line ends a sentence.

    Returns
    -------
    tuple of tuple of (str, str)
        Sentences of (word, part of speech).

    Raises
    ------
    ValueError
        If a line has not ten columns.

    Examples
    --------
    >>> row = "{}\\t{}\\t_\\t{}\\t_\\t_\\t_\\t_\\t_\\t_".format
    >>> parse_conllu([row("1-2", "don't", "_"), row(1, "do", "AUX"), row(2, "n't", "PART"), ""])
    ((('do', 'AUX'), ("n't", 'PART')),)
    """
    sentences: list[Sentence] = []
    words: list[tuple[str, str]] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.startswith("#"):
            continue
        if line:
            columns = line.split("\t")
            if len(columns) != 10:
                raise ValueError(f"line {number} has {len(columns)} columns; CoNLL-U has 10")
            if columns[0].isdecimal():
                words.append((columns[1], columns[3]))
        elif words:
            sentences.append(tuple(words))
            words = []
    return tuple(sentences)


def _mirrored(mirror: Path, name: str, file: str) -> Path:
    path = mirror.expanduser() / name / file
    if not path.is_file():
        raise RuntimeError(
            f"{name}: {path} is missing. Copy the files of {name} there, or unset NLPMETA_MIRROR, "
            "with which nothing is downloaded, and get them with a network connection by "
            f"`python -m nlpmeta data --download {name}`"
        )
    if (found := _sha256(path)) != (expected := SOURCES[name].files[file]):
        raise RuntimeError(
            f"{name}: {path} has sha256 {found}, expected {expected}; "
            f"put the right file there ({_url(name, file)}) or unset NLPMETA_MIRROR"
        )
    return path


def _downloaded(name: str, file: str) -> Path:
    import pooch
    from requests import RequestException

    folder = cache_dir() / name
    bar = importlib.util.find_spec("tqdm") is not None
    try:
        return Path(
            pooch.retrieve(
                _url(name, file),
                known_hash=f"sha256:{SOURCES[name].files[file]}",
                fname=file,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=bar),
            )
        )
    except ValueError as error:  # pooch names the file, the sha256 expected and the one it got
        raise RuntimeError(f"{name}: {error} Try again. {_both_ways(name)}") from error
    except RequestException as error:
        raise RuntimeError(
            f"{name}: the download of {_url(name, file)} failed ({type(error).__name__}). "
            f"{_both_ways(name)}"
        ) from error
    except OSError as error:
        raise RuntimeError(
            f"{name}: {file} could not be kept in {folder} ({error.strerror or error}); "
            "set NLPMETA_CACHE to a folder with room that you can write to"
        ) from error


def _both_ways(name: str) -> str:
    files = ", ".join(f"{name}/{file}" for file in SOURCES[name].files)
    return (
        f"Get it with a network connection by `python -m nlpmeta data --download {name}`, "
        f"or set NLPMETA_MIRROR to a folder that has {files}"
    )


def _url(name: str, file: str) -> str:
    source = SOURCES[name]
    return f"{HOST}/{source.repository}/{source.commit}/{source.folder}{file}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _quoted(options: Iterable[str]) -> str:
    return ", ".join(repr(option) for option in options)
