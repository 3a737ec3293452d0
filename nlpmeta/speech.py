"""Spoken digits from a formula: a formant synthesizer in the manner of Klatt (1980).

A voice is a source, pulses of the glottis or noise, sent through resonators, one for each formant
of the vocal tract. The formants of the vowels are the means of 33 men in Peterson and Barney
(1952), those of the consonants are Klatt's. :class:`Voice` holds what differs between speakers:
pitch, length of the vocal tract, speed, breath, the tilt of the line and an accent, which moves
each formant of each sound a little. Exports :class:`Voice`, :func:`draw_voice`, :func:`resonator`,
:func:`synthesize`, :data:`WORDS` and :func:`espeak`, another synthesizer, where it is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import lfilter, resample_poly, sosfilt

RATE = 8000  # samples a second: the band of a telephone
STEP = 0.005  # seconds between changes of the resonators, as in Klatt (1980)


class Phone(NamedTuple):
    """What a sound of speech asks of source and tract."""

    formants: tuple[float, float, float]  # Hz, for a man
    duration: float  # seconds at speed 1
    voicing: float  # amplitude of the pulses
    noise: float = 0.0  # amplitude of the noise at a narrow place
    center: float = 2500.0  # Hz, where that noise is strongest
    width: float = 2000.0  # Hz, its bandwidth


PHONES = {
    "IY": Phone((270, 2290, 3010), 0.13, 1.0),
    "IH": Phone((390, 1990, 2550), 0.09, 1.0),
    "EH": Phone((530, 1840, 2480), 0.10, 1.0),
    "AA": Phone((730, 1090, 2440), 0.11, 1.0),
    "AO": Phone((570, 840, 2410), 0.12, 1.0),
    "UH": Phone((440, 1020, 2240), 0.09, 1.0),
    "UW": Phone((300, 870, 2240), 0.15, 1.0),
    "AH": Phone((640, 1190, 2390), 0.09, 1.0),
    "W": Phone((290, 610, 2150), 0.07, 0.7),
    "R": Phone((310, 1060, 1380), 0.08, 0.7),
    "N": Phone((480, 1340, 2470), 0.08, 0.5),
    "V": Phone((220, 1100, 2080), 0.07, 0.4, 0.05, 2500, 3000),
    "Z": Phone((240, 1390, 2530), 0.09, 0.3, 0.20, 3700, 800),
    "F": Phone((340, 1100, 2080), 0.10, 0.0, 0.08, 2500, 3000),
    "TH": Phone((320, 1290, 2540), 0.10, 0.0, 0.06, 3000, 2500),
    "S": Phone((320, 1390, 2530), 0.11, 0.0, 0.30, 3700, 800),
    "T": Phone((400, 1600, 2600), 0.03, 0.0, 0.35, 3300, 1500),
    "K": Phone((300, 1990, 2850), 0.03, 0.0, 0.30, 2100, 600),
    ".": Phone((400, 1600, 2600), 0.05, 0.0),  # the closure before a burst, and silence
}
WORDS = {
    "zero": "Z IH R AO UH",
    "one": "W AH N",
    "two": ". T UW",
    "three": "TH R IY",
    "four": "F AO R",
    "five": "F AA IH V",
    "six": "S IH . K S",
    "seven": "S EH V AH N",
    "eight": "EH IH . T",
    "nine": "N AA IH N",
}
NUMBER = {name: i for i, name in enumerate(PHONES)}
BANDWIDTHS, FOURTH = (60.0, 90.0, 150.0, 250.0), 3300.0  # Hz


class Voice(NamedTuple):
    """A speaker."""

    pitch: float  # pulses a second
    scale: float  # formants relative to a man's: above 1, a shorter tract
    speed: float = 1.0  # relative
    breath: float = 0.02  # noise of the breath relative to the pulses
    tilt: float = 0.0  # y_t = x_t - tilt x_{t-1}: how microphone and line color the sound
    accent: np.ndarray | None = None  # (phones, 3) factors of the formants


def draw_voice(
    rng: np.random.Generator,
    scale: tuple[float, float] = (0.9, 1.2),
    pitch: tuple[float, float] = (80.0, 250.0),
    accent: float = 0.08,
) -> Voice:
    """A speaker at random: evenly in the ranges given, on a logarithmic scale.

    Parameters
    ----------
    rng : numpy.random.Generator
    scale, pitch : tuple of float
        Least and largest formant factor and pulses a second.
    accent : float
        Standard deviation of the logarithm of the factor of each formant of each sound.

    Returns
    -------
    Voice

    Examples
    --------
    >>> voice = draw_voice(np.random.default_rng(0), scale=(1.3, 1.5))
    >>> 1.3 <= voice.scale <= 1.5
    True
    """
    for name, (low, high) in (("scale", scale), ("pitch", pitch)):
        if not 0 < low <= high < np.inf:
            raise ValueError(f"{name} is {(low, high)}; give two positive numbers, smaller first")
    if not 0 <= accent < np.inf:
        raise ValueError(f"accent is {accent}; give a number of at least 0")
    return Voice(
        pitch=float(np.exp(rng.uniform(*np.log(pitch)))),
        scale=float(np.exp(rng.uniform(*np.log(scale)))),
        speed=float(np.exp(rng.uniform(np.log(0.8), np.log(1.25)))),
        breath=float(rng.uniform(0.01, 0.1)),
        tilt=float(rng.uniform(-0.4, 0.4)),
        accent=np.exp(accent * rng.standard_normal((len(PHONES), 3))),
    )


def resonator(frequency: ArrayLike, bandwidth: ArrayLike, rate: int = RATE) -> np.ndarray:
    """One formant: ``y_t = A x_t + B y_{t-1} + C y_{t-2}`` (Klatt, 1980, eqs. 1 and 2).

    ``C = -exp(-2 pi bw / rate)``, ``B = 2 exp(-pi bw / rate) cos(2 pi f / rate)`` and
    ``A = 1 - B - C``, so that a constant passes unchanged.

    Parameters
    ----------
    frequency, bandwidth : array-like of float
        In Hz; one of each, or arrays that broadcast.
    rate : int
        Samples a second.

    Returns
    -------
    numpy.ndarray of float, shape (..., 6)
        Sections as ``scipy.signal.sosfilt`` takes them.

    Raises
    ------
    ValueError
        If the rate is not positive or the frequency above half of it.

    Examples
    --------
    >>> section = resonator(500, 60)
    >>> round(float(section[:3].sum() / section[3:].sum()), 9)  # gain at 0 Hz
    1.0
    """
    _check_rate(rate)
    frequency, bandwidth = np.broadcast_arrays(
        *(np.asarray(x, float) for x in (frequency, bandwidth))
    )
    inside = (frequency >= 0) & (frequency <= rate / 2) & (bandwidth > 0) & (bandwidth < np.inf)
    if not inside.all():
        raise ValueError(
            f"frequency is {frequency} and bandwidth {bandwidth}; give 0 to {rate / 2:g} Hz, half "
            "the rate, and a positive bandwidth"
        )
    r = np.exp(-np.pi * bandwidth / rate)
    b, c = 2 * r * np.cos(2 * np.pi * frequency / rate), -(r**2)
    zero = np.zeros_like(b)
    return np.stack([1 - b - c, zero, zero, zero + 1, -b, -c], axis=-1)


def synthesize(
    words: str | Sequence[str],
    voice: Voice,
    rng: np.random.Generator,
    snr: float = 30.0,
    rate: int = RATE,
) -> np.ndarray:
    """Say digits: pulses and noise through the resonators of the sounds, one after the other.

    Targets of neighboring sounds are joined by a moving average of 55 ms, also across words, which
    are 0 to 120 ms apart. Durations, pitch and noise differ from call to call.

    Parameters
    ----------
    words : str or sequence of str
        Of :data:`WORDS`.
    voice : Voice
    rng : numpy.random.Generator
    snr : float
        Decibels between the signal and the white noise of the recording.
    rate : int
        Samples a second.

    Returns
    -------
    numpy.ndarray of float, shape (n,)
        Root mean square 0.1 without the noise of the recording.

    Raises
    ------
    ValueError
        If a word is unknown or none is given, or if rate or snr make no sense.

    Examples
    --------
    >>> sound = synthesize("two four", Voice(120, 1.0), np.random.default_rng(0))
    >>> 0.5 < len(sound) / RATE < 1.5
    True
    """
    _check_rate(rate)
    if not np.isfinite(snr):
        raise ValueError(f"snr is {snr}; give a number of decibels")
    said = words.split() if isinstance(words, str) else list(words)
    if unknown := [word for word in said if word not in WORDS]:
        raise ValueError(f"words holds {unknown[0]!r}; it can say {', '.join(WORDS)}")
    if not said:
        raise ValueError("words is empty; give at least one")
    names, seconds = _plan(said, voice, rng)
    frames = np.maximum(1, np.round(np.array(seconds) / STEP).astype(int))
    each = np.repeat([NUMBER[name] for name in names], frames)  # (f,) the sound of each frame
    table = list(PHONES.values())
    formants = np.array([phone.formants for phone in table]) * voice.scale
    if voice.accent is not None:
        formants = formants * voice.accent
    rows = np.array([phone[2:] for phone in table])[each]  # (f, 4) voicing, noise, center, width
    size = round(rate * STEP)
    voicing, noise = (np.repeat(_smooth(rows[:, [i]], 5)[:, 0], size) for i in (0, 1))
    source = _pulses(voice, len(each) * size, rate, rng)
    source = voicing * (source + voice.breath * source.std() * rng.standard_normal(len(source)))
    throat = _cascade(source, _smooth(formants[each], 11), voice.scale, size, rate)
    mouth = _friction(noise * rng.standard_normal(len(noise)), rows, voice.scale, size, rate)
    sound = throat / (throat.std() + 1e-9) + mouth * 3
    sound = lfilter([1.0, -voice.tilt], [1.0], sound)
    sound *= 0.1 / np.sqrt(np.mean(sound**2))
    return sound + 0.1 * 10 ** (-snr / 20) * rng.standard_normal(len(sound))


def espeak(
    text: str, voice: str = "en-us", pitch: int = 50, speed: int = 160, rate: int = RATE
) -> np.ndarray:
    """Say a text with the program eSpeak NG, another formant synthesizer, where it is installed.

    Parameters
    ----------
    text : str
    voice : str
        As in ``espeak-ng --voices``, perhaps with a variant: ``en-gb+f2``.
    pitch, speed : int
        0 to 99, and words a minute.
    rate : int
        Samples a second of the result.

    Returns
    -------
    numpy.ndarray of float, shape (n,)
        Root mean square 0.1.

    Raises
    ------
    FileNotFoundError
        If the program is not there.
    ValueError
        If text is empty or the program makes no sound of it.
    """
    _check_rate(rate)
    program = shutil.which("espeak-ng")
    if program is None:
        raise FileNotFoundError(
            "the program espeak-ng is not installed; on Debian and Ubuntu: apt install espeak-ng. "
            "nlpmeta.speech.synthesize needs no program"
        )
    if not text.strip():
        raise ValueError("text is empty; give at least one word")
    options = ["--stdout", "-v", voice, "-p", str(pitch), "-s", str(speed), "--", text]
    done = subprocess.run([program, *options], capture_output=True, check=False)
    if done.returncode or len(done.stdout) < 100:
        raise ValueError(
            f"espeak-ng makes no sound with voice {voice!r}: {done.stderr.decode().strip()}"
        )
    # The length in the header of a stream is not true: read rate and samples past it.
    theirs = int.from_bytes(done.stdout[24:28], "little")
    sound = np.frombuffer(done.stdout[44:], dtype="<i2").astype(float)
    sound = resample_poly(sound, rate, theirs)
    return sound * 0.1 / np.sqrt(np.mean(sound**2))


def _check_rate(rate: int) -> None:
    if not isinstance(rate, int | np.integer) or rate <= 0:
        raise ValueError(f"rate is {rate!r}; give samples a second, a positive integer")


def _plan(said: list[str], voice: Voice, rng: np.random.Generator) -> tuple[list[str], list[float]]:
    """The sounds with their durations, silence around and between the words."""
    names, seconds = ["."], [rng.uniform(0.05, 0.12)]
    for i, word in enumerate(said):
        if i:
            names.append(".")
            seconds.append(rng.uniform(0.0, 0.12))
        for name in WORDS[word].split():
            names.append(name)
            spread = np.exp(0.12 * rng.standard_normal())
            seconds.append(PHONES[name].duration * spread / voice.speed)
    return [*names, "."], [*seconds, rng.uniform(0.05, 0.12)]


def _smooth(track: np.ndarray, width: int) -> np.ndarray:
    """Moving average over frames with a Hann window."""
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(track, ((width // 2, width // 2), (0, 0)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)  # (f, ., width)
    return views @ (window / window.sum())


def _pulses(voice: Voice, n: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Pulses of the glottis, low-pass filtered as in Klatt (1980), and differentiated by the lips.

    The pitch falls by a fifth and wanders a little; a pulse between two samples goes to both.
    """
    wander = np.interp(np.arange(n), np.linspace(0, n, 6), 0.04 * rng.standard_normal(6))
    pitch = voice.pitch * np.exp(np.linspace(0.1, -0.1, n) + wander) / rate  # a sample
    phase = np.cumsum(pitch)
    at = np.flatnonzero(np.diff(np.floor(phase), prepend=0.0))
    late = (phase[at] % 1.0) / pitch[at]
    train = np.zeros(n + 1)
    train[at] += 1 - late
    train[at + 1] += late
    shaped = sosfilt(resonator(0, 100, rate)[None], train[:n])
    return np.diff(shaped, prepend=0.0)


