"""The order of the modules: text, task, model, score; a module imports only from before it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.book.sources import ROOT

PACKAGE = ROOT / "nlpmeta"
ORDER = (
    *("corpora", "bpe", "text", "labeled_text", "information", "overlap", "metrics", "trends"),
    "summarization",
    *("multigram", "lbfgs", "loglinear"),
    *("maxent_lm", "maxent", "ngram", "bayes_net", "lattice", "long_chain"),
    *("sequences", "baum_welch", "hmm", "hmm_lm", "segmentation", "tagging", "labelings", "crf"),
    *("speech", "acoustic", "word_models"),
    *("message_passing", "elimination", "factor_graph", "networks"),
    *("topic_bayes", "topic_gibbs", "topics", "scoreboard", "synthetic", "optim"),
    *("neural", "decoding", "generation", "training", "recurrent", "neural_lm", "windowed"),
    *("seq2seq", "transformer", "pretrained", "ctc"),
    *("masking", "word_vectors", "self_supervision"),
    *("freezing", "transfer", "text_classifier", "conflict", "multitask"),
    *("layers", "pruning", "structured_pruning", "head_pruning"),
    *("quantization", "quantized_layers", "compression", "deployment"),
    *(
        "tables",
        "task_sets",
        "streams",
        "episodes",
        "class_splits",
        "sinusoid",
        "in_context_regression",
        "adaptation",
        "meta",
        "heads",
        "learners",
    ),
    *("plotting", "fewshot", "fewshot_command", "coursework", "__main__"),
)
WITHOUT_TORCH = ORDER[: ORDER.index("synthetic")]


def modules() -> list[Path]:
    """The source files of the package, itself left out."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def place(module: str) -> int:
    """Where a module stands in the order."""
    if module not in ORDER:
        raise AssertionError(
            f"nlpmeta.{module} has no place in the order; add it to ORDER in test_imports.py, "
            "after everything that it imports"
        )
    return ORDER.index(module)


def top(path: Path) -> str:
    """The module or the folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str, package: tuple[str, ...]) -> set[str]:
    """The full names that a source imports, wherever in the file; ``package`` is its own."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def faults(path: Path, source: str) -> list[str]:
    """Imports of a module from what stands after it."""
    own = top(path)
    package = ("nlpmeta", *path.relative_to(PACKAGE).parts[:-1])
    result = []
    for full in imported(source, package):
        parts = full.split(".")
        if (
            parts[0] == "nlpmeta"
            and len(parts) > 1
            and (PACKAGE / parts[1]).with_suffix("") != path
        ):
            other = parts[1]
            is_module = (PACKAGE / other).is_dir() or (PACKAGE / f"{other}.py").is_file()
            if is_module and other != own and place(other) > place(own):
                result.append(f"{own} imports {other}, which stands after it")
        if parts[0] in {"torch", "transformers"} and own in WITHOUT_TORCH:
            result.append(f"{own} imports {parts[0]}")
    return sorted(set(result))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_before_it(path):
    place(top(path))
    assert faults(path, path.read_text(encoding="utf8")) == []


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that are loaded after ``statement`` in a fresh process."""
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


HEAVY = {"numpy", "scipy", "sklearn", "torch", "transformers", "matplotlib", "pandas", "babel"}


def test_the_package_itself_loads_nothing_heavy():
    assert loaded_by("import nlpmeta") & HEAVY == set()


def test_what_is_heavy_is_noticed():
    assert loaded_by("import numpy") & HEAVY == {"numpy"}


@pytest.mark.parametrize("module", [m for m in WITHOUT_TORCH if (PACKAGE / m).exists()
                                    or (PACKAGE / f"{m}.py").exists()])  # fmt: skip
def test_text_and_measures_never_load_torch(module):
    assert "torch" not in loaded_by(f"import nlpmeta.{module}")


@pytest.mark.parametrize(
    ("path", "source", "count"),
    [
        ("text.py", "from nlpmeta.corpora import names", 0),
        ("text.py", "from nlpmeta import training", 1),
        ("text.py", "from nlpmeta.training import fit", 1),
        ("text.py", "import nlpmeta.training as t", 1),
        ("text.py", "from . import training", 1),
        ("text.py", "def f():\n    from .training import fit", 1),
        ("text.py", "import torch", 1),
        ("corpora/names.py", "from torch.nn import Linear", 1),
        ("corpora/names.py", "from nlpmeta.corpora._cache import cache_dir", 0),
        ("corpora/names.py", "from .. import text", 1),
        ("corpora/names.py", "from ._cache import cache_dir", 0),
        ("training.py", "import torch", 0),
        ("plotting.py", "from nlpmeta import __version__", 0),
    ],
)
def test_a_wrong_import_is_found(path, source, count):
    assert len(faults(PACKAGE / path, source)) == count


def test_a_module_without_a_place_is_found():
    with pytest.raises(AssertionError, match="add it to ORDER"):
        place("surprise")
