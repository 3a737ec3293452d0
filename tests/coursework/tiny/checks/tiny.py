"""What is checked in the tiny set."""

import math

from nlpmeta.coursework.checks import Check, ProblemSet

SET = ProblemSet(
    title="Tiny",
    hours=0.1,
    chapter="chapter-maximum-entropy",
    goals=(),
    limits={"total": 30.0, "cell": 2.0, "memory": 500_000_000, "output": 2_000_000},
    checks=(
        Check("double-number", "double", 1, "numbers",
              lambda rng: [{"x": int(rng.integers(10**6))} for _ in range(3)], lambda x: 2 * x),
        Check("double-text", "double", 1, "strings",
              lambda rng: [{"x": "ab" * int(rng.integers(1, 9))}], lambda x: x + x),
        Check("root", "root", 2, "roots", lambda rng: [{"x": float(rng.uniform(2, 99))}],
              lambda x: math.sqrt(x)),
    ),
)  # fmt: skip
