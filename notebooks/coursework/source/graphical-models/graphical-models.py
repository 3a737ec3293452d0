# %% [markdown]
# # Problem set: graphical models, from HMM to CRF
#
# *An old library has docstrings without headings. A tool has to say for each line whether it is part of the summary, the parameters, the
# examples. A line alone does not say; its neighbors help. You will build the two models that know about neighbors.*
#
# **You will be able to** count a hidden Markov model from labeled sequences, compute probabilities, paths and posteriors of long sequences
# without underflow, write the likelihood of a conditional random field, and say what differs between the two.
#
# **You need** the chapter on sequence models, a pencil, and eight hours. The notebook runs in less than a minute.
# **Points:** 28 are given by checks, 30 by a person who reads what you wrote.
#
# Write where it says `YOUR CODE HERE` or `YOUR ANSWER HERE`. Leave the other cells as they are; you may add cells. Write the functions out:
# those of `nlpmeta` are for comparison. Below every task stand checks that you can run. More checks, with other numbers and odd cases, run when your
# work is graded, after all your cells; so every function has to work for arguments that you have not seen.
#
# Before you hand in: *Restart kernel and run all cells*, and see that no check fails.
#
# **Notation.** There are $K$ states and $V$ symbols. `start` has shape `(K,)`, `transition` `(K, K)` with rows that sum to one, `emission` `(K, V)` likewise;
# `x` is a list of symbols, `y` one of states, both whole numbers from 0.

# %%
import numpy as np
from scipy.special import logsumexp

from nlpmeta.corpora import docs

# %% [markdown] rubric="derive"
# ## Task 1. The forward recursion and a gradient (10 points, read by a person)
#
# (a) From $p(x, y) = \pi_{y_1} b_{y_1}(x_1)\prod_{t>1} a_{y_{t-1}y_t} b_{y_t}(x_t)$ derive a recursion for $\alpha_t(k) = p(x_1,\dots,x_t, y_t = k)$, and say which independence
# each step uses. (b) How many operations does it take, and how many does the sum over all paths? (c) In a linear-chain CRF with score $s(y) = \sum_t u_{t,y_t} + \sum_{t>1} w_{y_{t-1}y_t}$, show that
# $\partial\ln Z/\partial w_{ij}$ is the expected number of steps from $i$ to $j$.
#
# ### BEGIN MARK SCHEME
# (a) 4 points: splitting off the last step (1), summing over the state before (1), Markov property named (1), emission independence named (1).
# (b) 2 points: T K^2 (1) against K^T paths (1).
# (c) 4 points: derivative of ln Z as expectation of the derivative of s (2), which counts the steps (1), expectation under p(y|x) (1).
# ### END MARK SCHEME

# %% [markdown] answer="derive" points=10
# ### BEGIN SOLUTION
# (a) $\alpha_t(k) = \sum_j p(x_{1:t-1}, y_{t-1}=j)\,p(y_t=k\mid y_{t-1}=j)\,p(x_t\mid y_t=k)$: the state depends on the past through the state before only, the symbol on its own state only. So $\alpha_t(k) = b_k(x_t)\sum_j\alpha_{t-1}(j)a_{jk}$.
# (b) $TK^2$ against $K^T$ paths of $T$ factors each.
# (c) $\partial\ln Z/\partial w_{ij} = Z^{-1}\sum_y e^{s(y)}\,\partial s/\partial w_{ij} = E[\#\{t: y_{t-1}=i, y_t=j\}]$ under $p(y\mid x)$.
# ### END SOLUTION

# %% [markdown]
# ## Task 2. Count a model (6 points, checked)
#
# Write `estimate(xs, ys, n_states, n_symbols, add)`: `start`, `transition` and `emission` from several labeled sequences, as relative frequencies after adding `add`
# to every count. Sequences are separate: nothing leads from the end of one to the start of the next.

# %% solution="estimate"
def estimate(xs, ys, n_states, n_symbols, add):
    ### BEGIN SOLUTION
    start = np.full(n_states, float(add))
    transition = np.full((n_states, n_states), float(add))
    emission = np.full((n_states, n_symbols), float(add))
    for x, y in zip(xs, ys):
        start[y[0]] += 1
        for before, after in zip(y, y[1:]):
            transition[before, after] += 1
        for state, symbol in zip(y, x):
            emission[state, symbol] += 1
    return (
        start / start.sum(),
        transition / transition.sum(axis=1, keepdims=True),
        emission / emission.sum(axis=1, keepdims=True),
    )
    ### END SOLUTION

