# %% [markdown]
# # Problem set: maximum entropy
#
# *A crash has mixed up the documentation of eight Python libraries: sentences without a heading, and nobody knows any more which library they
# describe. You are to file them. You will build the file clerk from one principle: of all models that agree with what was counted, take the one that
# commits itself least.*
#
# **You will be able to** derive the exponential form from its constraints, compute it without overflow, write
# the gradient as expected minus observed, fit the model, and say what a penalty does to the constraints.
#
# **You need** the chapter on maximum entropy, a pencil, and six hours. The notebook runs in less than a minute.
# **Points:** 30 are given by checks, 30 by a person who reads what you wrote.
#
# Write where it says `YOUR CODE HERE` or `YOUR ANSWER HERE`. Leave the other cells as they are; you may add cells.
# Below every task stand checks that you can run. More checks, with other numbers and odd cases, run when your
# work is graded, after all your cells; so every function has to work for arguments that you have not seen.
#
# Before you hand in: *Restart kernel and run all cells*, and see that no check fails.

# %%
from collections import Counter

import numpy as np

from nlpmeta.corpora import docs

# %% [markdown] rubric="derive"
# ## Task 1. From constraints to an exponential (10 points, read by a person)
#
# A random variable takes the values $1, \dots, m$. Of all distributions $p$ with mean $\sum_i i\,p_i = \mu$, where
# $1 < \mu < m$, find the one of greatest entropy. Show (a) that it has the form $p_i = e^{\theta i}/Z(\theta)$; (b) that
# $\frac{d}{d\theta}\ln Z$ is its mean and $\frac{d^2}{d\theta^2}\ln Z$ its variance; (c) that therefore exactly one
# $\theta$ fits. Say in one sentence what $\theta$ is when $\mu = (m+1)/2$.
#
# ### BEGIN MARK SCHEME
# (a) 4 points: Lagrangian with both constraints (2), stationarity solved for $p_i$ and normalized (1), a reason why the
# stationary point is the maximum, such as concavity of entropy or a relative-entropy argument (1).
# (b) 3 points: first derivative (1), second derivative recognized as variance (2).
# (c) 2 points: variance is positive, so the mean rises strictly (1), and runs from 1 to m (1).
# Last sentence, 1 point: zero, the uniform distribution.
# ### END MARK SCHEME

# %% [markdown] answer="derive" points=10
# ### BEGIN SOLUTION
# (a) With multipliers $\alpha$ and $\theta$, the derivative of $-\sum p_i\ln p_i + \alpha(\sum p_i - 1) + \theta(\sum i p_i - \mu)$ by
# $p_i$ is $-\ln p_i - 1 + \alpha + \theta i$, zero exactly for $p_i \propto e^{\theta i}$. Entropy is strictly concave and the constraints are linear, so the stationary point is the one maximum.
# (b) $(\ln Z)' = \sum i e^{\theta i}/Z = E[i]$ and $(\ln Z)'' = E[i^2] - E[i]^2$.
# (c) The variance is positive, so the mean is strictly increasing in $\theta$; it tends to 1 and to $m$ at the ends, and by continuity takes every value between once. For $\mu = (m+1)/2$, $\theta = 0$.
# ### END SOLUTION

# %% [markdown]
# ## Task 2. The loaded die (6 points, checked)
#
# Write `die(sides, mean)`: the distribution of greatest entropy over $1, \dots,$ `sides` with that mean, as an array. Find $\theta$ by any
# method that is exact to $10^{-8}$ in the mean. For a die of six sides with mean 4.5, the six gets a probability of about 0.347.

# %% solution="die"
def die(sides, mean):
    ### BEGIN SOLUTION
    values = np.arange(1, sides + 1)

    def at(theta):
        weights = np.exp(theta * (values - (sides if theta > 0 else 1)))
        return weights / weights.sum()

    low, high = -60.0, 60.0
    for _ in range(200):
        middle = (low + high) / 2
        if at(middle) @ values < mean:
            low = middle
        else:
            high = middle
    return at((low + high) / 2)
    ### END SOLUTION

# %% check="die"
p = die(6, 4.5)
assert abs(p.sum() - 1) < 1e-9, "probabilities sum to one"
assert abs(p @ np.arange(1, 7) - 4.5) < 1e-7, "the mean is the one that was asked for"
assert abs(p[5] - 0.347) < 0.001, "see the task"
### BEGIN HIDDEN TESTS
emit("die-loaded", lambda sides, mean: die(sides, mean))
emit("die-below", lambda sides, mean: die(sides, mean))
emit("die-sides", lambda sides, mean: die(sides, mean))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. Probabilities without overflow (6 points, checked)
#
# Write `log_softmax(scores)`: for an array of shape `(n, k)` the logarithms of the softmax of every row. It has to be right for scores
# such as 1000 and -1000 too.

