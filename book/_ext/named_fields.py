"""Sphinx extension: signatures that can be read.

A field of a NamedTuple is shown in the signature of its class, and only there. Autodoc would list
each once more with the words "Alias for field number 0". A field that has a docstring of its own
stays. A default that is a class or a function is shown by its name, not as ``<class 'list'>``, and
one with many decimals is rounded.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx


def is_plain_field(obj: object) -> bool:
    """Whether an object is a field of a NamedTuple without a docstring of its own."""
    text = getattr(obj, "__doc__", None) or ""
    return type(obj).__name__ == "_tuplegetter" and text.startswith("Alias for field number")


def skip(
    app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: Any
) -> bool | None:
    """Leave plain fields out; Sphinx decides about everything else."""
    return True if is_plain_field(obj) else None


def readable(signature: str) -> str:
    """A signature with names of classes and functions, and at most four digits a number."""
    named = re.sub(
        r"<(?:class '|function )(?:\w+\.)*(\w+)'?(?: at 0x[0-9a-f]+)?>", r"\1", signature
    )
    return re.sub(r"\d+\.\d{9,}", lambda number: f"{float(number[0]):.4g}", named)


def tidy(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: Any,
    signature: str | None,
    returns: Any,
) -> tuple[str, Any] | None:
    """Make a signature readable; there is none for a module or an attribute."""
    return (readable(signature), returns) if signature else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", tidy)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