def _cascade(
    source: np.ndarray, formants: np.ndarray, scale: float, size: int, rate: int
) -> np.ndarray:
    """The source through all formants, one after the other; they change with every frame."""
    limit = 0.475 * rate
    if FOURTH * scale < limit:
        formants = np.pad(formants, ((0, 0), (0, 1)), constant_values=FOURTH * scale)
    k = formants.shape[1]
    sections = resonator(np.minimum(formants, limit), BANDWIDTHS[:k], rate)  # (f, k, 6)
    out, state = np.empty_like(source), np.zeros((k, 2))
    for i, now in enumerate(sections):
        part = slice(i * size, (i + 1) * size)
        out[part], state = sosfilt(now, source[part], zi=state)
    return out


def _friction(
    noise: np.ndarray, rows: np.ndarray, scale: float, size: int, rate: int
) -> np.ndarray:
    """Noise through a band-pass filter around the place where each sound makes it."""
    angle = 2 * np.pi * np.minimum(rows[:, 2] * scale / rate, 0.465)
    r = np.exp(-np.pi * rows[:, 3] / rate)
    gain, none = (1 - r**2) / 2, np.zeros_like(r)
    sections = np.stack([gain, none, -gain, none + 1, -2 * r * np.cos(angle), r**2], axis=-1)
    out, state = np.empty_like(noise), np.zeros((1, 2))
    for i, now in enumerate(sections):  # (6,)
        part = slice(i * size, (i + 1) * size)
        if not np.any(noise[part]):
            out[part], state = 0.0, np.zeros((1, 2))
            continue
        out[part], state = sosfilt(now[None], noise[part], zi=state)
    return out
