"""The formant synthesizer: resonators against their formula, voices, hard input, the other one."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import freqz_sos

from nlpmeta.speech import (
    NUMBER,
    PHONES,
    RATE,
    WORDS,
    Voice,
    draw_voice,
    espeak,
    resonator,
    synthesize,
)

MAN = Voice(pitch=120.0, scale=1.0)


@given(st.floats(200, 3500), st.floats(30, 300))
@settings(max_examples=40, deadline=None)
def test_a_resonator_is_loudest_near_its_frequency(frequency, bandwidth):
    hz, gain = freqz_sos(resonator(frequency, bandwidth)[None], worN=4096, fs=RATE)
    assert abs(hz[np.abs(gain).argmax()] - frequency) < bandwidth + 5
    assert np.abs(gain[0]) == pytest.approx(1.0)


def test_a_resonator_follows_its_recursion():
    a, _, _, _, b, c = resonator(500, 60)
    hz, gain = freqz_sos(resonator(500, 60)[None], worN=np.array([700.0]), fs=RATE)
    z = np.exp(-2j * np.pi * 700 / RATE)
    assert gain[0] == pytest.approx(a / (1 + b * z + c * z**2))


def test_every_word_has_known_sounds_and_can_be_said():
    assert len(WORDS) == 10
    for word, sounds in WORDS.items():
        assert set(sounds.split()) <= set(PHONES)
        sound = synthesize(word, MAN, np.random.default_rng(0))
        assert np.isfinite(sound).all()
        assert 0.2 < len(sound) / RATE < 1.2
        assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.1, rel=0.05)


def test_the_same_generator_says_the_same_and_another_does_not():
    first, again, other = (
        synthesize("one two", MAN, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert len(first) != len(other) or not np.allclose(first, other)


def formant_peak(scale: float) -> float:
    """Where the spectrum of the vowel of "two" is loudest between 700 and 1,600 Hz."""
    sound = synthesize("two", Voice(100.0, scale), np.random.default_rng(0), snr=60)
    middle = sound[int(0.55 * len(sound)) : int(0.75 * len(sound))]
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8192)) ** 2
    hz = np.fft.rfftfreq(8192, 1 / RATE)
    smooth = np.convolve(power, np.ones(100), mode="same")
    inside = (hz > 700) & (hz < 1600)
    return float(hz[inside][smooth[inside].argmax()])


def test_a_shorter_tract_has_higher_formants():
    man, child = formant_peak(1.0), formant_peak(1.4)
    assert man == pytest.approx(870, abs=120)
    assert child / man == pytest.approx(1.4, abs=0.2)


def test_the_pitch_is_that_of_the_voice():
    sound = synthesize("nine", Voice(200.0, 1.0), np.random.default_rng(0), snr=60)
    middle = sound[len(sound) // 3 : 2 * len(sound) // 3]
    correlation = np.correlate(middle, middle, mode="full")[len(middle) :]
    period = 20 + int(correlation[20:80].argmax()) + 1
    assert RATE / period == pytest.approx(200, rel=0.15)


def test_noise_is_as_loud_as_asked():
    quiet, loud = (synthesize("six", MAN, np.random.default_rng(3), snr=s) for s in (100, 10))
    assert 10 * np.log10(np.mean(quiet**2) / np.mean((loud - quiet) ** 2)) == pytest.approx(
        10, abs=1
    )


def test_an_accent_moves_one_sound():
    factors = np.ones((len(PHONES), 3))
    factors[NUMBER["IY"], 1] = 0.6
    plain, odd = (
        synthesize("three", MAN._replace(accent=a), np.random.default_rng(0))
        for a in (None, factors)
    )
    assert len(plain) == len(odd)
    assert not np.allclose(plain, odd)
    plain, odd = (
        synthesize("six", MAN._replace(accent=a), np.random.default_rng(0)) for a in (None, factors)
    )
    assert np.allclose(plain, odd)


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_drawn_voice_is_in_its_range(seed):
    voice = draw_voice(np.random.default_rng(seed), scale=(1.3, 1.5), pitch=(200.0, 300.0))
    assert 1.3 <= voice.scale <= 1.5
    assert 200 <= voice.pitch <= 300
    assert voice.accent.shape == (len(PHONES), 3)
    assert (voice.accent > 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthesize("eleven", MAN, np.random.default_rng(0)), "'eleven'; it can say zero"),
        (lambda: synthesize("", MAN, np.random.default_rng(0)), "words is empty"),
        (lambda: synthesize("one", MAN, np.random.default_rng(0), rate=0), "rate is 0"),
        (lambda: synthesize("one", MAN, np.random.default_rng(0), snr=np.nan), "snr is nan"),
        (lambda: resonator(5000, 60), "half"),
        (lambda: resonator(500, 0), "bandwidth 0"),
        (lambda: resonator(500, 60, rate=-1), "rate is -1"),
        (lambda: draw_voice(np.random.default_rng(0), scale=(1.2, 1.0)), "scale is"),
        (lambda: draw_voice(np.random.default_rng(0), accent=-1), "accent is -1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_the_program_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="apt install espeak-ng"):
        espeak("one")


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_other_synthesizer_speaks():
    sound = espeak("one two three", "en-us+f2")
    assert 0.5 < len(sound) / RATE < 4
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="text is empty"):
        espeak("  ")
