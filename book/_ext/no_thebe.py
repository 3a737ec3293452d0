"""Sphinx extension: leave out Thebe, which Jupyter Book adds to every page.

Its settings are written twice on each page, which is an error in the browser's console, and they
name a script on the network.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def without_thebe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Drop the scripts that belong to Thebe from the page being written."""
    context["script_files"][:] = [
        script for script in context["script_files"] if "thebe" not in str(script).lower()
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook; it runs before the theme reads the list of scripts."""
    app.connect("html-page-context", without_thebe, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
