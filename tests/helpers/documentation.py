"""Run the code blocks of a page of the documentation from top to bottom.

A page has one working directory and one Python namespace. What is done with a
block depends on its language:

python          run; with a file name as its title, written to that file
bash            each line is a command of `COMMANDS`; `# exit code 1` behind it
                is what it must return
text            compared with what the block before it printed, `...` being any
                text; unless its title is "Counted", figures and the names
                of digits may differ
json, yaml      parsed

A title that starts with "Not run" gives the reason why a block is only
parsed. The site shows neither that title nor "Counted".
"""

import ast
import atexit
import contextlib
import doctest
import functools
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
}
BLOCK = re.compile(
    r'^```(\w+)(?: title="([^"\n]*)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE
)
FENCES = re.compile(r"^ *```", re.MULTILINE)
CONTINUES = re.compile(
    r"\bThis\s+page\s+continues\b.*?\]\((.+?\.md)\)", re.DOTALL
)
FIGURES = re.compile(
    r"\b(zero|one|two|three|four|five|six|seven|eight|nine)\b"
    r"|(?<=Coverage).*|(?<=Probes).*|█+"
    r"|\d[\d.,]*(e[-+]\d+)?( ?([kM]?B|dB|%|m?s)\b)?%?"
)
TABLES = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class Block:
    """A code block.

    Args:
        language: its first word.
        title: what is shown above it; empty if there is none.
        text: its code.
        line: the number of its first line.
    """

    language: str
    title: str
    text: str
    line: int

    @property
    def is_run(self) -> bool:
        return not self.title.startswith("Not run")


def blocks(page):
    """Return the code blocks of a page."""
    text = PAGES[page].read_text(encoding="utf-8")
    found = [
        Block(
            match[1],
            match[2] or "",
            match[3],
            text[: match.start()].count("\n") + 2,
        )
        for match in BLOCK.finditer(text)
    ]
    assert 2 * len(found) == len(FENCES.findall(text)), (
        f"{page} has a code block without a language, or indented"
    )
    return found


def continued(page):
    """Return the page whose folder a page continues to use, or None."""
    found = CONTINUES.search(PAGES[page].read_text(encoding="utf-8"))
    if not found:
        return None
    path = (PAGES[page].parent / found[1]).resolve()
    return path.relative_to(ROOT).as_posix()


