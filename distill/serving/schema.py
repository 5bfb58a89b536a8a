"""Whether a schema from outside may reach the student: measured, then compiled in another process.

Neither Python nor a thread can stop a compiler. A few hundred bytes keep llguidance busy for
minutes (twenty patterns on one string), so a schema nobody has seen is first compiled where it can
be killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from .limits import Limits, Refusal, ServeError

_REMEMBERED = 4096
_SECOND_CHANCE = 60.0  # seconds until a schema that took too long is tried again
_START = 120.0  # seconds that the other process has to load a tokenizer on a busy machine


def check_schema(schema: Mapping[str, Any], limits: Limits, *, where: str) -> str:
    """The schema as text. Raises Refusal where it is too large, too deep, or unfolds too far."""
    try:
        text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (ValueError, RecursionError):
        raise Refusal(400, f"{where}: this schema is no JSON", param=where) from None
    if len(text) > limits.schema:
        raise _refused(where, f"it has {len(text)} characters; at most {limits.schema}")
    try:
        deep, nodes = _Unfolded(schema, limits).size(schema)
    except RecursionError:
        deep, nodes = limits.schema_depth + 1, 0
    if deep > limits.schema_depth:
        raise _refused(where, f"it is more than {limits.schema_depth} levels deep")
    if nodes > limits.schema_nodes:
        raise _refused(where, f"with its references it has more than {limits.schema_nodes} parts")
    return text


class Rehearsal:
    """The process in which schemas are compiled first, one after the other.

    `tokenizers` are those of the students, by the names they are served under.
    """

    def __init__(self, tokenizers: Mapping[str, Any], limits: Limits) -> None:
        self._limits = limits
        self._setup = json.dumps(
            {
                "memory": limits.compile_memory,
                "tokenizers": {
                    name: {"json": one.backend_tokenizer.to_str(), "end": one.eos_token_id}
                    for name, one in tokenizers.items()
                },
            }
        )
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._known: OrderedDict[tuple[str, bytes], asyncio.Task[str | None]] = OrderedDict()

    async def start(self) -> None:
        """Start the process, if it does not run. Raises ServeError where it does not start."""
        if self._process is not None and self._process.returncode is None:
            return
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "understudy.distill.serving.rehearsal"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=2**20,
        )
        try:
            ready = await asyncio.wait_for(self._say(self._setup), _START)
        except TimeoutError:
            ready = ""
        if not ready:
            await self.stop()
            raise ServeError("the process that compiles schemas first does not start")

    async def stop(self) -> None:
        """Kill the process."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def check(
        self, student: str, schema: Mapping[str, Any], *, where: str = "response_format"
    ) -> None:
        """Raise Refusal where the student could not be held to the schema, or not soon enough."""
        text = check_schema(schema, self._limits, where=where)
        key = (student, hashlib.sha256(text.encode()).digest())  # thousands of texts are too much
        if key not in self._known:
            self._known[key] = asyncio.create_task(self._compiled(key, text))
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        task = self._known[key]
        try:
            reason = await asyncio.shield(task)  # others may wait for the same
        except Exception:
            self._known.pop(key, None)
            raise
        if reason is not None:
            raise _refused(where, reason)

    async def _compiled(self, key: tuple[str, bytes], text: str) -> str | None:
        """Why the schema is refused; None where it is not."""
        async with self._lock:
            try:
                await self.start()
                asked = json.dumps({"student": key[0], "schema": text})
                answer = await asyncio.wait_for(self._say(asked), self._limits.compile_seconds)
            except TimeoutError:
                answer = ""
            except ServeError as error:
                answer = json.dumps({"refused": str(error)})
                self._forget_later(key)
            if answer:
                reason: str | None = json.loads(answer)["refused"]
                return reason
            await self.stop()
        self._forget_later(key)
        seconds = f"{self._limits.compile_seconds:g} seconds"
        return f"to compile it takes more than {seconds} or too much memory"

    def _forget_later(self, key: tuple[str, bytes]) -> None:
        """The machine may have been busy: a schema like any other gets a second chance."""
        asyncio.get_running_loop().call_later(_SECOND_CHANCE, self._known.pop, key, None)

    async def _say(self, line: str) -> str:
        """Send a line, get a line; an empty one where the process has died."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            await process.stdin.drain()
            return (await process.stdout.readline()).decode()
        except (ConnectionError, ValueError):
            return ""


class _Unfolded:
    """How large a schema is with every reference filled in, without filling them in."""

    def __init__(self, root: Mapping[str, Any], limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._sizes: dict[str, tuple[int, int]] = {}

    def size(self, node: Any) -> tuple[int, int]:
        """Depth and parts of what is below `node`; a reference into itself counts once."""
        if isinstance(node, Mapping):
            inner: Sequence[Any] = [
                value for key, value in node.items() if key not in ("$defs", "definitions")
            ]
        elif isinstance(node, list):
            inner = node
        else:
            return 0, 1
        sizes = [self.size(one) for one in inner]
        if isinstance(node, Mapping) and isinstance(node.get("$ref"), str):
            sizes.append(self._referred(node["$ref"]))
        most = self._limits.schema_nodes + 1
        deep = 1 + max((depth for depth, _ in sizes), default=0)
        return deep, min(most, 1 + sum(parts for _, parts in sizes))

    def _referred(self, reference: str) -> tuple[int, int]:
        if reference not in self._sizes:
            self._sizes[reference] = (0, 1)
            self._sizes[reference] = self.size(self._target(reference))
        return self._sizes[reference]

    def _target(self, reference: str) -> Any:
        node: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if key and isinstance(node, Mapping) else node
        return node


def _refused(where: str, reason: str) -> Refusal:
    return Refusal(
        400, f"{where}: this schema is refused: {reason}", code="invalid_schema", param=where
    )
