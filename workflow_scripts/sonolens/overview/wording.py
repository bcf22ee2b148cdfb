"""Numbers of a terminal's lines: spans of time, times of day, sizes."""

import time


def size(n_bytes: float) -> str:
    """A number of bytes in three digits: "1.23 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def age(seconds: float) -> str:
    """A span of time in its largest unit: "40 s", "12 min", "3 h", "5 days"."""
    for unit, length_s, limit_s in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < limit_s:
            return f"{max(seconds, 0) / length_s:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def clock(since: float) -> str:
    """A time of day, or the date too if it is not today's."""
    then = time.localtime(since)
    is_today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", then)
