# %% [markdown]
# # Problem set: transfer and compression
#
# *A phone is to say which kind of place a review is about, without a network. The model was trained on a large machine; it has to be adapted with few
# numbers, and made small. You will write the four operations that do this, and find out what each costs.*
#
# **You will be able to** prune and quantize weights, factor a matrix and say what is lost, add a low-rank update to a frozen layer, and write the
# loss by which a small model learns from a large one.
#
# **You need** the chapters on fine-tuning and on compression, and six hours. The notebook runs in less than a minute.
# **Points:** 26 are given by checks, 30 by a person who reads what you wrote.
#
# Write where it says `YOUR CODE HERE` or `YOUR ANSWER HERE`. Leave the other cells as they are; you may add cells. Write the functions out:
# those of `nlpmeta` are for comparison. Below every task stand checks that you can run. More checks, with other numbers and odd cases, run when your
# work is graded, after all your cells; so every function has to work for arguments that you have not seen.
#
# Before you hand in: *Restart kernel and run all cells*, and see that no check fails.

# %%
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from nlpmeta.corpora import reviews

# %% [markdown] rubric="derive"
# ## Task 1. What low rank loses, and what a teacher gives (10 points, read by a person)
#
# (a) A matrix $W$ of shape $m\times n$ is written as a product of thin ones of rank $r$. For which $r$ does that save numbers? With singular values $\sigma_1\ge\sigma_2\ge\dots$, give the
# squared Frobenius error of the best such product and say why the truncated decomposition reaches it. (b) A student with logits $z$ learns from a teacher with logits $v$ at temperature $T$ by
# $T^2\,\mathrm{KL}(p\,\|\,q)$, $p = \mathrm{softmax}(v/T)$, $q = \mathrm{softmax}(z/T)$. Derive the gradient by $z$, and what it tends to for large $T$ when the logits of each sum to zero.
#
# ### BEGIN MARK SCHEME
# (a) 5 points: r < mn/(m+n) (1), the sum of the squared singular values beyond r (2), shown that truncation reaches it (2).
# (b) 5 points: T (q - p) (3), expansion e^x = 1 + x (1), tends to (z - v)/K (1).
# ### END MARK SCHEME

# %% [markdown] answer="derive" points=10
# ### BEGIN SOLUTION
# (a) $r(m+n) < mn$. The error is $\sum_{i>r}\sigma_i^2$: the remainder $\sum_{i>r}\sigma_iu_iv_i^\top$ is a sum of orthogonal terms; no matrix of rank $r$ does better (Eckart and Young).
# (b) $\partial/\partial z = T^2\cdot(q-p)/T = T(q - p)$. For large $T$, $q_k \approx (1 + z_k/T)/K$ and $p_k\approx(1+v_k/T)/K$, so the gradient tends to $(z - v)/K$.
# ### END SOLUTION

# %% [markdown]
# ## Task 2. Prune (6 points, checked)
#
# Write `prune(w, share)`: a new array like `w` in which `round(share * w.size)` weights, those of smallest size, are zero. The argument stays as it was. No two
# weights have the same size.

# %% solution="prune"
def prune(w, share):
    ### BEGIN SOLUTION
    kept = w.copy()
    order = np.argsort(np.abs(w), axis=None)
    kept.flat[order[: round(share * w.size)]] = 0
    return kept
    ### END SOLUTION

# %% check="prune"
assert prune(np.array([[1.0, 4.0], [3.0, 2.0]]), 0.5).tolist() == [[0, 4], [3, 0]]
### BEGIN HIDDEN TESTS
def pruned_and_given(w, share):
    given = np.array(w)
    return [prune(given, share).tolist(), given.tolist()]


emit("prune-share", lambda w, share: prune(np.array(w), share))
emit("prune-signs", lambda w, share: prune(np.array(w), share))
emit("prune-copy", pruned_and_given)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. Quantize (6 points, checked)
#
# Write `quantize(w, bits)`: every row of `w` rounded to whole multiples of its own step, as floats. The step is the largest size in the row over $2^{\text{bits}-1} - 1$.
# A row of zeros stays one.

# %% solution="quantize"
def quantize(w, bits):
    ### BEGIN SOLUTION
    step = np.abs(w).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    step = np.where(step == 0, 1, step)
    return np.round(w / step) * step
    ### END SOLUTION

# %% check="quantize"
assert np.allclose(quantize(np.array([[12.7, 0.04, -6.26]]), 8), [[12.7, 0.0, -6.3]])
### BEGIN HIDDEN TESTS
emit("quantize-rows", lambda w, bits: quantize(np.array(w), bits))
emit("quantize-zeros", lambda w, bits: quantize(np.array(w), bits))
emit("quantize-bits", lambda w, bits: quantize(np.array(w), bits))
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. Low rank, twice (8 points, checked)
#
# Write `low_rank(w, r)`: the matrix of rank `r` nearest to `w`. And `lora(x, w, a, b, alpha)`: what a frozen layer `w` of shape `(out, in)` with the update
# $\frac{\alpha}{r}BA$ gives for inputs `x` of shape `(n, in)`; `a` is `(r, in)`, `b` is `(out, r)`.

