"""What a person sees and answers: answers go to standard output; questions, troubles and progress to standard error."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from sync.admin import render
from sync.admin.render import Column
from sync.admin.shell import Shell
from sync.errors import BadCommand, NeedsPerson

Told = Callable[[float | None, str], None]


class Screen:
    """The streams of a shell. On a terminal tables have its width; elsewhere they are whole, and nothing moves."""

    def __init__(self, shell: Shell, json: bool = False) -> None:
        self._shell = shell
        self._json = json
        self._terminal = shell.stdout.isatty()
        self._width = shell.width() if self._terminal else render.UNCUT

    @property
    def json(self) -> bool:
        """Whether the answers themselves are wanted."""
        return self._json

    def show(self, answer: Any, *texts: str) -> None:
        """The answer as it is where JSON is wanted, else as text for a person: paragraphs."""
        if self._json:
            self._write(render.as_json(answer))
        else:
            self._write("\n\n".join(text for text in texts if text))

    def raw(self, pieces: Iterable[bytes]) -> None:
        """A file: byte for byte where it is piped, and on a terminal without what would steer it."""
        out = self._shell.stdout
        if self._terminal:
            for text in codecs.iterdecode(pieces, "utf-8", "replace"):
                out.write(render.clean_lines(text))
            return
        out.flush()
        for piece in pieces:
            out.buffer.write(piece)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[object]], empty: str) -> str:
        """A table, or the sentence for an empty one."""
        return render.table(columns, rows, self._width, self._shell.bold()) if rows else empty

    def facts(self, pairs: Sequence[tuple[str, object]]) -> str:
        """A line for each thing that has a value."""
        return render.facts(pairs, self._width)

    def tell(self, sentence: str) -> None:
        """A sentence beside the answer."""
        self._shell.stderr.write(render.clean_lines(sentence) + "\n")
        self._shell.stderr.flush()

    def trouble(self, error: NeedsPerson) -> None:
        """What went wrong, and what to do."""
        self.tell(f"{error.sentence}\n{error.remedy}" if error.remedy else error.sentence)

    def ask(self, sentence: str, yes: bool) -> bool:
        """Whether to go on. Raises BadCommand where nobody is there to answer and `yes` was not said before."""
        if yes:
            return True
        if not self._shell.stdin.isatty():
            raise BadCommand(f"{sentence} Nobody is there to be asked.", "Say --yes where that is wanted.")
        self._shell.stderr.write(f"{render.clean_lines(sentence)} Go on? [y/N] ")
        self._shell.stderr.flush()
        if self._shell.stdin.readline().strip().lower() in ("y", "yes"):
            return True
        self.tell("Nothing was done.")
        return False

    @contextmanager
    def progress(self, title: str) -> Iterator[Told]:
        """A bar on a terminal, gone at the end; elsewhere nothing. It is told a share of 1, or None, and some words."""
        if not self._shell.stderr.isatty():
            yield lambda _share, _words: None
            return
        console = Console(
            file=self._shell.stderr, width=self._shell.width(), force_terminal=True, color_system=None, highlight=False
        )
        parts = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        with Progress(*parts, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
            task = bar.add_task(Text(title).plain, total=None)
            yield lambda share, words: _moved(bar, task, share, words)

    def _write(self, text: str) -> None:
        if text:
            self._shell.stdout.write(text + "\n")


def _moved(bar: Progress, task: TaskID, share: float | None, words: str) -> None:
    bar.update(task, description=render.clean(words), total=None if share is None else 1.0, completed=share or 0.0)
