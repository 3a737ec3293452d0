# %% [markdown]
# # Problem set: language models, from n-grams to attention
#
# *An editor for scientific Python wants to finish the sentences of docstrings. Before anyone trains anything large, you are to build what a
# large model has to beat, the score that both are compared by, and the two pieces of a transformer that are easy to get wrong.*
#
# **You will be able to** smooth a bigram model by absolute discounting with continuation counts, compare models over different tokens in bits per character, write causal attention
# without overflow, and turn scores into a distribution to sample from.
#
# **You need** the chapters on text and information and on transformers, and seven hours. The notebook runs in less than a minute.
# **Points:** 26 are given by checks, 30 by a person who reads what you wrote.
#
# Write where it says `YOUR CODE HERE` or `YOUR ANSWER HERE`. Leave the other cells as they are; you may add cells. Write the functions out:
# those of `nlpmeta` are for comparison. Below every task stand checks that you can run. More checks, with other numbers and odd cases, run when your
# work is graded, after all your cells; so every function has to work for arguments that you have not seen.
#
# Before you hand in: *Restart kernel and run all cells*, and see that no check fails.

# %%
import numpy as np

from nlpmeta.corpora import docs

# %% [markdown] rubric="derive"
# ## Task 1. What the score measures (10 points, read by a person)
#
# (a) Show that the cross-entropy of a model $q$ under a source $p$ is the entropy of $p$ plus $D(p\,\|\,q)$, and that it is least for $q = p$. (b) A model of words has a loss of $\ell$ nats per word, a model
# of characters one of $m$ nats per character, on the same text of $W$ words and $C$ characters. Write both in bits per character. What must be counted for the comparison to be fair? (c) Let the
# entries of $q$ and $k$ in $\mathbb R^d$ be independent with mean 0 and variance 1. Find the variance of $q\cdot k$, and say what the softmax does without the factor $1/\sqrt d$.
#
# ### BEGIN MARK SCHEME
# (a) 4 points: the sum split (2), D is not negative, by Jensen or ln u <= u - 1 (2).
# (b) 3 points: lW/(C ln 2) and m/ln 2 (2); spaces and ends of words must be in both, unknown words may not be free (1).
# (c) 3 points: variance d (2), one weight near one and gradients near zero (1).
# ### END MARK SCHEME

# %% [markdown] answer="derive" points=10
# ### BEGIN SOLUTION
# (a) $-\sum p\ln q = -\sum p\ln p + \sum p\ln(p/q)$ and $-\sum p\ln(q/p) \ge -\sum p(q/p - 1) = 0$. (b) $\ell W/(C\ln 2)$ and $m/\ln 2$; every character has to be paid for by both, the spaces too, and unknown words must be spelled out.
# (c) Each product has variance 1, so the sum has variance $d$; for large $d$ scores are far apart, the softmax saturates and its gradient vanishes.
# ### END SOLUTION

# %% [markdown]
# ## Task 2. A bigram model that backs off (6 points, checked)
#
# Write `bigram(tokens, n_symbols, discount)`: the matrix of $p(w\mid v)$, row $v$, column $w$, with
#
# $$p(w\mid v) = \frac{\max(c(vw) - D, 0)}{c(v)} + \frac{D\,N(v)}{c(v)}\,p_c(w),\qquad p_c(w) = \frac{\text{number of different } v \text{ before } w}{\text{number of different pairs}},$$
#
# where $c(v)$ counts the pairs that begin with $v$ and $N(v)$ the different ones among them. A context that was never seen has $p(w\mid v) = p_c(w)$.

# %% solution="bigram"
def bigram(tokens, n_symbols, discount):
    ### BEGIN SOLUTION
    counts = np.zeros((n_symbols, n_symbols))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    seen = counts > 0
    continuation = seen.sum(axis=0) / seen.sum()
    totals = counts.sum(axis=1, keepdims=True)
    kinds = seen.sum(axis=1, keepdims=True)
    divisor = np.maximum(totals, 1)
    p = np.maximum(counts - discount, 0) / divisor + discount * kinds / divisor * continuation
    p[totals[:, 0] == 0] = continuation
    return p
    ### END SOLUTION

# %% check="bigram"
p = bigram([0, 1, 0, 1, 1], 2, 0.5)
assert np.allclose(p.sum(axis=1), 1)
assert np.allclose(p[0], [0.25 / 3, 1 - 0.25 / 3])
### BEGIN HIDDEN TESTS
emit("bigram-value", bigram)
emit("bigram-unseen", bigram)
emit("bigram-discount", bigram)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3. One score for all (4 points, checked)
#
# Write `bits_per_character(log_probabilities, text)`: from the natural logarithms of the probabilities of all tokens, whatever they are, and the text that they make up.
# A character is what Python counts as one.

# %% solution="bits"
def bits_per_character(log_probabilities, text):
    ### BEGIN SOLUTION
    return float(-np.sum(log_probabilities) / np.log(2) / len(text))
    ### END SOLUTION

