"""Somebody who follows a page in a folder of their own, and the teacher that answers them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.page_samples import ROOT, steps
from understudy.chains.offline import NewsTeacher, RuleTeacher
from understudy.distill.cli import main

# Words of a page: what stands for them here.
SUBSTITUTED = {
    "Qwen/Qwen3-0.6B": "embedded",  # of the hub
    "anthropic:claude-haiku-4-5": "openai:claude-haiku-4-5",  # the same loopback teacher
    "https://api.groq.com/openai/v1": "TEACHER",
    "--rpm 30": "--rpm 3000",  # one in two seconds
    "watch tickets": "watch tickets --once",  # else it waits for an alarm
}

OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # of the `make test` around: a reader has none


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def begins(line: str, table: Iterable[str]) -> str | None:
    """The longest entry that the line begins with."""
    found = [start for start in table if f"{line} ".startswith(f"{start} ")]
    return max(found, key=len, default=None)


class Teacher(ThreadingHTTPServer):
    """Speaks chat completions on loopback; the rules of an offline teacher give the answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rules: RuleTeacher = NewsTeacher()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Teacher

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked["model"])
        whole = json.dumps(completion(asked, self.server.rules)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def completion(asked: dict[str, Any], rules: RuleTeacher) -> dict[str, Any]:
    """The rules' answer in the form that was asked for: a tool, a schema, or text."""
    from langchain_core.messages import convert_to_messages

    tools, form = asked.get("tools") or [], asked.get("response_format", {}).get("json_schema")
    if form:
        tools = [{"function": {"name": form["name"], "parameters": form["schema"]}}]
    said = rules.invoke(convert_to_messages(asked["messages"]), tools=tools or None)
    message: dict[str, Any] = {"role": "assistant", "content": said.content}
    if tools:
        text = json.dumps(said.tool_calls[0]["args"], ensure_ascii=False)
        function = {"name": said.tool_calls[0]["name"], "arguments": text}
        message["content"] = text if form else None
        message |= {} if form else {"tool_calls": [{**CALL, "function": function}]}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


CALL = {"id": "call_1", "type": "function"}


@dataclass(frozen=True)
class Ran:
    """A command of a page as it stands there, and how it ended."""

    line: str
    status: int
    out: str
    error: str


class Reader:
    """Somebody who does in one folder what one page says."""

    def __init__(
        self, page: Path, folder: Path, teacher: Teacher, reader_of: Callable[[str], Reader]
    ) -> None:
        self.page, self.folder, self.teacher, self.reader_of = page, folder, teacher, reader_of
        self.home, self.through = folder, False
        self.ran: list[Ran] = []

    def walk(
        self,
        *,
        prepare: Prepare | None,
        before: Mapping[str, Prepare],
        left_out: Mapping[str, str],
    ) -> None:
        """Every step of the page but commands of `left_out` and benchmarks.

        `prepare` makes what the page takes for granted, `before` what it does before the first
        command that begins so.
        """
        if prepare:
            prepare(self)
        for kind, what in steps(self.page):
            if kind != "run":
                (self.folder / kind).write_text(str(what), encoding="utf-8")
                continue
            line = " ".join(what)
            if begins(line, left_out) or "benchmarks." in line:
                continue
            start = begins(line, before)
            if start and not any(begins(ran.line, [start]) for ran in self.ran):
                before[start](self)
            self.ran.append(self.run(list(what)))
        self.through = True

    def run(self, words: list[str]) -> Ran:
        """One command, as the page has it."""
        line = " ".join(words)
        if words[0] == "make":
            words = self._made(words)
        words = [word for word in self._substituted(words) if word]
        if words[:2] == ["python", "-m"]:
            return Ran(line, *module(words[2:]))
        if words[0] == "python":
            return Ran(line, *self._process([sys.executable, *words[1:]]))
        if words[1] == "serve":
            return Ran(line, *self._served(words[1:]))
        return Ran(line, *called(words[1:]))

    def said(self, start: str) -> Ran:
        """The first command that begins so."""
        return next(ran for ran in self.ran if ran.line.startswith(start))

    def _substituted(self, words: list[str]) -> list[str]:
        text = "\0".join(words)
        for old, new in SUBSTITUTED.items():
            new = self.teacher.url if new == "TEACHER" else new
            text = re.sub(
                rf"(?<![^\0]){re.escape(old.replace(' ', chr(0)))}(?![^\0])",
                new.replace(" ", "\0"),
                text,
            )
        return text.split("\0")

    def _made(self, words: list[str]) -> list[str]:
        """What the Makefile makes of it: `understudy` and its arguments."""
        script = self.folder / ".venv" / "bin" / "understudy"
        if not script.exists():
            for name in ("pyproject.toml", "constraints.txt", "scripts/setup.sh", ".venv/ready"):
                (self.folder / name).parent.mkdir(exist_ok=True)
                (self.folder / name).touch()
                os.utime(self.folder / name, (0, 0) if name != ".venv/ready" else None)
            script.parent.mkdir(parents=True)
            shutil.copy(ROOT / "Makefile", self.folder)
            script.write_text(
                "#!/usr/bin/env python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"
            )
            script.chmod(0o755)
        status, out, error = self._process(words)
        assert status == 0, error
        return ["understudy", *json.loads(out)]

    def _process(self, words: list[str]) -> tuple[int, str, str]:
        own = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=own,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    def _served(self, words: list[str]) -> tuple[int, str, str]:
        """Served on a free port until one answer has come; what was said, and the answer."""
        command = [sys.executable, "-m", "understudy.distill.cli", *words, "--port", "0"]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                url = re.findall(r"http://\S+/v1", line)
                answer = ask(url[0], words[1].partition("=")[0]) if url else ""
                process.send_signal(signal.SIGINT)
                return process.wait(30), line + process.stdout.read() + answer, ""
            finally:
                process.kill()


def ask(url: str, model: str) -> str:
    """What OpenAI's own client is told under the address that an app would change."""
    import openai

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", url)
        said = openai.OpenAI(max_retries=0).chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "text: My refund is late. No hurry."}],
        )
    return str(said.choices[0].message.content)


