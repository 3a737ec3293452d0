# %% [markdown]
# # Problem set: metric learning
#
# *A publisher of atlases gets lists of names in languages that nobody in the house reads. Is this one a city, a currency, a
# language? For each kind there are a few examples, and never for the same kinds twice. You will build the classifier
# that needs no more than those, and you will measure it as honestly as you can.*
#
# **You will be able to** draw episodes that do not leak, derive and write out the prototype classifier, compute its loss without
# overflow, put an interval beside an accuracy, and say what that interval does not cover.
#
# **You need** the chapters on episodes and on metric learning, and seven hours. The notebook runs in less than a minute.
# **Points:** 28 are given by checks, 30 by a person who reads what you wrote.
#
# Write where it says `YOUR CODE HERE` or `YOUR ANSWER HERE`. Leave the other cells as they are; you may add cells. Write the functions out:
# those of `nlpmeta` are for comparison. Below every task stand checks that you can run. More checks, with other numbers and odd cases, run when your
# work is graded, after all your cells; so every function has to work for arguments that you have not seen.
#
# Before you hand in: *Restart kernel and run all cells*, and see that no check fails.

# %%
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from nlpmeta.task_sets import families

# %% [markdown] rubric="derive"
# ## Task 1. Where the prototype comes from (10 points, read by a person)
#
# Let every class $k$ of an episode be equally probable and its embeddings $z$ normal with mean $\mu_k$ and covariance $\sigma^2 I$. (a) Derive
# $p(k\mid z)$, and show that it is the softmax of negative squared distances over $2\sigma^2$. (b) Show that it is linear in $z$: give weights and bias
# of class $k$. (c) The mean is not known. Show that the class mean of the support embeddings maximizes their likelihood. (d) What does $\sigma$ do to the predictions, and
# what to the probabilities?
#
# ### BEGIN MARK SCHEME
# (a) 3 points: Bayes' rule (1), the normal density put in (1), common factors canceled (1).
# (b) 3 points: the square of z is the same for all classes and cancels (1), weights mu/sigma^2 (1), bias -|mu|^2/(2 sigma^2) (1).
# (c) 2 points: the likelihood is maximized where the sum of squared distances is least (1), whose gradient is zero at the mean (1).
# (d) 2 points: the class predicted stays (1), small sigma makes probabilities extreme (1).
# ### END MARK SCHEME

# %% [markdown] answer="derive" points=10
# ### BEGIN SOLUTION
# (a) $p(k\mid z) \propto p(z\mid k)$ because classes are equally probable, and $p(z\mid k) \propto \exp(-\|z-\mu_k\|^2/2\sigma^2)$ with a factor that is the same for all.
# (b) $-\|z-\mu_k\|^2 = -\|z\|^2 + 2\mu_k^\top z - \|\mu_k\|^2$ and the first term cancels: weights $\mu_k/\sigma^2$, bias $-\|\mu_k\|^2/2\sigma^2$.
# (c) The log-likelihood is $-\sum_i\|z_i-\mu\|^2/2\sigma^2$ up to a constant, with gradient $\sum_i(z_i-\mu)/\sigma^2$, zero at the mean, and concave.
# (d) Dividing by a positive number keeps the order; as $\sigma\to0$ the largest probability tends to one.
# ### END SOLUTION

# %% [markdown]
# ## Task 2. Draw an episode (8 points, checked)
#
# Write `episode(labels, n_way, k_shot, n_query, rng)`. It chooses `n_way` different classes, and of each `k_shot` examples to learn from and `n_query`
# others to be tested on; it returns two integer arrays of positions in `labels`, of shapes `(n_way, k_shot)` and `(n_way, n_query)`, row $i$ of both
# from the same class. `rng` is a `numpy.random.Generator`, and all that is random comes from it. A class that has too few examples is never chosen.

