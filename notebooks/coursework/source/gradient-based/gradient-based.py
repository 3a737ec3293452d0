# %% [markdown]
# # Problem set: gradient-based meta-learning
#
# *A harbor office registers what ships from everywhere bring: names of cities, of currencies, of days, in one more language every year. For each new language a clerk
# sorts twenty-five names by hand, five of each of five kinds, and a network has to learn the rest from those by a few steps of descent. You will find out
# where it should start, and what part of it the steps really move.*
#
# **You will be able to** derive the gradient of a descent and compute it, say what its first-order form leaves out, write a step of Reptile, keep a network from ignoring
# its support set, and take a trained start apart.
#
# **You need** the chapter on gradient-based meta-learning, a little of PyTorch (`torch.autograd.grad` and no more), and eight hours. The notebook runs in less than a minute.
# **Points:** 28 are given by checks, 30 by a person who reads what you wrote.
#
# Write where it says `YOUR CODE HERE` or `YOUR ANSWER HERE`. Leave the other cells as they are; you may add cells. Write the functions out:
# those of `nlpmeta` are for comparison. Below every task stand checks that you can run. More checks, with other numbers and odd cases, run when your
# work is graded, after all your cells; so every function has to work for arguments that you have not seen.
#
# Before you hand in: *Restart kernel and run all cells*, and see that no check fails.

# %%
import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from nlpmeta.task_sets import families

# %% [markdown] rubric="derive"
# ## Task 1. The gradient of a descent (10 points, read by a person)
#
# A task is learned by $k$ steps $\phi_{j+1} = \phi_j-\alpha\nabla L_S(\phi_j)$ from $\phi_0 = \theta$ and judged by $L_Q(\phi_k)$. (a) Derive the gradient of $L_Q(\phi_k)$ with respect to
# $\theta$ for $k = 1$, then for any $k$; name what has to be differentiable how often. (b) What is its cost in first order, where Hessians are left out? Give a case where leaving them out changes
# nothing. (c) For one parameter and $L_S = L_Q = \frac h2(\phi-c)^2$, write the query loss after $k$ steps as a function of $\theta$.
# (d) Many such tasks with their own $h$ and $c$: which $\theta$ minimizes the mean of (c), and why do tasks with $h$ near $1/\alpha$ hardly matter?
#
# ### BEGIN MARK SCHEME
# (a) 4 points: Jacobian of one step is $I-\alpha H$ (1), chain rule and symmetry for one step (1), the product for any number of steps in the right order (1), support loss twice and query loss once differentiable (1).
# (b) 2 points: gradients only, no Hessian-vector products, memory does not grow with the steps (1); losses linear in the parameters, or zero steps (1).
# (c) 2 points: the distance to $c$ shrinks by $(1-\alpha h)^k$ (1), so $\frac h2(1-\alpha h)^{2k}(\theta-c)^2$ (1).
# (d) 2 points: the mean of the $c$ weighted by $h(1-\alpha h)^{2k}$ (1); with $h = 1/\alpha$ one step ends in the optimum from anywhere (1).
# ### END MARK SCHEME

# %% [markdown] answer="derive" points=10
# ### BEGIN SOLUTION
# (a) $\nabla_\theta L_Q(\theta-\alpha\nabla L_S(\theta)) = (I-\alpha H_0)\nabla L_Q(\phi_1)$ by the chain rule, since the Jacobian $I-\alpha H_0$ is symmetric; in general $(I-\alpha H_0)\cdots(I-\alpha H_{k-1})\nabla L_Q(\phi_k)$.
# $L_S$ twice, $L_Q$ once. (b) One gradient a step, of which nothing has to be kept; if the losses are linear, every $H_j$ is zero. (c) $\phi_k-c = (1-\alpha h)^k(\theta-c)$, so the loss is $\frac h2(1-\alpha h)^{2k}(\theta-c)^2$.
# (d) $\theta = \sum_iw_ic_i/\sum_iw_i$ with $w_i = h_i(1-\alpha h_i)^{2k}$, which is zero for $h_i = 1/\alpha$: descent solves such a task from everywhere.
# ### END SOLUTION

# %% [markdown]
# ## Task 2. Descend (6 points, checked)
#
# Write `descend(gradient, theta, lr, steps)`: the parameters, an array, after so many steps against `gradient(theta)`, which gives an array of the same shape. No steps give back the start. The array
# that was handed in is not changed.

