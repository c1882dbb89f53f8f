"""Numbers as people read them: no more digits than the interval supports."""

from __future__ import annotations

import math

from ulterior.report.model import Interval, Unit

MINUS = "\u2212"


def decimals(interval: Interval, scale: float = 1.0, least: int = 0, most: int = 4) -> int:
    """How many decimals an interval supports: its half-width keeps one significant digit.

    ``.931 [.912, .950]`` has a half-width of .019 and is written with two decimals. Without an interval the
    answer is ``least``.
    """
    half = _half_width(interval) * scale
    if not 0 < half < math.inf:
        return least
    # The small term keeps a half-width of exactly .01, which floats write as .00999..., at two decimals.
    return min(max(math.ceil(-math.log10(half) - 1e-6), least), most)


def plain(value: float, digits: int) -> str:
    """A number with a true minus, thousands grouped, and no zero before the point: ``.93``, ``1.00``."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("\u221e" if value > 0 else MINUS + "\u221e")
    text = f"{abs(value):,.{digits}f}"
    negative = value < 0 and any(c in "123456789" for c in text)
    return (MINUS if negative else "") + (text[1:] if text.startswith("0.") else text)


def p_value(p: float) -> str:
    """``.032``, ``.0004``, ``3e-7``: at most two significant digits, one when tiny; never zero."""
    if not math.isfinite(p):
        return "not a number"
    if p <= 0:
        return "< 1e\u2212300"
    if p < 1e-4:
        return f"{p:.0e}".replace("e-0", "e-").replace("-", MINUS)
    if p > 0.995:
        return "1"
    return plain(p, max(1 - math.floor(math.log10(p)), 2)).rstrip("0")


def written(interval: Interval, unit: Unit, signed: bool = False) -> tuple[str, str]:
    """The value and its interval as two strings: ``(".93", "[.91, .95]")``; the second may be empty.

    An undefined value gives ``("undefined", "")``.
    """
    value = interval.value
    if value is None or math.isnan(value):
        return "undefined", ""
    if unit == "p":
        return p_value(value), ""
    scale = 100.0 if unit == "rate" else 1.0
    if unit == "rate":
        digits = decimals(interval, scale, most=2) if interval.low is not None else int(abs(value) < 0.1)
        if abs(value) < 0.1 and _half_width(interval) < 0.02:
            digits = max(digits, 1)  # small rates live on their first decimal: 1.2% and 0.8% differ
    elif unit == "auroc":
        digits = decimals(interval, least=2)
    else:
        digits = decimals(interval) if interval.low is not None else _few(value)

    def one(x: float) -> str:
        text = plain(x * scale, digits)
        return "0" + text if unit == "rate" and text.startswith(".") else text

    text = one(value) + ("%" if unit == "rate" else "")
    if signed and value > 0:
        text = "+" + text
    if interval.low is None or interval.high is None:
        return text, ""
    return text, f"[{one(interval.low)}, {one(interval.high)}]"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _half_width(interval: Interval) -> float:
    """Infinite where there is no interval."""
    return (
        math.inf if interval.low is None or interval.high is None else abs(interval.high - interval.low) / 2
    )


def _few(value: float) -> int:
    """Decimals for a bare number: three significant digits, none beyond a hundred."""
    return 0 if value == 0 or float(value).is_integer() else max(0, 2 - math.floor(math.log10(abs(value))))