# %% check="estimate"
start, transition, emission = estimate([[0, 1, 1, 0]], [[0, 0, 1, 1]], 2, 2, 1.0)
assert np.allclose(start, [2 / 3, 1 / 3])
assert np.allclose(transition, [[1 / 2, 1 / 2], [1 / 3, 2 / 3]])
assert np.allclose(emission, [[1 / 2, 1 / 2], [1 / 2, 1 / 2]])
### BEGIN HIDDEN TESTS
emit("estimate-counts", lambda **case: list(estimate(**case)))
emit("estimate-smoothing", lambda **case: list(estimate(**case)))
emit("estimate-boundaries", lambda **case: list(estimate(**case)))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. The probability of a sequence (6 points, checked)
#
# Write `log_probability(start, transition, emission, x)`: $\ln p(x)$. It has to be right for thousands of symbols, and minus infinity for a
# sequence that the model cannot make; probabilities may be zero.

# %% solution="forward"
def log_probability(start, transition, emission, x):
    ### BEGIN SOLUTION
    with np.errstate(divide="ignore"):
        a, b = np.log(transition), np.log(emission)
        alpha = np.log(start) + b[:, x[0]]
    for symbol in x[1:]:
        alpha = logsumexp(alpha[:, None] + a, axis=0) + b[:, symbol]
    return logsumexp(alpha)
    ### END SOLUTION

# %% check="forward"
coin = np.array([0.5, 0.5]), np.eye(2), np.array([[0.5, 0.5], [1.0, 0.0]])
assert abs(log_probability(*coin, [0, 0]) - np.log(0.625)) < 1e-9
### BEGIN HIDDEN TESTS
def arrays(function):
    def call(start, transition, emission, x):
        return function(np.array(start), np.array(transition), np.array(emission), x)

    return call


emit("forward-value", arrays(log_probability))
emit("forward-long", arrays(log_probability))
emit("forward-zeros", arrays(log_probability))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. The best path, and the posteriors (10 points, checked)
#
# Write `viterbi(start, transition, emission, x)`: the list of states of the most probable path. And `posteriors(start, transition, emission, x)`: the
# array of $p(y_t = k\mid x)$, of shape `(T, K)`. Both for thousands of symbols, too.

# %% solution="paths"
def viterbi(start, transition, emission, x):
    ### BEGIN SOLUTION
    a, b = np.log(transition), np.log(emission)
    best = np.log(start) + b[:, x[0]]
    back = []
    for symbol in x[1:]:
        through = best[:, None] + a
        back.append(through.argmax(axis=0))
        best = through.max(axis=0) + b[:, symbol]
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]
    ### END SOLUTION


def posteriors(start, transition, emission, x):
    ### BEGIN SOLUTION
    a, b = np.log(transition), np.log(emission)
    alpha = [np.log(start) + b[:, x[0]]]
    for symbol in x[1:]:
        alpha.append(logsumexp(alpha[-1][:, None] + a, axis=0) + b[:, symbol])
    beta = [np.zeros(len(start))]
    for symbol in x[:0:-1]:
        beta.append(logsumexp(a + b[:, symbol] + beta[-1], axis=1))
    gamma = np.array(alpha) + np.array(beta[::-1])
    return np.exp(gamma - logsumexp(gamma, axis=1, keepdims=True))
    ### END SOLUTION

# %% check="paths"
weather = np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.8, 0.2], [0.2, 0.8]])
assert list(viterbi(*weather, [0, 0, 1, 0, 0])) == [0, 0, 0, 0, 0]
assert np.allclose(posteriors(*weather, [0]), [[0.8, 0.2]])
assert np.allclose(posteriors(*weather, [0, 1]).sum(axis=1), 1)
### BEGIN HIDDEN TESTS
emit("viterbi-path", arrays(viterbi))
emit("viterbi-long", arrays(viterbi))
emit("viterbi-one", arrays(viterbi))
emit("posteriors-value", arrays(posteriors))
emit("posteriors-long", arrays(posteriors))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5. A conditional random field (6 points, checked)
#
# Write `crf_log_likelihood(unary, pairwise, y)`: $\ln p(y\mid x) = s(y) - \ln Z$ for scores `unary` of shape `(T, K)` and `pairwise` of shape `(K, K)`, from
# row to column. Scores are any numbers, in the thousands, too.

# %% solution="crf"
def crf_log_likelihood(unary, pairwise, y):
    ### BEGIN SOLUTION
    score = sum(unary[t, k] for t, k in enumerate(y))
    score += sum(pairwise[i, j] for i, j in zip(y, y[1:]))
    alpha = unary[0]
    for row in unary[1:]:
        alpha = logsumexp(alpha[:, None] + pairwise, axis=0) + row
    return score - logsumexp(alpha)
    ### END SOLUTION