# %% solution="descend"
def descend(gradient, theta, lr, steps):
    ### BEGIN SOLUTION
    for _ in range(steps):
        theta = theta - lr * gradient(theta)
    return theta
    ### END SOLUTION

# %% check="descend"
assert np.allclose(descend(lambda t: 2 * t, np.array([1.0, -3.0]), 0.25, 1), [0.5, -1.5])
### BEGIN HIDDEN TESTS
def descended(h, c, theta, lr, steps):
    return descend(lambda t: np.array(h) * (t - np.array(c)), np.array(theta), lr, steps)


def unchanged(h, c, theta, lr, steps):
    start = np.array(theta)
    descend(lambda t: np.array(h) * (t - np.array(c)), start, lr, steps)
    return start


emit("descend-steps", descended)
emit("descend-none", descended)
emit("descend-kept", unchanged)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. The best start of parabolas (6 points, checked)
#
# Write `best_start(h, c, lr, steps, first_order)`, a float: for tasks with losses $\frac{h_i}2(\phi-c_i)^2$, the start that your answer to Task 1 (d) gives. With `first_order`, give the start where the mean of the
# *first-order* gradients is zero: there the last gradient, $h_i(1-\alpha h_i)^k(\theta-c_i)$, is taken for the gradient at the start. No steps are the pooled start.

# %% solution="best_start"
def best_start(h, c, lr, steps, first_order):
    ### BEGIN SOLUTION
    h, c = np.asarray(h, dtype=float), np.asarray(c, dtype=float)
    weights = h * (1 - lr * h) ** (steps if first_order else 2 * steps)
    return float(weights @ c / weights.sum())
    ### END SOLUTION

# %% check="best_start"
assert abs(best_start([1.0, 3.0], [0.0, 1.0], 0.25, 0, False) - 3 / 4) < 1e-9
assert abs(best_start([1.0, 3.0], [0.0, 1.0], 0.25, 1, True) - 1 / 2) < 1e-9
assert abs(best_start([1.0, 3.0], [0.0, 1.0], 0.25, 1, False) - 1 / 4) < 1e-9
### BEGIN HIDDEN TESTS
emit("start-one", lambda h, c, lr, steps: best_start(h, c, lr, steps, False))
emit("start-steps", lambda h, c, lr, steps: best_start(h, c, lr, steps, False))
emit("start-first", lambda h, c, lr, steps: best_start(h, c, lr, steps, True))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. The meta-gradient (8 points, checked)
#
# Write `meta_gradient(loss, start, support, query, lr, steps, first_order=False)`. `start` is a tuple of tensors that require gradients, `support` and `query` are pairs `(x, y)`, and `loss(params, x, y)` gives a scalar
# tensor. Return a tuple of tensors: the gradient of the query loss after the descent on the support loss, with respect to the start. With `first_order`, each step's gradient counts as a constant. *Hint:*
# `torch.autograd.grad(value, tensors, create_graph=True)` gives gradients that can be differentiated themselves.

# %% solution="meta_gradient"
def meta_gradient(loss, start, support, query, lr, steps, first_order=False):
    ### BEGIN SOLUTION
    phi = start
    for _ in range(steps):
        slope = torch.autograd.grad(loss(phi, *support), phi, create_graph=not first_order)
        phi = tuple(p - lr * g for p, g in zip(phi, slope))
    return torch.autograd.grad(loss(phi, *query), start)
    ### END SOLUTION

# %% check="meta_gradient"
def parabola(params, h, c):
    return h * (params[0] - c) ** 2 / 2


task = (torch.tensor(3.0), torch.tensor(1.0))
zero = (torch.tensor(0.0, requires_grad=True),)
assert abs(meta_gradient(parabola, zero, task, task, 0.25, 1)[0].item() + 3 / 16) < 1e-6
assert abs(meta_gradient(parabola, zero, task, task, 0.25, 1, True)[0].item() + 3 / 4) < 1e-6
### BEGIN HIDDEN TESTS
def linear_loss(params, x, y):
    return torch.nn.functional.cross_entropy(x @ params[0], y)


def network_loss(params, x, y):
    return torch.nn.functional.cross_entropy(torch.tanh(x @ params[0]) @ params[1], y)


