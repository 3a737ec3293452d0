"""nbgrader's settings for this folder; `nbgrader formgrader` and our own command share them."""

from pathlib import Path

from nlpmeta.coursework.gradebook import configure

configure(get_config(), Path(__file__).resolve().parent)  # noqa: F821