# %% check="bits"
assert abs(bits_per_character([np.log(0.5), np.log(0.5)], "ab") - 1) < 1e-9
### BEGIN HIDDEN TESTS
emit("bits-words", bits_per_character)
emit("bits-unicode", bits_per_character)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4. Attention (10 points, checked)
#
# Write `attention(q, k, v, causal)` for one head: queries `(t, d)`, keys `(s, d)`, values `(s, e)`, result `(t, e)`. Scores are dot products over $\sqrt d$. If `causal`, there are as many queries as keys, and position $i$ sees
# positions up to $i$ only. Scores may be in the thousands.

# %% solution="attention"
def attention(q, k, v, causal):
    ### BEGIN SOLUTION
    s = q @ k.T / np.sqrt(q.shape[1])
    if causal:
        s = np.where(np.tril(np.ones(s.shape, dtype=bool)), s, -np.inf)
    s = s - s.max(axis=1, keepdims=True)
    w = np.exp(s)
    return w / w.sum(axis=1, keepdims=True) @ v
    ### END SOLUTION

# %% check="attention"
out = attention(np.zeros((2, 4)), np.zeros((2, 4)), np.array([[1.0], [3.0]]), True)
assert np.allclose(out, [[1], [2]])
### BEGIN HIDDEN TESTS
def heads(q, k, v, causal):
    return attention(np.array(q), np.array(k), np.array(v), causal)


emit("attention-all", heads)
emit("attention-causal", heads)
emit("attention-scale", heads)
emit("attention-large", heads)
emit("attention-shapes", heads)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 5. What to sample from (6 points, checked)
#
# Write `next_distribution(scores, temperature, top)`: the probabilities of the next token, when the scores are divided by the temperature and only the `top` largest keep a probability
# above zero. No two scores are equal.

# %% solution="next"
def next_distribution(scores, temperature, top):
    ### BEGIN SOLUTION
    scores = np.asarray(scores) / temperature
    scores = np.where(scores >= np.sort(scores)[-top], scores, -np.inf)
    p = np.exp(scores - scores.max())
    return p / p.sum()
    ### END SOLUTION

# %% check="next"
assert np.allclose(next_distribution([0.0, np.log(3), -50.0], 1.0, 2), [0.25, 0.75, 0.0])
### BEGIN HIDDEN TESTS
emit("next-temperature", next_distribution)
emit("next-top", next_distribution)
emit("next-large", next_distribution)
### END HIDDEN TESTS

# %% [markdown]
# ## Put together
#
# Characters of docstrings: the bigram model that you wrote should need about three and a half bits per character, on sentences of other modules.

# %%
train = "\n".join(s.text for s in docs.load("train")[:4000])
held_out = "\n".join(s.text for s in docs.load("validation")[:500])
alphabet = sorted(set(train) | set(held_out))
place = {character: i for i, character in enumerate(alphabet)}
p = bigram(np.array([place[c] for c in train]), len(alphabet), 0.75)
codes = np.array([place[c] for c in held_out])
with np.errstate(divide="ignore"):
    log_p = np.log(np.maximum(p[codes[:-1], codes[1:]], 1e-6))
print(f"{bits_per_character(log_p, held_out[1:]):.1f} bits per character")

# %% [markdown] rubric="leak"
# ## Task 6. A division that flatters (8 points, read by a person)
#
# Docstrings of one module share phrases. (a) Why does a division by single sentences flatter an n-gram model more than one by modules, and more the longer its contexts are? (b) Which question does each division
# answer? (c) How would you measure the size of the effect?
#
# ### BEGIN MARK SCHEME
# (a) 4 points: phrases seen in training come again in the test (2), long contexts match only where a phrase is copied (2).
# (b) 2 points: more text from the same authors and modules; text of modules that are new.
# (c) 2 points: the same model and amount of training text, scored under both, for several orders.
# ### END MARK SCHEME

# %% [markdown] answer="leak" points=8
# ### BEGIN SOLUTION
# (a) Copied phrases stand in both parts, and a long context is found again only there. (b) By sentences: how well a known module is continued. By modules: a new one. (c) Score orders two to six under both divisions, with equal training text.
# ### END SOLUTION

# %% [markdown] rubric="experiment"
# ## Task 7. How much text? (12 points, read by a person)
#
# Measure bits per character on held-out modules against the amount of training text, for at least two models of your choice (say, your bigram and `nlpmeta.ngram.NGramLM` of a higher order) and five amounts. Draw the curves with intervals over
# modules or over draws of the training text. Where do they cross, and how sure are you?
#
# ### BEGIN MARK SCHEME
# 4 points: five amounts, two models, the same held-out text (2), settings not chosen on it (2).
# 3 points: intervals over what varies, and said over what.
# 3 points: axes named, logarithmic where it helps.
# 2 points: the crossing is read with its uncertainty.
# ### END MARK SCHEME

# %% solution="experiment"
### BEGIN SOLUTION
for amount in (2000, 20000, len(train)):
    table = bigram(np.array([place[c] for c in train[:amount]]), len(alphabet), 0.75)
    found = np.log(np.maximum(table[codes[:-1], codes[1:]], 1e-6))
    print(amount, round(bits_per_character(found, held_out[1:]), 1))
### END SOLUTION

# %% [markdown] answer="experiment" points=12
# ### BEGIN SOLUTION
# The bigram model is soon as good as it gets, because its table is small.
# ### END SOLUTION