def asked(loss):
    def one(start, sx, sy, qx, qy, lr, steps, first_order):
        params = tuple(torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in start)
        support = torch.tensor(sx, dtype=torch.float64), torch.tensor(sy)
        query = torch.tensor(qx, dtype=torch.float64), torch.tensor(qy)
        return meta_gradient(loss, params, support, query, lr, steps, first_order)

    return one


emit("meta-one", asked(linear_loss))
emit("meta-steps", asked(linear_loss))
emit("meta-first", asked(linear_loss))
emit("meta-network", asked(network_loss))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5. A step of Reptile (4 points, checked)
#
# Write `reptile(theta, ends, rate)`: the new start after one update, from the start `theta`, an array, and a list of arrays, where the descent on each task of a batch ended. It moves by `rate` times the mean of the ways from the start to
# the ends.

# %% solution="reptile"
def reptile(theta, ends, rate):
    ### BEGIN SOLUTION
    return theta + rate * (np.mean(ends, axis=0) - theta)
    ### END SOLUTION

# %% check="reptile"
assert np.allclose(reptile(np.array([0.0, 2.0]), [np.array([1.0, 2.0])], 0.5), [0.5, 2.0])
### BEGIN HIDDEN TESTS
emit("reptile-mean", lambda theta, ends, rate: reptile(np.array(theta), [np.array(e) for e in ends], rate))
emit("reptile-rate", lambda theta, ends, rate: reptile(np.array(theta), [np.array(e) for e in ends], rate))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 6. Numbers for classes (4 points, checked)
#
# Write `numbered(labels, rng)`: for the classes of one task, any objects that can be sorted, an array of whole numbers. Examples of one class get one number, the numbers of the $n$ classes are 0 to $n-1$, and which class gets which is drawn
# anew by `rng`, a `numpy.random.Generator`, with the same chance for every numbering.

# %% solution="numbered"
def numbered(labels, rng):
    ### BEGIN SOLUTION
    classes, place = np.unique(labels, return_inverse=True)
    return rng.permutation(len(classes))[place]
    ### END SOLUTION

# %% check="numbered"
y = numbered(["day", "city", "day"], np.random.default_rng(0))
assert y[0] == y[2]
assert sorted({int(y[0]), int(y[1])}) == [0, 1]
### BEGIN HIDDEN TESTS
def many_numberings(labels, seeds):
    return [[int(n) for n in numbered(labels, np.random.default_rng(s))] for s in seeds]


emit("numbered-classes", many_numberings)
emit("numbered-varied", many_numberings)
### END HIDDEN TESTS

# %% [markdown]
# ## Put together
#
# Names as vectors of character n-grams, a network of two layers whose head starts at zero, five steps of descent on 25 names of five kinds. From a random start you should see an accuracy below 0.40 on languages that the training has not seen, where chance is
# 0.2; from the start that your gradients find, some five points more. This is the slowest cell; it takes some ten seconds on a free core.

# %%
torch.set_num_threads(1)
names = {part: families(part, most=20) for part in ("train", "test")}
vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), max_features=1000)
vectors.fit(names["train"].texts)


def table(part):
    """Vectors, and for every language with five large classes the rows of each of them."""
    texts, labels, domains = (np.array(column) for column in names[part])
    found = []
    for language in np.unique(domains):
        here = [np.flatnonzero((domains == language) & (labels == kind)) for kind in np.unique(labels)]
        found.append([rows for rows in here if len(rows) >= 10])
    x = torch.tensor(vectors.transform(texts).toarray(), dtype=torch.float32)
    return x, [rows for rows in found if len(rows) >= 5]


def draw(x, languages, rng, shots=5):
    """A task of five classes: support and query, with the classes numbered anew."""
    rows = languages[rng.integers(len(languages))]
    chosen = np.sort(rng.permutation(len(rows))[:5])
    picked = np.array([rng.choice(rows[i], shots + 5, replace=False) for i in chosen])  # (5, shots + 5)
    y = torch.tensor(numbered(np.repeat(chosen, shots + 5), rng)).reshape(picked.shape)
    parts = (slice(0, shots), slice(shots, None))
    return tuple((x[picked[:, p].ravel()], y[:, p].reshape(-1)) for p in parts)


def logits(params, x):
    return torch.tanh(x @ params[0]) @ params[1] + params[2]


def loss(params, x, y):
    return torch.nn.functional.cross_entropy(logits(params, x), y)


