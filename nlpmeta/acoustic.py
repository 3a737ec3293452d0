"""From a signal to a few numbers every ten milliseconds: mel-frequency cepstral coefficients.

Cut the signal into overlapping frames, take the power at each frequency, sum it in bands that are
narrow below and wide above as hearing is, take logarithms, and keep the first coefficients of a
cosine transform (Davis and Mermelstein, 1980). The numbers are those of librosa. Exports
:func:`frames`, :func:`mel_filters`, :func:`log_mel`, :func:`mfcc`, :func:`delta`,
:func:`features` and :func:`speech_part`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dct

SIZE, HOP = 256, 80  # samples in a frame and between two: 32 and 10 ms at 8,000 a second


def frames(signal: ArrayLike, size: int = SIZE, hop: int = HOP) -> np.ndarray:
    """Overlapping stretches of a signal, as many as fit.

    Parameters
    ----------
    signal : array-like of float, shape (n,)
    size, hop : int
        Samples in a frame, and from the start of one to the start of the next.

    Returns
    -------
    numpy.ndarray of float, shape (t, size)
        A view; t = 1 + (n - size) // hop.

    Raises
    ------
    ValueError
        If the signal is shorter than a frame or holds anything but finite numbers.

    Examples
    --------
    >>> frames([1.0, 2.0, 3.0, 4.0, 5.0], size=3, hop=2).tolist()
    [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]
    """
    signal = np.asarray(signal, dtype=float)
    if size < 1 or hop < 1:
        raise ValueError(f"size is {size} and hop {hop}; give at least 1 sample for each")
    if signal.ndim != 1:
        raise ValueError(f"signal has shape {signal.shape}; give one channel, shape (n,)")
    if len(signal) < size:
        raise ValueError(
            f"signal has {len(signal)} samples, but a frame {size}; give a longer signal, or a "
            "smaller size"
        )
    if not np.isfinite(signal).all():
        at = int(np.argmax(~np.isfinite(signal)))
        raise ValueError(f"signal[{at}] is {signal[at]}; every sample must be a finite number")
    return np.lib.stride_tricks.sliding_window_view(signal, size)[::hop]


def to_mel(hz: ArrayLike, htk: bool = False) -> np.ndarray:
    """Pitch as heard: even steps sound even.

    ``2595 log10(1 + f / 700)`` as in the HTK toolkit, or linear up to 1,000 Hz and logarithmic
    above, as in Slaney's Auditory Toolbox.

    Parameters
    ----------
    hz : array-like of float
    htk : bool

    Returns
    -------
    numpy.ndarray of float

    Examples
    --------
    >>> to_mel([0.0, 1000.0]).round(6).tolist()
    [0.0, 15.0]
    """
    hz = np.asarray(hz, dtype=float)
    if htk:
        return 2595 * np.log10(1 + hz / 700)
    above = 15 + 27 * np.log(np.maximum(hz, 1000.0) / 1000) / np.log(6.4)
    return np.where(hz < 1000, 3 * hz / 200, above)


def from_mel(mel: ArrayLike, htk: bool = False) -> np.ndarray:
    """The inverse of :func:`to_mel`.

    Parameters
    ----------
    mel : array-like of float
    htk : bool

    Returns
    -------
    numpy.ndarray of float

    Examples
    --------
    >>> from_mel([0.0, 15.0]).tolist()
    [0.0, 1000.0]
    """
    mel = np.asarray(mel, dtype=float)
    if htk:
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))


def mel_filters(
    rate: int, size: int = SIZE, n_mels: int = 26, htk: bool = False, warp: float = 1.0
) -> np.ndarray:
    """Triangular bands, evenly spaced in mel from zero to half the rate.

    Each band rises to its center from that of the band below and falls to that of the band above;
    without ``htk`` it is divided by half its width in Hz. ``warp`` multiplies the corners: with
    warp a, a band sees of a voice with formants a times as high what it saw of the first (vocal
    tract length normalization, Lee and Rose, 1998). Near half the rate, which stays where it is,
    the map bends.

    Parameters
    ----------
    rate, size : int
        Samples a second, and in a frame.
    n_mels : int
        Number of bands.
    htk : bool
        Scale of the HTK toolkit, and no division.
    warp : float

    Returns
    -------
    numpy.ndarray of float, shape (n_mels, 1 + size // 2)

    Raises
    ------
    ValueError
        If rate, n_mels or warp is not positive.

    Examples
    --------
    >>> mel_filters(8000, n_mels=20).shape
    (20, 129)
    """
    if rate <= 0:
        raise ValueError(f"rate is {rate}; give samples a second, a positive number")
    if n_mels < 1 or not 0 < warp < np.inf:
        raise ValueError(f"n_mels is {n_mels} and warp {warp}; both must be positive")
    top, knee = rate / 2, 0.85 * rate / 2 / max(1.0, warp)
    corners = from_mel(np.linspace(0, to_mel(top, htk), n_mels + 2), htk)
    corners = np.interp(corners, [0, knee, top], [0, warp * knee, top])
    hz = np.fft.rfftfreq(size, 1 / rate)
    up = (hz - corners[:-2, None]) / np.diff(corners)[:-1, None]
    down = (corners[2:, None] - hz) / np.diff(corners)[1:, None]
    filters = np.maximum(0, np.minimum(up, down))  # (m, f)
    return filters if htk else filters * (2 / (corners[2:] - corners[:-2]))[:, None]


def log_mel(
    signal: ArrayLike, rate: int, size: int = SIZE, hop: int = HOP, n_mels: int = 26,
    htk: bool = False, warp: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """Power in each band, in decibels, not more than 80 below the loudest of the signal.

    Parameters
    ----------
    signal : array-like of float, shape (n,)
    rate, size, hop, n_mels, htk, warp
        As for :func:`frames` and :func:`mel_filters`.

    Returns
    -------
    numpy.ndarray of float, shape (t, n_mels)

    Raises
    ------
    ValueError
        As :func:`frames` and :func:`mel_filters`.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(800) / 8000)
    >>> int(log_mel(tone, 8000)[3].argmax())  # the band around 1,000 Hz
    10
    """
    filters = mel_filters(rate, size, n_mels, htk, warp)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    power = np.abs(np.fft.rfft(frames(signal, size, hop) * window)) ** 2  # (t, f)
    decibels = 10 * np.log10(np.maximum(power @ filters.T, 1e-10))
    return np.maximum(decibels, decibels.max() - 80)


def mfcc(
    signal: ArrayLike, rate: int, n_mfcc: int = 13, size: int = SIZE, hop: int = HOP,
    n_mels: int = 26, htk: bool = False, warp: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """Mel-frequency cepstral coefficients: the cosine transform of the logarithmic spectrum.

    ``c_k = sqrt(2 / m) sum_j s_j cos(pi k (j + 1/2) / m)`` over the bands j, and ``c_0`` divided by
    the root of two (Davis and Mermelstein, 1980). Low k say how the spectrum is shaped, which is
    the vocal tract; high k hold the harmonics of the pitch, and are left out.

    Parameters
    ----------
    signal : array-like of float, shape (n,)
    rate : int
    n_mfcc : int
        Coefficients to keep.
    size, hop, n_mels, htk, warp
        As for :func:`log_mel`.

    Returns
    -------
    numpy.ndarray of float, shape (t, n_mfcc)

    Raises
    ------
    ValueError
        As :func:`log_mel`, or if there are fewer bands than coefficients.

    Examples
    --------
    >>> mfcc(np.random.default_rng(0).standard_normal(8000), 8000).shape
    (97, 13)
    """
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(f"n_mfcc is {n_mfcc}; give 1 to n_mels, which is {n_mels}")
    bands = log_mel(signal, rate, size, hop, n_mels, htk, warp)
    return dct(bands, axis=1, norm="ortho")[:, :n_mfcc]


def delta(x: ArrayLike, reach: int = 2) -> np.ndarray:
    """Slope of each feature over time: ``sum_n n (x_{t+n} - x_{t-n}) / (2 sum_n n^2)``.

    Parameters
    ----------
    x : array-like of float, shape (t, d)
        The first and the last frame stand for those before and after.
    reach : int
        Frames to each side.

    Returns
    -------
    numpy.ndarray of float, shape (t, d)

    Examples
    --------
    >>> delta(np.arange(6.0)[:, None])[2:4].ravel().tolist()
    [1.0, 1.0]
    """
    if reach < 1:
        raise ValueError(f"reach is {reach}; give at least 1 frame")
    x = np.asarray(x, dtype=float)
    padded, t = np.pad(x, ((reach, reach), (0, 0)), mode="edge"), len(x)
    steps = range(1, reach + 1)
    ahead = sum(n * (padded[reach + n :][:t] - padded[reach - n :][:t]) for n in steps)
    return ahead / (2 * sum(n * n for n in steps))


def features(
    signal: ArrayLike, rate: int, center: bool = False, warp: float = 1.0, n_mfcc: int = 13
) -> np.ndarray:
    """What the recognizers of the book see: coefficients and their slopes.

    Parameters
    ----------
    signal : array-like of float, shape (n,)
    rate : int
    center : bool
        Subtract the mean of each coefficient over the utterance: a microphone or line multiplies
        the spectrum, so it adds a constant to its logarithm, and this takes it off.
    warp : float
        As for :func:`mel_filters`.
    n_mfcc : int

    Returns
    -------
    numpy.ndarray of float32, shape (t, 2 * n_mfcc)
        Divided by 10, so that they are of the order of one.

    Examples
    --------
    >>> x = features(np.random.default_rng(0).standard_normal(8000), 8000, center=True)
    >>> x.shape, bool(np.abs(x[:, :13].mean(0)).max() < 1e-5)
    ((97, 26), True)
    """
    c = mfcc(signal, rate, n_mfcc, warp=warp)
    if center:
        c = c - c.mean(0)
    return (np.concatenate([c, delta(c)], axis=1) / 10).astype(np.float32)


def speech_part(signal: ArrayLike, rate: int, above: float = 15.0) -> slice:
    """The frames from the first to the last that is louder than the quietest by some decibels.

    Parameters
    ----------
    signal : array-like of float, shape (n,)
    rate : int
    above : float
        Decibels above the tenth part of the frames that is quietest.

    Returns
    -------
    slice
        Of the frames of :func:`mfcc`, two more on each side; all, if nothing is louder.

    Examples
    --------
    >>> quiet, loud = 1e-3 * np.ones(2000), np.sin(np.arange(4000))
    >>> speech_part(np.concatenate([quiet, loud, quiet]), 8000)
    slice(20, 77, None)
    """
    if rate <= 0:
        raise ValueError(f"rate is {rate}; give samples a second, a positive number")
    energy = 10 * np.log10(np.mean(frames(signal) ** 2, axis=1) + 1e-10)
    loud = np.flatnonzero(energy > np.quantile(energy, 0.1) + above)
    if not len(loud):
        return slice(0, len(energy))
    return slice(max(0, int(loud[0]) - 2), min(len(energy), int(loud[-1]) + 3))
