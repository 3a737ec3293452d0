"""The companion package of the book: every algorithm the chapters teach, one module per idea.

Importing the package loads nothing else; import the module you need, for example
``from nlpmeta import metrics`` or ``from nlpmeta.corpora import names``.
"""

__version__ = "0.1.0"
