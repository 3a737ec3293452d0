"""Coursework: problem sets that are released, collected and graded by one command.

A thin layer over nbgrader (Jupyter et al. 2019), through its configuration and its preprocessors.
What a student hands in runs in a sandbox, which holds no solution and no right answer: hidden
cells there only send out what the student's functions return, and this side, which never runs a
line of theirs, computes the right answers from a secret seed and compares.

``course`` and ``checks`` say what a problem set is, ``repair`` makes a submission gradable,
``inside`` is the program in the sandbox and ``sandbox`` its walls, ``running`` leads one
submission through it, ``gradebook`` is nbgrader's part, ``collecting``, ``exporting`` and
``reporting`` are what comes before and after, ``command`` the command line. nbgrader and
jupytext, which only the lecturer needs, are in ``requirements-test.txt``.
"""