# %% solution="episode"
def episode(labels, n_way, k_shot, n_query, rng):
    ### BEGIN SOLUTION
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    large = classes[counts >= k_shot + n_query]
    chosen = rng.choice(large, n_way, replace=False)
    rows = [
        rng.choice(np.flatnonzero(labels == c), k_shot + n_query, replace=False) for c in chosen
    ]
    return np.array(rows)[:, :k_shot], np.array(rows)[:, k_shot:]
    ### END SOLUTION

# %% check="episode"
support, query = episode(["a", "b", "c"] * 5, 2, 1, 3, np.random.default_rng(0))
assert support.shape == (2, 1)
assert query.shape == (2, 3)
### BEGIN HIDDEN TESTS
def drawn(labels, n_way, k_shot, n_query, seeds):
    found = [episode(labels, n_way, k_shot, n_query, np.random.default_rng(s)) for s in seeds]
    return [[support, query] for support, query in found]


emit("episode-classes", drawn)
emit("episode-disjoint", drawn)
emit("episode-small", drawn)
emit("episode-varied", drawn)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. Prototypes (6 points, checked)
#
# Write `prototypes(z, y, n_way)`: the mean embedding of every class, of shape `(n_way, d)`, from embeddings `(n, d)` and their classes, whole numbers below `n_way`, in any
# order and any number of each.

# %% solution="prototypes"
def prototypes(z, y, n_way):
    ### BEGIN SOLUTION
    return np.stack([z[np.asarray(y) == k].mean(axis=0) for k in range(n_way)])
    ### END SOLUTION

# %% check="prototypes"
c = prototypes(np.array([[0.0, 2.0], [2.0, 4.0], [1.0, 1.0]]), [0, 0, 1], 2)
assert c.tolist() == [[1, 3], [1, 1]]
### BEGIN HIDDEN TESTS
emit("prototypes-order", lambda z, y, n_way: prototypes(np.array(z), y, n_way))
emit("prototypes-unequal", lambda z, y, n_way: prototypes(np.array(z), y, n_way))
emit("prototypes-one", lambda z, y, n_way: prototypes(np.array(z), y, n_way))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. Scores and their loss (10 points, checked)
#
# Write `scores(z, c)`: minus the squared Euclidean distance of every query to every prototype, `(q, n_way)`. And `loss(scores, y)`: the mean over the queries of
# $-\ln p(y\mid z)$, where the probabilities are the softmax of the scores. It has to be right where a query is far from all prototypes.

# %% solution="scores"
def scores(z, c):
    ### BEGIN SOLUTION
    return -((z[:, None, :] - c[None, :, :]) ** 2).sum(axis=2)
    ### END SOLUTION


def loss(scores, y):
    ### BEGIN SOLUTION
    scores = scores - scores.max(axis=1, keepdims=True)
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(y)), y].mean()
    ### END SOLUTION

# %% check="scores"
s = scores(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
assert s.tolist() == [[-25, -1]]
assert abs(loss(np.array([[0.0, 0.0]]), [1]) - np.log(2)) < 1e-9
### BEGIN HIDDEN TESTS
emit("scores-distance", lambda z, c: scores(np.array(z), np.array(c)))
emit("scores-shape", lambda z, c: scores(np.array(z), np.array(c)))
emit("loss-mean", lambda scores, y: loss(np.array(scores), y))
emit("loss-far", lambda scores, y: loss(np.array(scores), y))
emit("loss-wrong", lambda scores, y: loss(np.array(scores), y))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5. How sure? (4 points, checked)
#
# Write `interval(values)`: the mean of the accuracies of many episodes, and half the width of its 95 % interval, as two floats: 1.96 standard errors, where the
# standard deviation is estimated with $n - 1$.

# %% solution="interval"
def interval(values):
    ### BEGIN SOLUTION
    values = np.asarray(values)
    return float(values.mean()), float(1.96 * values.std(ddof=1) / np.sqrt(len(values)))
    ### END SOLUTION

# %% check="interval"
mean, half = interval([0.4, 0.6])
assert abs(mean - 0.5) < 1e-9
assert abs(half - 0.196) < 1e-3
### BEGIN HIDDEN TESTS
emit("interval-mean", lambda values: interval(values)[0])
emit("interval-width", lambda values: interval(values)[1])
### END HIDDEN TESTS

# %% [markdown]
# ## Put together
#
# Names of unseen languages as vectors of character n-grams, 5 ways, 5 shots. You should see an accuracy of about one half, where chance is 0.2. In each episode the examples
# are of one language.

# %%
names = families("test", most=15)
domain = np.array(names.domains)
labels_all = np.array(names.labels)


def many(language):
    """Whether five kinds of thing have ten names each in a language."""
    return (np.unique(labels_all[domain == language], return_counts=True)[1] >= 10).sum() >= 5


languages = [language for language in np.unique(domain) if many(language)]
vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), max_features=2000)
z_all = vectors.fit_transform(names.texts)