# %% solution="softmax"
def log_softmax(scores):
    ### BEGIN SOLUTION
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    ### END SOLUTION

# %% check="softmax"
q = log_softmax(np.array([[0.0, np.log(3)], [5.0, 5.0]]))
assert q.shape == (2, 2)
assert np.allclose(np.exp(q), [[0.25, 0.75], [0.5, 0.5]])
### BEGIN HIDDEN TESTS
emit("softmax-rows", lambda scores: log_softmax(np.array(scores)))
emit("softmax-large", lambda scores: log_softmax(np.array(scores)))
emit("softmax-tiny", lambda scores: log_softmax(np.array(scores)))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. Features of a text (6 points, checked)
#
# Write `features(texts, vocabulary)`: an array of shape `(n, v + 1)` that has 1 where the word stands in the text, however often, and else 0;
# the last column is 1 for every text, for the bias. Words are what is left between spaces after making the text lowercase and dropping
# the signs `.,!?;:"()`. Words that are not in the vocabulary are passed over.

# %% solution="features"
def features(texts, vocabulary):
    ### BEGIN SOLUTION
    place = {word: j for j, word in enumerate(vocabulary)}
    x = np.zeros((len(texts), len(vocabulary) + 1))
    x[:, -1] = 1
    table = str.maketrans("", "", '.,!?;:"()')
    for i, text in enumerate(texts):
        for word in text.lower().translate(table).split():
            if word in place:
                x[i, place[word]] = 1
    return x
    ### END SOLUTION

# %% check="features"
x = features(["Good room, good bed.", "A train"], ["good", "train"])
assert x.tolist() == [[1, 0, 1], [0, 1, 1]]
### BEGIN HIDDEN TESTS
emit("features-binary", lambda texts, vocabulary: features(texts, vocabulary))
emit("features-signs", lambda texts, vocabulary: features(texts, vocabulary))
emit("features-empty", lambda texts, vocabulary: features(texts, vocabulary))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5. Expected minus observed (6 points, checked)
#
# Write `gradient(theta, x, y, l2)`, the gradient of $-\sum_i \ln p(y_i\mid x_i) + \frac{l_2}{2}\sum_{jk}\theta_{jk}^2$, with `theta` of
# shape `(d, k)`, `x` of shape `(n, d)` and `y` a list of classes from 0 to `k - 1`. The sum is over examples, it is no mean, and the last row of
# `theta`, the bias, bears no penalty.

# %% solution="gradient"
def gradient(theta, x, y, l2):
    ### BEGIN SOLUTION
    p = np.exp(log_softmax(x @ theta))
    p[np.arange(len(y)), y] -= 1
    pull = l2 * theta
    pull[-1] = 0
    return x.T @ p + pull
    ### END SOLUTION

# %% check="gradient"
g = gradient(np.zeros((2, 2)), np.array([[1.0, 1.0], [0.0, 1.0]]), [0, 1], 0.0)
assert np.allclose(g, [[-0.5, 0.5], [0.0, 0.0]])
### BEGIN HIDDEN TESTS
emit("gradient-gap", lambda theta, x, y, l2: gradient(np.array(theta), np.array(x), y, l2))
emit("gradient-sum", lambda theta, x, y, l2: gradient(np.array(theta), np.array(x), y, l2))
emit("gradient-bias", lambda theta, x, y, l2: gradient(np.array(theta), np.array(x), y, l2))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 6. Fit it (6 points, checked)
#
# Write `fit(x, y, classes, l2)`: the weights, of shape `(d, classes)`, at which no entry of the gradient is larger than $10^{-4}$. Any method will
# do; `scipy.optimize` is allowed, and so is gradient descent with a step that cannot be too long.
#
# The check below files sentences of eight libraries after forty of each, from other modules than those it is tested on. With so few, expect about one in three
# to be right, where chance is one in eight.