class Session:
    """The state of a page's blocks: folder, namespace and what was shown.

    Args:
        page: its path in the repository.
        replacements: what is replaced in its Python blocks, by what.
        in_process: whether `keras-inception` runs in this process, which has
            imported TensorFlow, and not in one whose memory is measured.
    """

    def __init__(self, page, replacements=None, in_process=True):
        self.page, self.replacements = page, replacements or {}
        self.in_process, self.peak = in_process, 0
        self.after = lambda block: None
        self.folder = Path(tempfile.mkdtemp(prefix="page"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.namespace = {"__name__": "__main__"}
        self.shown = ""
        self.servers = []

    def run(self):
        """Run every block; an error names its line."""
        keras.utils.clear_session()  # names of layers count from the start
        before = continued(self.page)
        if before:
            shutil.copytree(
                finished(before).folder, self.folder, dirs_exist_ok=True
            )
        try:
            with contextlib.chdir(self.folder):
                for block in blocks(self.page):
                    self._run(block)
        finally:
            for server in self.servers:
                server.terminate()
                server.wait()
        return self

    def _run(self, block):
        place = f"{self.page}, line {block.line}"
        run = getattr(self, f"{block.language}_", None)
        assert run, f"{place}: nothing is known about {block.language} blocks"
        if not block.is_run:
            parse(block)
            return
        try:
            run(block)
            self.after(block)
        except BaseException as error:
            error.add_note(place)
            raise

    def python_(self, block):
        text = block.text
        for old, new in self.replacements.items():
            text = text.replace(old, new)
        if block.title:
            Path(block.title).write_text(text)
            return
        self.shown = captured(
            lambda: exec(
                compile("\n" * (block.line - 1) + text, self.page, "exec"),
                self.namespace,
            )
        )

    def bash_(self, block):
        self.shown = ""
        lines = block.text.replace("\\\n", " ").splitlines()
        for line in filter(str.strip, lines):
            expected = re.search(r"# exit code (\d+)$", line)
            words = shlex.split(line, comments=True)
            if not words:
                continue
            assert words[0] in COMMANDS, f"no test runs {words[0]}"
            code, shown = COMMANDS[words[0]](self, words)
            self.shown += shown
            assert code == int(expected[1] if expected else 0), shown

    def text_(self, block):
        """Compare; with `UPDATE_DOCS=1`, write what was shown instead."""
        if os.environ.get("UPDATE_DOCS"):
            path = PAGES[self.page]
            text = path.read_text(encoding="utf-8")
            shown = self.shown.rstrip() + "\n"
            path.write_text(text.replace(block.text, shown), encoding="utf-8")
            return
        pair = (block.text, self.shown)
        if block.title != "Counted":
            pair = tuple(FIGURES.sub("#", text) for text in pair)
        same = doctest.OutputChecker().check_output(*pair, TABLES)
        assert same, f"expected:\n{block.text}\nshown:\n{self.shown}"

    def json_(self, block):
        json.loads(block.text)

    def yaml_(self, block):
        yaml.safe_load(block.text)

    def cpp_(self, block):
        raise AssertionError("C++ needs a title that says why it is not run")

    javascript_ = html_ = cpp_


def parse(block):
    """Check a block that cannot run here."""
    if block.language == "python":
        ast.parse(block.text)
    elif block.language == "bash":
        done = subprocess.run(
            ["bash", "-n"], input=block.text, text=True, capture_output=True
        )
        assert not done.returncode and not done.stderr, done.stderr
    else:
        assert block.text.strip()


def captured(function):
    """Return what a call prints."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        function()
    return shown.getvalue()


def keras_inception(session, words):
    """Run the command; what it prints may go to a file behind `>`."""
    if not session.in_process:
        return follow(session, words)
    from keras_inception_export.cli import main

    *words, output = words if ">" in words else [*words, None]
    words = [word for word in words if word != ">"]
    stdout = io.StringIO()
    with tempfile.TemporaryFile("w+") as stderr, descriptor_2(stderr):
        with contextlib.redirect_stdout(stdout):
            try:
                code = main(words[1:])
            except SystemExit as end:
                code = end.code
        stderr.seek(0)
        shown = stderr.read()
    if output:
        Path(output).write_text(stdout.getvalue())
    else:
        shown += stdout.getvalue()
    return code or 0, shown


@contextlib.contextmanager
def descriptor_2(file):
    """Let a file receive what this process and libraries in C++ complain of."""
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        with contextlib.redirect_stderr(file):
            yield
            file.flush()
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def follow(session, words):
    """Run the command in a process; measure the peak of its largest one.

    Its own usage record would start with the memory of this one.
    """
    command = [sys.executable, "-m", "keras_inception_export", *words[1:]]
    with Path("shown.txt").open("w+") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        while process.poll() is None:
            for status in statuses(process.pid):
                for kilobytes in re.findall(r"VmHWM:\s+(\d+) kB", status):
                    session.peak = max(session.peak, int(kilobytes) * 1024)
            time.sleep(0.05)
    return process.returncode, Path("shown.txt").read_text()


def statuses(pid):
    """Yield what the system says of a process and of its children."""
    with contextlib.suppress(OSError):  # one that has just ended
        folder = Path(f"/proc/{pid}")
        yield (folder / "status").read_text()
        for children in folder.glob("task/*/children"):
            for child in children.read_text().split():
                yield from statuses(child)


def make(session, words):
    """See that a target exists: what it runs is what runs this."""
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT)
    return done.returncode, ""


def python(session, words):
    """Run a program in this process, or in another one behind `&`."""
    if words[-1] != "&":
        before, sys.argv = sys.argv, words[1:]
        try:
            return 0, captured(
                lambda: runpy.run_path(words[1], None, "__main__")
            )
        finally:
            sys.argv = before
    with open("server.log", "w") as log:
        command = [sys.executable, "-u", *words[1:-1]]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    session.servers.append(server)
    until = time.monotonic() + 60
    while not Path("server.log").read_text() and time.monotonic() < until:
        assert session.servers[-1].poll() is None, Path(
            "server.log"
        ).read_text()
        time.sleep(0.05)
    return 0, Path("server.log").read_text()


def program(session, words):
    """Run any other program."""
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment
    )
    return done.returncode, done.stderr + done.stdout


COMMANDS = {
    "keras-inception": keras_inception,
    "make": make,
    "python": python,
    "sha256sum": program,
    "ls": program,
    "cat": program,
}


@functools.cache
def finished(page):
    """Return the session of a page all of whose blocks have run."""
    return Session(page).run()