# %% check="crf"
assert abs(crf_log_likelihood(np.zeros((3, 2)), np.zeros((2, 2)), [0, 1, 0]) + 3 * np.log(2)) < 1e-9
### BEGIN HIDDEN TESTS
emit("crf-value", lambda unary, pairwise, y: crf_log_likelihood(np.array(unary), np.array(pairwise), y))
emit("crf-large", lambda unary, pairwise, y: crf_log_likelihood(np.array(unary), np.array(pairwise), y))
emit("crf-one", lambda unary, pairwise, y: crf_log_likelihood(np.array(unary), np.array(pairwise), y))
### END HIDDEN TESTS

# %% [markdown]
# ## Put together
#
# Each line of a docstring becomes one of seven symbols, by how it looks; its state is the section. The path of the model should be right for
# more lines than the best state of each line by itself.

# %%
SECTIONS = ("summary", "description", "parameters", "returns", "see also", "notes", "examples")


def symbol(line):
    """How a line looks, as a number from 0 to 6."""
    text = line.strip()
    if text.startswith((">>>", "...")):
        return 0
    if " : " in text:
        return 1 if text.split(" : ")[0].isidentifier() else 2
    if line.startswith("    "):
        return 3
    if not text[:1].isalpha():
        return 4
    return 5 + text.endswith(".") + (text[:1].islower() and not text.endswith("."))


def sequences(part, most):
    """Symbols and states of docstrings whose sections are all in the list."""
    chosen = [d for d in docs.lines(part) if set(d.sections) <= set(SECTIONS)][:most]
    xs = [[symbol(line) for line in d.lines] for d in chosen]
    return xs, [[SECTIONS.index(s) for s in d.sections] for d in chosen]


xs, ys = sequences("train", 1500)
model = estimate(xs, ys, len(SECTIONS), 7, 0.1)
alone = (model[2] * np.bincount(np.concatenate(ys), minlength=7)[:, None]).argmax(axis=0)
held_x, held_y = sequences("validation", 200)
path_right = np.concatenate([np.array(viterbi(*model, x)) == y for x, y in zip(held_x, held_y)])
line_right = np.concatenate([alone[x] == y for x, y in zip(held_x, held_y)])
print(f"right: {path_right.mean():.2f} of the lines by path, {line_right.mean():.2f} one by one")

# %% [markdown] rubric="decode"
# ## Task 6. Two ways to decide (8 points, read by a person)
#
# The best path and the best state at each position need not agree. (a) Give a model of two or three states and a sequence of length two or three where they differ, with all numbers. (b) Which number of mistakes does
# each make as small as can be expected? (c) When would you want which, for sections of docstrings?
#
# ### BEGIN MARK SCHEME
# (a) 4 points: a right example (2) worked out with its probabilities (2).
# (b) 2 points: path: probability that the whole is right; position by position: expected number of wrong positions.
# (c) 2 points: a reasoned choice, for example that the posterior's sequence may use a forbidden step.
# ### END MARK SCHEME

# %% [markdown] answer="decode" points=8
# ### BEGIN SOLUTION
# (a) Paths AA with probability 0.4, BA 0.3, BB 0.3: the best path starts with A, but the first state is B with probability 0.6. (b) The path maximizes the chance that all is right, the posterior minimizes the expected number of wrong positions.
# (c) A path for a consistent document, posteriors to show a person the doubtful lines.
# ### END SOLUTION

# %% [markdown] rubric="experiment"
# ## Task 7. What is a better symbol worth? (12 points, read by a person)
#
# Change what the model sees: other symbols, more of them, or none but one. Measure the share of lines that are right on validation docstrings for at least four choices, by path and one by one, with an interval
# over docstrings, not lines. Choose one, and report it once on `"test"`. Explain in five sentences where the gain of the path comes from.
#
# ### BEGIN MARK SCHEME
# 4 points: four choices, all by path and alone (2), choice on validation and one use of test (2).
# 3 points: an interval that resamples docstrings, because lines of one are not independent.
# 3 points: a figure or table that can be read.
# 2 points: the explanation is borne out by a number, such as the gain by section.
# ### END MARK SCHEME

# %% solution="experiment"
### BEGIN SOLUTION
few = estimate(xs[:50], ys[:50], len(SECTIONS), 7, 0.1)
right = np.concatenate([np.array(viterbi(*few, x)) == y for x, y in zip(held_x, held_y)])
print(f"with fifty docstrings: {right.mean():.2f}")
### END SOLUTION

# %% [markdown] answer="experiment" points=12
# ### BEGIN SOLUTION
# The path gains where a line's look is ambiguous and its neighbors are not.
# ### END SOLUTION
