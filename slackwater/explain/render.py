"""A story as lines for a person at a terminal: numbered steps, one line each, their ids below. Pure.

Times are UTC, to the second. What is missing stands before the steps: it is what one looks for at night.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

from rich.text import Text

from slackwater.explain.model import Chapter, Mark, Step, Story, Value

_WORDS = {
    Mark.DONE: ("ok", "green"),
    Mark.WAITING: ("waits", "yellow"),
    Mark.FAILED: ("STOP", "bold red"),
    Mark.UNKNOWN: ("?", "magenta"),
}
_INDENT = 10
_NO_TIME = "-" * 19


def render(story: Story, *, is_all: bool = False) -> Iterator[Text]:
    """Yield a story's lines.

    Args:
        story: The story.
        is_all: Every chapter instead of the first.
    """
    yield Text(f"{story.subject}", style="bold")
    yield Text(story.answer)
    for sentence in story.missing:
        yield Text(f"missing: {sentence}", style="yellow")
    for sentence in story.notes:
        yield Text(f"note: {sentence}", style="magenta")
    for chapter in story.chapters if is_all else story.chapters[:1]:
        yield Text("")
        yield from _chapter(chapter)
    hidden = len(story.chapters) - 1
    if hidden and not is_all:
        yield Text("")
        yield Text(f"{hidden} more: --all shows {'it' if hidden == 1 else 'them'}.", style="dim")


def _chapter(chapter: Chapter) -> Iterator[Text]:
    yield Text(chapter.title, style="bold")
    for number, step in enumerate(chapter.steps, start=1):
        yield _headline(number, step)
        yield _below(f"{step.id}  " if step.id else "", step.where)
        if step.detail:
            yield _below("", "; ".join(f"{name} {_shown(value)}" for name, value in step.detail))


def _headline(number: int, step: Step) -> Text:
    word, style = _WORDS[step.mark]
    at = f"{step.at:%Y-%m-%d %H:%M:%S}" if step.at is not None else _NO_TIME
    line = Text(f"{number:>3} ")
    line.append(f"{word:<6}", style=style)
    line.append(f"{at}  ", style="" if step.at else "dim")
    line.append(f"{step.kind.value:<12}", style="bold")
    line.append(step.what)
    return line


def _below(first: str, rest: str) -> Text:
    line = Text(" " * _INDENT)
    line.append(first, style="cyan")
    line.append(rest, style="dim")
    return line


def _shown(value: Value) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    return str(value) if isinstance(value, date | str) or value is None else f"{value:,}"
