"""The study of the chapter "Speech recognition": file follows script and page the file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from nlpmeta.speech import draw_voice
from tools import speech_study as study


@pytest.fixture(scope="module")
def report():
    return json.loads(study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"] == json.loads(json.dumps(study.recipe()))
    assert len(report["draws"]) == len(study.SEEDS)


def test_the_page_says_what_the_file_says(report):
    for draw in report["draws"]:
        nothing = draw["network, theirs"]
        assert nothing > 0.75
        assert 0.4 < draw["chains, theirs"] < 0.6
        assert abs(draw["network, theirs, warp"] - nothing) < 1 / 7
        assert nothing - draw["network, theirs, all layers"] > 1 / 5
    left = [draw["network, theirs, all layers"] for draw in report["draws"]]
    assert 0.4 < np.mean(left) < 0.6


def test_a_small_network_trains_reads_and_finds_a_warp(monkeypatch):
    monkeypatch.setattr(study, "STEPS", 3)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    said = [study.say(draw_voice(rng), rng) for _ in range(4)]
    net = study.Net(said, 0)
    assert len(net.read(said)) == 4
    assert net.best_warp(said) in study.WARPS


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_chains_are_scored_again_about_as_they_were(report):
    rng = np.random.default_rng(100)
    loop = study.word_loop([draw_voice(rng) for _ in range(study.SPELLED)], rng)
    said = [study.say(name, rng) for name in study.ESPEAK for _ in range(3)]
    heard = [" ".join(loop.decode(study.features(s, study.RATE))) for s, _ in said]
    before = np.mean([draw["chains, theirs"] for draw in report["draws"]])
    assert abs(study.wer(said, heard) - before) < 0.2
