# %% [markdown]
# # A tiny set
#
# It exists to be attacked by the tests.

# %%
import math


# %% solution="double"
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% check="double"
assert double(2) == 4
### BEGIN HIDDEN TESTS
emit("double-number", lambda x: double(x))
emit("double-text", lambda x: double(x))
### END HIDDEN TESTS


# %% solution="root"
def root(x):
    ### BEGIN SOLUTION
    return math.sqrt(x)
    ### END SOLUTION


# %% check="root"
assert root(4) == 2
### BEGIN HIDDEN TESTS
emit("root", lambda x: root(x))
### END HIDDEN TESTS

# %% [markdown] rubric="why"
# Why?
# ### BEGIN MARK SCHEME
# Secret rubric.
# ### END MARK SCHEME

# %% [markdown] answer="why" points=4
# ### BEGIN SOLUTION
# Because.
# ### END SOLUTION
