"""Cepstral coefficients against librosa, against their definition and against hard input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmeta import acoustic
from nlpmeta.speech import RATE, Voice, synthesize

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    librosa = pytest.importorskip("librosa")


@pytest.fixture(scope="module")
def sound():
    return synthesize("three five one", Voice(130.0, 1.1), np.random.default_rng(0))


@pytest.mark.parity
@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize(("rate", "size", "n_mels"), [(8000, 256, 26), (16000, 400, 40)])
def test_the_filters_are_those_of_librosa(htk, rate, size, n_mels):
    theirs = librosa.filters.mel(
        sr=rate, n_fft=size, n_mels=n_mels, htk=htk, norm=None if htk else "slaney"
    )
    assert np.allclose(acoustic.mel_filters(rate, size, n_mels, htk), theirs, atol=1e-6)


@pytest.mark.parity(
    "acoustic",
    "`mfcc`, `mel_filters`, `delta`",
    "`librosa.feature`, both scales",
    "`1e-4`, absolute",
)
@pytest.mark.parametrize("htk", [False, True])
def test_the_coefficients_are_those_of_librosa(sound, htk):
    power = librosa.feature.melspectrogram(
        y=sound, sr=RATE, n_fft=256, hop_length=80, n_mels=26, center=False, htk=htk,
        norm=None if htk else "slaney",
    )  # fmt: skip
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(power), n_mfcc=13).T
    assert np.allclose(acoustic.mfcc(sound, RATE, htk=htk), theirs, atol=1e-4)


@pytest.mark.parity
def test_slopes_are_those_of_librosa(sound):
    x = acoustic.mfcc(sound, RATE)
    theirs = librosa.feature.delta(x.T, width=5, mode="nearest").T
    assert np.allclose(acoustic.delta(x), theirs, atol=1e-9)


@given(st.floats(0, 4000))
def test_the_scale_goes_back(hz):
    for htk in (False, True):
        assert acoustic.from_mel(acoustic.to_mel(hz, htk), htk) == pytest.approx(hz, abs=1e-6)


@given(st.integers(300, 2000), st.integers(20, 256), st.integers(1, 120))
@settings(max_examples=40, deadline=None)
def test_frames_are_slices(n, size, hop):
    x = np.arange(float(n))
    found = acoustic.frames(x, size, hop)
    assert len(found) == 1 + (n - size) // hop
    for i, row in enumerate(found):
        assert np.array_equal(row, x[i * hop : i * hop + size])


def test_a_louder_signal_moves_the_first_coefficient_only(sound):
    quiet, loud = acoustic.mfcc(sound, RATE), acoustic.mfcc(3 * sound, RATE)
    assert np.allclose(quiet[:, 1:], loud[:, 1:])
    assert np.allclose(loud[:, 0] - quiet[:, 0], np.sqrt(26) * 20 * np.log10(3))


def test_centered_features_have_mean_zero_and_do_not_hear_the_loudness(sound):
    x = acoustic.features(sound, RATE, center=True)
    assert np.abs(x[:, :13].mean(0)).max() < 1e-5
    assert np.allclose(x, acoustic.features(5 * sound, RATE, center=True), atol=1e-4)


def test_a_warp_undoes_a_shorter_tract():
    rng = np.random.default_rng
    man, child = (
        synthesize("nine five", Voice(110.0, scale), rng(0), snr=60) for scale in (1.0, 1.25)
    )
    reference = acoustic.mfcc(man, RATE)
    away = {
        warp: np.abs(acoustic.mfcc(child, RATE, warp=warp)[:, 1:6] - reference[:, 1:6]).mean()
        for warp in (1.0, 1.25)
    }
    assert away[1.25] < 0.8 * away[1.0]
    assert np.allclose(acoustic.mel_filters(RATE, warp=1.0), acoustic.mel_filters(RATE))


def test_speech_is_found_between_silences(sound):
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(1600)
    part = acoustic.speech_part(np.concatenate([quiet, sound, quiet]), RATE)
    assert 15 <= part.start <= 40
    frames = 1 + (len(sound) + 3200 - 256) // 80
    assert frames - 45 <= part.stop <= frames - 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: acoustic.mfcc([], 8000), "signal has 0 samples"),
        (lambda: acoustic.mfcc(np.full(1000, np.nan), 8000), r"signal\[0\] is nan"),
        (lambda: acoustic.mfcc(np.zeros((2, 1000)), 8000), "one channel"),
        (lambda: acoustic.mfcc(np.zeros(1000), 0), "rate is 0"),
        (lambda: acoustic.mfcc(np.zeros(1000), 8000, n_mfcc=30), "n_mfcc is 30"),
        (lambda: acoustic.mel_filters(8000, warp=0.0), "warp 0"),
        (lambda: acoustic.frames(np.zeros(10), hop=0), "hop 0"),
        (lambda: acoustic.delta(np.zeros((3, 1)), reach=0), "reach is 0"),
        (lambda: acoustic.speech_part(np.zeros(1000), 0), "rate is 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