def called(arguments: list[str]) -> tuple[int, str, str]:
    """The command line in this process: status, standard output, standard error."""
    out, error, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["understudy", *arguments])
        patch.setattr(sys, "stdin", io.StringIO("y\n"))  # where it asks, yes
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                main()
            except SystemExit as ended:
                status = int(ended.code or 0)
    return status, out.getvalue(), error.getvalue()


def module(words: list[str]) -> tuple[int, str, str]:
    """`python -m` in this process."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(sys, "argv", words)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    return 0, out.getvalue(), ""


Prepare = Callable[[Reader], None]


def done(*words: str) -> str:
    """A command that no page names here, which must end well."""
    status, out, error = called(list(words))
    assert status == 0, f"{' '.join(words)}: {error}"
    return out


def close_apps() -> None:
    """The apps that were loaded write what waits, and stop."""
    for name, module in list(sys.modules.items()):
        if name == "app" or name.startswith("understudy_task_"):
            close = getattr(getattr(module, "chain", None), "close", None)
            if close:
                close()


@contextlib.contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """In that folder, with none of another's modules: other tests have had folders like it."""
    path, temporary = list(sys.path), str(Path(tempfile.gettempdir()) / "pytest-of-")
    with contextlib.chdir(folder):
        sys.path[:] = [*(one for one in path if not one.startswith(temporary)), str(folder)]
        _forget_modules()
        try:
            yield
        finally:
            close_apps()
            sys.path[:] = path
            _forget_modules()


def _forget_modules() -> None:
    for name in ("app", "task", "tickets"):
        sys.modules.pop(name, None)
