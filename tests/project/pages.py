"""Reads the project's pages: links, headings, code and commands. Judges nothing."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import PROJECT

SHELL = ("", "bash")  # languages of fences that a reader pastes into a terminal


@dataclass(frozen=True)
class Fence:
    """A block of code on a page."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @cached_property
    def tokens(self) -> list[Token]:
        blocks = MarkdownIt("commonmark").enable("table").parse(self.path.read_text())
        return [token for block in blocks for token in (block, *(block.children or []))]

    @property
    def fences(self) -> list[Fence]:
        return [Fence(token.info.strip(), token.content) for token in self.tokens if token.type == "fence"]

    @property
    def links(self) -> list[str]:
        attributes = [token.attrGet("href") or token.attrGet("src") for token in self.tokens]
        return [str(target) for target in attributes if target]

    @property
    def inline_code(self) -> list[str]:
        return [token.content for token in self.tokens if token.type == "code_inline"]

    @property
    def anchors(self) -> set[str]:
        """Headings as GitHub links to them."""
        titles = [after.content for token, after in zip(self.tokens, self.tokens[1:], strict=False) if _heading(token)]
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}

    @property
    def commands(self) -> list[list[str]]:
        """Every command of the blocks for a terminal, in words."""
        texts = [fence.text for fence in self.fences if fence.language in SHELL]
        return [words for text in texts for words in _command_lines(text)]

    @property
    def inline_commands(self) -> list[list[str]]:
        """Inline code that may be a command, in words."""
        return [words for code in self.inline_code if " " in code for words in _command_lines(code)]


def pages() -> list[Page]:
    """The README, and every page of `infra/docs` and `infra/adr`."""
    folders = (PROJECT / "infra" / "docs", PROJECT / "infra" / "adr")
    return [Page(PROJECT / "README.md"), *(Page(path) for each in folders for path in sorted(each.glob("*.md")))]


def _heading(token: Token) -> bool:
    return token.type == "heading_open"


def _command_lines(text: str) -> Iterator[list[str]]:
    """The words of each command, without the variables that are set before it."""
    command = ""
    for line in text.splitlines():
        command += f"{line}\n"
        if line.endswith("\\"):
            command = command.removesuffix("\\\n")
            continue
        try:
            words = shlex.split(command, comments=True)
        except ValueError:  # a quotation goes on in the next line
            continue
        command = ""
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0], re.DOTALL):
            words = words[1:]
        if words:
            yield words
