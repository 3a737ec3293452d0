"""Sphinx extension: a field of a NamedTuple is shown in the signature of its class, and only there.

Autodoc would list each once more with the words "Alias for field number 0". A field that has a
docstring of its own stays.
"""

from __future__ import annotations

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


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
