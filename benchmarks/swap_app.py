"""The app that is recorded: a chain with a fake model, and a student in another process."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

os.environ["LANGSMITH_TRACING_V2"] = "false"  # texts stay here, and the figures are without it

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel

from understudy.distill.standin.swap import swap

SLOW = 0.02  # seconds
NEWS = (
    "O preço do pão subiu 3,5 % em maio, disse a ministra em Brasília; o custo médio, de "
    "R$ 1.234,50 por família, preocupa quem vive do salário mínimo. "
    "Dúvidas: ouvidoria@exemplo.gov.br ou (61) 3333-4444. "
)
_NUMBERS = itertools.count()


class Verdict(BaseModel):
    """The answer."""

    reasoning: str
    mood: Literal["calm", "angry"]


class Teacher(BaseChatModel):
    """Answers the same after `delay` seconds."""

    delay: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        if self.delay:
            time.sleep(self.delay)
        return _result()

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        if self.delay:
            await asyncio.sleep(self.delay)
        return _result()


def _result() -> ChatResult:
    usage = {"input_tokens": 700, "output_tokens": 30, "total_tokens": 730}
    said = AIMessage('{"reasoning": "prices rose", "mood": "angry"}', usage_metadata=usage)
    return ChatResult(generations=[ChatGeneration(message=said)])


def chain(delay: float) -> Runnable[Any, Any]:
    """The app."""
    prompt = ChatPromptTemplate.from_messages([("system", "Judge."), ("human", "{text}")])
    return prompt | Teacher(delay=delay) | PydanticOutputParser(pydantic_object=Verdict)


def question() -> dict[str, str]:
    """2,000 characters that nobody has asked before."""
    return {"text": (f"{next(_NUMBERS)}: " + NEWS * 12)[:2000]}


@contextlib.contextmanager
def wrapping(app: Runnable[Any, Any], path: Path, **options: Any) -> Iterator[Any]:
    """The app inside `swap`; closed behind the block."""
    wrapped = swap(app, store=path, **options)
    try:
        yield wrapped
    finally:
        wrapped.close(30)


STUDENT = """
import http.server, json, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        end = time.process_time() + 0.003
        while time.process_time() < end: pass
        body = json.dumps({"reasoning": "prices rose", "mood": "angry"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def student_elsewhere() -> Iterator[Runnable[Any, Any]]:
    """A student in a process of its own, which computes for 3 ms a row; asked over loopback."""
    process = subprocess.Popen([sys.executable, "-c", STUDENT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    held = threading.local()

    def ask(asked: dict[str, str]) -> dict[str, Any]:
        if not hasattr(held, "connection"):
            held.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        held.connection.request("POST", "/", json.dumps(asked).encode())
        answer: dict[str, Any] = json.loads(held.connection.getresponse().read())
        return answer

    try:
        yield RunnableLambda(ask, name="student elsewhere")
    finally:
        process.kill()
        process.wait()
