"""Tables in Markdown. No value that comes from outside can break one."""

from collections.abc import Iterable, Sequence
from datetime import datetime


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of values."""
    return escaped_table(head, ([cell(value) for value in row] for row in rows))


def escaped_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are escaped already."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def cell(value: object) -> str:
    """A value on one line, without markup."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"  # all of them are UTC
    text = " ".join(str(value).split())
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        text = text.replace(plain, safe)
    return text
