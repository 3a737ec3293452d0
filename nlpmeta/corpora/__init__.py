"""Where the book's text comes from, one module per corpus, each with ``load``.

``names`` (Unicode CLDR, carried by Babel), ``docs`` (docstrings of the installed libraries) and
``reviews`` (written for this book) need no download; ``benchmarks`` fetches public data sets
at pinned commits. Import the module you need: ``from nlpmeta.corpora import names``.
"""
