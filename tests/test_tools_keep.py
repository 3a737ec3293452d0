"""What a study keeps of its runs."""

import pytest

from tools.keep import keep


def test_a_run_is_made_once(tmp_path):
    made = []

    def run():
        made.append(1)
        return {"accuracy": [0.5, 1.0], "text": "中文"}

    first = keep(tmp_path / "new", "board 1e-3", run)
    assert (
        keep(tmp_path / "new", "board 1e-3", run)
        == first
        == {"accuracy": [0.5, 1.0], "text": "中文"}
    )
    assert made == [1]


def test_a_run_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        keep(tmp_path, "bad", lambda: 1 / 0)
    with pytest.raises(TypeError):
        keep(tmp_path, "no json", lambda: {1j})
    assert not list(tmp_path.iterdir())


def test_two_names_do_not_share_a_file(tmp_path):
    keep(tmp_path, "rate 0.1", lambda: 1)
    with pytest.raises(ValueError, match="holds the run"):
        keep(tmp_path, "rate 0-1", lambda: 2)
