"""Medians, spreads and ratios of samples. Nothing here reads a clock or a file."""

import statistics


def values(samples, peer, column, field="rate"):
    """The values of a cell by round, without the rounds that failed."""
    return {
        sample["round"]: sample[field]
        for sample in samples
        if sample["peer"] == peer and sample["column"] == column and sample.get(field) is not None
    }


def median(by_round):
    return statistics.median(by_round.values()) if by_round else None


def ratio(above, below):
    """The ratio of two medians, with the least and the greatest of the rounds that both have:
    (ratio, least, greatest), or None where one has nothing."""
    if not above or not below or not median(below):
        return None
    common = [above[at] / below[at] for at in above if below.get(at)]
    spread = (min(common), max(common)) if common else (None, None)
    return (median(above) / median(below), *spread)


def reason(samples, peer, column):
    """Why a cell is empty: what was said last."""
    said = [s["error"] for s in samples if s["peer"] == peer and s["column"] == column and "error" in s]
    return said[-1] if said else None


def short(value, unit=""):
    """A number for people: three digits and a prefix."""
    if value is None:
        return "-"
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{prefix}{unit}" if value < 1000 * size else f"{value / size:.0f}{prefix}{unit}"
    return f"{value:.3g}{unit}"