# %% solution="fit"
def fit(x, y, classes, l2):
    ### BEGIN SOLUTION
    from scipy.optimize import minimize

    def function(flat):
        theta = flat.reshape(x.shape[1], classes)
        value = -log_softmax(x @ theta)[np.arange(len(y)), y].sum()
        value += l2 / 2 * (theta[:-1] ** 2).sum()
        return value, gradient(theta, x, y, l2).ravel()

    start = np.zeros(x.shape[1] * classes)
    options = {"maxiter": 2000, "gtol": 1e-6, "ftol": 1e-15}
    found = minimize(function, start, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(x.shape[1], classes)
    ### END SOLUTION

# %% check="fit"
names = ["matplotlib", "networkx", "numpy", "pandas", "scikit-learn", "scipy", "sympy", "torch"]


def some(part, most=40):
    """Sentences of at least eight words, as many of each library."""
    rng, chosen = np.random.default_rng(0), []
    for name in names:
        here = [s for s in docs.load(part) if s.library == name and len(s.text.split()) >= 8]
        chosen += [here[i] for i in rng.choice(len(here), most, replace=False)]
    return chosen


train, held_out = some("train"), some("test")
count = Counter(w for s in train for w in set(s.text.lower().split()) if w.isalpha())
vocabulary = sorted(word for word in count if count[word] > 1)
x_train = features([sentence.text for sentence in train], vocabulary)
y_train = [names.index(sentence.library) for sentence in train]
theta = fit(x_train, y_train, len(names), 1.0)
assert np.abs(gradient(theta, x_train, y_train, 1.0)).max() < 1e-3
x_test = features([sentence.text for sentence in held_out], vocabulary)
right = (x_test @ theta).argmax(axis=1) == [names.index(s.library) for s in held_out]
print(f"{right.mean():.2f} of the held-out sentences are filed rightly")
### BEGIN HIDDEN TESTS
emit("fit-optimum", lambda x, y, classes, l2: np.exp(log_softmax(
    np.array(x) @ fit(np.array(x), y, classes, l2))))
emit("fit-penalty", lambda x, y, classes, l2: np.exp(log_softmax(
    np.array(x) @ fit(np.array(x), y, classes, l2))))
### END HIDDEN TESTS

# %% [markdown] rubric="relax"
# ## Task 7. What the penalty relaxes (8 points, read by a person)
#
# Without a penalty, the fitted model expects of every feature exactly what was counted. Write down what it expects with the penalty,
# and explain from it why weights stay finite for a word that occurs in one class only.
#
# ### BEGIN MARK SCHEME
# 4 points: at the optimum expected minus observed equals $-l_2\theta_{jk}$, derived from the gradient.
# 4 points: without penalty the model would have to give that class probability one wherever the word stands, so the
# weight grows without end (2); with it, the gap is at most the count, so $|\theta_{jk}|\le$ count$/l_2$ (2).
# ### END MARK SCHEME

# %% [markdown] answer="relax" points=8
# ### BEGIN SOLUTION
# The gradient is zero, so expected $-$ observed $= -l_2\theta_{jk}$. If word $j$ stands only in class $k$, equality without penalty needs probability one in each of its
# texts, which no finite weight gives. With penalty, $\theta_{jk} = (\text{observed} - \text{expected})/l_2 \le \text{observed}/l_2$.
# ### END SOLUTION

# %% [markdown] rubric="experiment"
# ## Task 8. How strong should the penalty be? (12 points, read by a person)
#
# Choose the penalty for filing sentences. Draw accuracy on held-out sentences against `l2` over at least five values, with an interval that says how
# far a curve would move with other sentences. Describe what you did in five sentences: what was divided how, what was chosen on what, what came out, what could make it wrong.
# Then find the five words of highest weight for two libraries and say whether they are what you would have guessed.
#
# ### BEGIN MARK SCHEME
# 4 points: a division that keeps test sentences out of every choice (2), a sensible range of at least five values (1), axes named (1).
# 3 points: an interval, by bootstrap or repeated division, and what it covers said rightly.
# 3 points: the conclusion follows from the figure and does not claim more than the interval allows.
# 2 points: words shown and commented.
# ### END MARK SCHEME

# %% solution="experiment"
### BEGIN SOLUTION
accuracy = {}
for l2 in (0.1, 0.3, 1.0, 3.0, 10.0):
    weights = fit(x_train[::2], y_train[::2], len(names), l2)
    accuracy[l2] = np.mean((x_train[1::2] @ weights).argmax(axis=1) == y_train[1::2])
print({l2: round(float(value), 2) for l2, value in accuracy.items()})
### END SOLUTION

# %% [markdown] answer="experiment" points=12
# ### BEGIN SOLUTION
# Half of the training sentences fitted each model and the other half chose the penalty; the held-out sentences were touched once, at the end.
# ### END SOLUTION