def accuracies(episodes, k_shot, rng):
    found = []
    for _ in range(episodes):
        here = np.flatnonzero(domain == rng.choice(languages))
        labels = labels_all[here]
        support, query = episode(labels, 5, k_shot, 5, rng)
        c = prototypes(z_all[here[support.ravel()]].toarray(), np.repeat(range(5), k_shot), 5)
        s = scores(z_all[here[query.ravel()]].toarray(), c)
        found.append((s.argmax(axis=1) == np.repeat(range(5), 5)).mean())
    return found


mean, half = interval(accuracies(200, 5, np.random.default_rng(0)))
print(f"{mean:.2f} ± {half:.2f}")

# %% [markdown] rubric="interval"
# ## Task 6. What the interval does not cover (8 points, read by a person)
#
# A paper reports an accuracy of 0.70 ± 0.01 over 600 episodes for its method and 0.68 ± 0.01 for the one before, each trained once, on one division of the classes. Name three things that could turn
# the order around and that the intervals do not cover, and say for each how you would measure it. Why is a comparison on the same episodes sharper than two intervals?
#
# ### BEGIN MARK SCHEME
# 2 points each for three of: the division into training and test classes, the seed of training, the choice of settings, the choice of corpus;
# 1 for naming, 1 for a way to measure it (repeat over divisions or seeds, equal tuning, other corpora).
# 2 points: episodes differ in difficulty, and the difference on the same episode removes what they share.
# ### END MARK SCHEME

# %% [markdown] answer="interval" points=8
# ### BEGIN SOLUTION
# The division of classes (repeat over several), the seed of training (train several times), the effort of tuning (the same budget for both). Episodes differ in difficulty, and a paired difference
# removes that common part of the variance.
# ### END SOLUTION

# %% [markdown] rubric="experiment"
# ## Task 7. Which distance? (12 points, read by a person)
#
# Compare three ways to score a query against a prototype, of your choice: squared Euclidean, cosine, and one more. Use at least 600 episodes, the same for all three, for 1, 3 and 5 shots. Draw the curves
# with intervals. Say what wins, by how much on the same episodes, and what you cannot conclude.
#
# ### BEGIN MARK SCHEME
# 4 points: the same episodes for all (2), three numbers of shots and three ways (2).
# 3 points: a figure with intervals and named axes.
# 3 points: paired differences with their intervals, rightly read.
# 2 points: limits named: one corpus, one set of features, one division.
# ### END MARK SCHEME

# %% solution="experiment"
### BEGIN SOLUTION
for shots in (1, 5):
    print(shots, [round(v, 2) for v in interval(accuracies(100, shots, np.random.default_rng(1)))])
### END SOLUTION

# %% [markdown] answer="experiment" points=12
# ### BEGIN SOLUTION
# More shots help; with vectors of length one, cosine and Euclidean distance differ through the length of the prototype only.
# ### END SOLUTION
