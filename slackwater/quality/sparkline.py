"""A check's trend as a small inline picture (SVG): no script, no other file. Pure."""

from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup

from slackwater.quality.history import ABSENT, Point
from slackwater.quality.results import Outcome

WIDTH, HEIGHT, MARGIN = 180, 32, 4
RADIUS, LOUD_RADIUS = "2.5", "3.5"


def sparkline(points: Sequence[Point]) -> Markup:
    """Return one picture: a dot per scan in the colour of its tone, a line through the measured numbers.

    Args:
        points: Oldest first; a scan without the check leaves a gap, one without a number a dot on the ground.
    """
    values = [point.value for point in points if point.value is not None]
    low, high = (min(values), max(values)) if values else (Decimal(0), Decimal(0))
    places = [(_x(index, len(points)), _y(point.value, low, high), point) for index, point in enumerate(points)]
    line = "".join(
        f"{'L' if index and points[index - 1].value is not None else 'M'}{x} {y}"
        for index, (x, y, point) in enumerate(places)
        if point.value is not None
    )
    dots = Markup().join(
        Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(
            point.tone, x, y, RADIUS if point.tone == Outcome.PASSED else LOUD_RADIUS
        )
        for x, y, point in places
        if point.tone != ABSENT
    )
    words = f"{len(values)} numbers between {low:f} and {high:f}" if values else "no numbers"
    return Markup('<svg class="trend" viewBox="0 0 {} {}" role="img" aria-label="{}"><path d="{}"/>{}</svg>').format(
        WIDTH, HEIGHT, words, line, dots
    )


def _x(index: int, count: int) -> str:
    """Place the newest at the right edge, whatever the number of scans."""
    step = Decimal(WIDTH - 2 * MARGIN) / max(count - 1, 1)
    return f"{WIDTH - MARGIN - step * (count - 1 - index):.1f}"


def _y(value: Decimal | None, low: Decimal, high: Decimal) -> str:
    if value is None or high == low:
        return f"{HEIGHT - MARGIN if value is None else HEIGHT / 2:.1f}"
    share = (value - low) / (high - low)
    return f"{HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN):.1f}"