def new_start(seed, width=32):
    first = torch.randn(1000, width, generator=torch.Generator().manual_seed(seed))
    return tuple(p.requires_grad_() for p in (first, torch.zeros(width, 5), torch.zeros(5)))


train, test = table("train"), table("test")


def accuracies(start, tasks, lr, steps, seed=1):
    rng, found = np.random.default_rng(seed), []
    for _ in range(tasks):
        (sx, sy), (qx, qy) = draw(*test, rng)
        adapted = start
        for step in range(steps):
            grads = torch.autograd.grad(loss(adapted, sx, sy), adapted)
            adapted = tuple(w - lr * g for w, g in zip(adapted, grads))
        found.append((logits(adapted, qx).argmax(1) == qy).float().mean().item())
    return np.array(found)


def meta_train(start, updates, lr=0.5, steps=5, first_order=False, seed=0):
    rng, optimizer = np.random.default_rng(seed), torch.optim.Adam(start, lr=0.01)
    for _ in range(updates):
        batch = [meta_gradient(loss, start, *draw(*train, rng), lr, steps, first_order) for _ in range(4)]
        for p, *grads in zip(start, *batch):
            p.grad = torch.stack(grads).mean(0)
        optimizer.step()
    return start


start = meta_train(new_start(0), 100)
for name, params in (("random", new_start(0)), ("learned", start)):
    found = accuracies(params, 200, 0.5, 5)
    print(f"{name} start: {found.mean():.2f} ± {1.96 * found.std(ddof=1) / np.sqrt(200):.2f}")

# %% [markdown] rubric="labels"
# ## Task 7. A support set that nobody needs (8 points, read by a person)
#
# A colleague leaves `numbered` out: cities are class 0 in all tasks, currencies always class 1, and so on. The training loss becomes lower than yours. (a) Explain what the network can learn that it cannot with numbers drawn
# anew, and why the steps may then do nothing. (b) Which measurement, without any further training, shows whether that has happened? (c) With numbers drawn anew, show that a start whose head is zero has
# probability $1/n$ for every class before any step. (d) When would you *want* fixed labels?
#
# ### BEGIN MARK SCHEME
# (a) 3 points: the classes can be told from the query alone (1), one function solves all training tasks so the support set is not needed (1), the gradient asks for no change by the steps (1).
# (b) 2 points: accuracy without any step, or with the numbers of support and query permuted together at test time (2).
# (c) 1 point: all scores are zero, the softmax is uniform.
# (d) 2 points: where classes mean the same in all tasks, as with sentiment over domains (1), and new tasks bring no new classes (1).
# ### END MARK SCHEME

# %% [markdown] answer="labels" points=8
# ### BEGIN SOLUTION
# (a) One classifier of cities, currencies and days serves all training tasks; it reads the query and ignores the support set, so no step has to help. (b) The accuracy at zero steps, far above chance, or the fall when labels are
# permuted in testing. (c) With a zero head the logits are zero for every input. (d) If the classes are the same in all tasks to come.
# ### END SOLUTION

# %% [markdown] rubric="experiment"
# ## Task 8. What moves? (12 points, read by a person)
#
# Take your learned start and at least 200 tasks, the same for every way of using it, and compare: all layers adapt; the head alone; the first layer alone; no step, but the nearest class mean of the learned features
# $\tanh(xW_1)$. Add one comparison of your own (first order, other numbers of steps, a pooled start). Give paired differences with intervals, a figure, and say what the inner steps are good for in this network,
# and what one training from one seed cannot tell.
#
# ### BEGIN MARK SCHEME
# 4 points: four ways right (2), on the same tasks (1), one comparison of their own (1).
# 3 points: a figure with intervals and named axes.
# 3 points: paired differences, rightly read; the first layer alone stays at chance or near it because the head is zero, and this is explained.
# 2 points: limits named: one seed, one split of languages, settings not tuned for each way.
# ### END MARK SCHEME

# %% solution="experiment"
### BEGIN SOLUTION
for steps in (0, 1, 5, 10):
    print(steps, round(float(accuracies(start, 50, 0.5, steps).mean()), 2))
### END SOLUTION

# %% [markdown] answer="experiment" points=12
# ### BEGIN SOLUTION
# Without a step the learned start is at chance, one step brings most of what five bring. The head has to move, since it is zero; the first layer alone cannot change zero scores at the first step.
# ### END SOLUTION