# %% solution="rank"
def low_rank(w, r):
    ### BEGIN SOLUTION
    u, s, v = np.linalg.svd(w, full_matrices=False)
    return u[:, :r] * s[:r] @ v[:r]
    ### END SOLUTION


def lora(x, w, a, b, alpha):
    ### BEGIN SOLUTION
    return x @ w.T + alpha / len(a) * (x @ a.T) @ b.T
    ### END SOLUTION

# %% check="rank"
assert np.allclose(low_rank(np.diag([3.0, 2.0, 1.0]), 2), np.diag([3.0, 2.0, 0.0]))
assert lora(np.ones((1, 2)), np.eye(2), np.ones((1, 2)), np.zeros((2, 1)), 8).tolist() == [[1, 1]]
### BEGIN HIDDEN TESTS
def with_arrays(x, w, a, b, alpha):
    return lora(np.array(x), np.array(w), np.array(a), np.array(b), alpha)


emit("rank-nearest", lambda w, r: low_rank(np.array(w), r))
emit("rank-wide", lambda w, r: low_rank(np.array(w), r))
emit("lora-value", with_arrays)
emit("lora-scale", with_arrays)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5. Learn from a teacher (6 points, checked)
#
# Write `distillation(student, teacher, temperature)`: the mean over the rows of $T^2\,\mathrm{KL}(p\,\|\,q)$, as in Task 1. Logits may be in the thousands.

# %% solution="teacher"
def distillation(student, teacher, temperature):
    ### BEGIN SOLUTION
    def log_softmax(s):
        s = s - s.max(axis=1, keepdims=True)
        return s - np.log(np.exp(s).sum(axis=1, keepdims=True))

    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
    ### END SOLUTION

# %% check="teacher"
assert abs(distillation(np.ones((2, 3)), np.ones((2, 3)), 2.0)) < 1e-12
### BEGIN HIDDEN TESTS
def from_teacher(student, teacher, temperature):
    return distillation(np.array(student), np.array(teacher), temperature)


emit("teacher-value", from_teacher)
emit("teacher-temperature", from_teacher)
emit("teacher-large", from_teacher)
### END HIDDEN TESTS

# %% [markdown]
# ## Put together
#
# A classifier of reviews, with most of its weights gone, or with few bits. It learns from some thirty short reviews of each kind and is right for about a quarter of the
# others, where chance is one in eight. You should see that half the weights are hardly missed.

# %%
english = reviews.load("en")
vectors = TfidfVectorizer()
x_train = vectors.fit_transform([r.text for r in english[::2]]).toarray()
x_test = vectors.transform([r.text for r in english[1::2]]).toarray()
model = LogisticRegression(C=10, max_iter=500).fit(x_train, [r.domain for r in english[::2]])
truth = np.array([r.domain for r in english[1::2]])


def accuracy(w):
    scores = x_test @ w.T + model.intercept_
    return (model.classes_[scores.argmax(axis=1)] == truth).mean()


for name, w in {
    "all": model.coef_,
    "half pruned": prune(model.coef_, 0.5),
    "nine in ten pruned": prune(model.coef_, 0.9),
    "four bits": quantize(model.coef_, 4),
    "rank three": low_rank(model.coef_, 3),
}.items():
    print(f"{name:<20}{accuracy(w):.2f}")

# %% [markdown] rubric="speed"
# ## Task 6. Small, and fast? (8 points, read by a person)
#
# A vendor says: nine weights in ten are zero, so the model is ten times faster and ten times smaller. (a) Say for each half of the claim what must be true of storage and of the
# machine. (b) How would you measure both? (c) What would you report beside them, and on how many runs?
#
# ### BEGIN MARK SCHEME
# (a) 4 points: zeros take space unless stored sparsely with indices (2); dense kernels multiply zeros too, structure or a sparse kernel is needed (2).
# (b) 2 points: size of the file, time after a warm-up, repeated, one batch size that matters.
# (c) 2 points: accuracy with an interval, spread of times.
# ### END MARK SCHEME

# %% [markdown] answer="speed" points=8
# ### BEGIN SOLUTION
# (a) Zeros cost the same space and time as other numbers in a dense array; indices cost space in a sparse one. (b) Bytes on disk; the median time of many runs after a warm-up. (c) Accuracy with its interval, and the spread of the times.
# ### END SOLUTION

# %% [markdown] rubric="experiment"
# ## Task 7. The frontier (12 points, read by a person)
#
# Draw accuracy against bytes for pruning, quantizing and low rank, alone and two of them together, at five sizes or more. Count the bytes that each would need in a file, indices too. Use five divisions of the reviews
# and show how much the curves move. What would you ship?
#
# ### BEGIN MARK SCHEME
# 4 points: three ways and one combination, five sizes. 3 points: bytes counted rightly, indices included.
# 3 points: spread over divisions shown and read. 2 points: the choice follows from the figure.
# ### END MARK SCHEME

# %% solution="experiment"
### BEGIN SOLUTION
print(f"both: {accuracy(quantize(prune(model.coef_, 0.8), 6)):.2f}")
### END SOLUTION

# %% [markdown] answer="experiment" points=12
# ### BEGIN SOLUTION
# Pruning and six bits together are the smallest at nearly the same accuracy, on this division.
# ### END SOLUTION
