"""The server's routes, those of OpenAI's API that a chat model needs."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside one.

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from .desk import Desk, attended
from .guard import body_of
from .limits import Refusal
from .requests import ChatRequest, read_request

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response


_ROUTES = (
    "this server has no such route; it answers /v1/chat/completions, /v1/models, /health and "
    "/metrics"
)
_RESPONSES = (
    "this server answers /v1/chat/completions, not /v1/responses; ask there (ChatOpenAI: "
    "use_responses_api=False)"
)


def build_app(desk: Desk) -> Any:
    """The FastAPI application: /v1/chat/completions, /v1/models, /health, /metrics, /openapi.json.

    Everything that goes wrong is answered as OpenAI's API does it.
    """
    from fastapi import FastAPI

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await desk.rehearsal.start()
        yield
        await desk.rehearsal.stop()

    app = FastAPI(title="understudy", docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_refusals(app)
    _add_chat(app, desk)
    _add_facts(app, desk)
    return app


def _add_refusals(app: "FastAPI") -> None:
    from fastapi import Request
    from fastapi.responses import JSONResponse, Response
    from starlette.exceptions import HTTPException

    def refused(refusal: Refusal) -> Response:
        return JSONResponse(refusal.body, refusal.status, refusal.headers)

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return refused(error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        told = _ROUTES if error.status_code == 404 else str(error.detail)
        return refused(Refusal(error.status_code, told))

    async def on_fault(request: Request, error: Exception) -> Response:
        return refused(Refusal(500, "the server failed; its log says why"))

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_fault)


def _add_chat(app: "FastAPI", desk: Desk) -> None:
    from fastapi import Request
    from fastapi.responses import JSONResponse, Response

    body = {"content": {"application/json": {"schema": ChatRequest.model_json_schema()}}}

    @app.post("/v1/chat/completions", openapi_extra={"requestBody": body})
    async def chat_completions(request: Request) -> Response:
        raw = await body_of(request.scope, request.receive, desk.limits)
        asked = read_request(raw, desk.limits)
        desk.student(asked.model)
        if not asked.stream:
            return JSONResponse(await attended(request.receive, desk.answer(asked)))
        return await _streamed(desk, asked, request)

    @app.post("/v1/responses", include_in_schema=False)
    async def responses() -> Response:
        raise Refusal(404, _RESPONSES, code="unsupported_route")


def _add_facts(app: "FastAPI", desk: Desk) -> None:
    from fastapi.responses import Response

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(desk, name) for name in desk.students]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        return _model(desk, name)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _streamed(desk: Desk, asked: ChatRequest, request: Any) -> "Response":
    """A stream, once there is a first event: until then the status can be an error's."""
    from fastapi.responses import StreamingResponse

    events = desk.stream(asked)

    async def first_event() -> bytes:
        return await anext(events)

    first = await attended(request.receive, first_event())

    async def all_events() -> AsyncIterator[bytes]:
        async with contextlib.aclosing(events):
            yield first
            async for one in events:
                yield one

    return StreamingResponse(all_events(), media_type="text/event-stream")


def _model(desk: Desk, name: str) -> dict[str, Any]:
    """What a client may want to know of a model; what it has learnt is beside OpenAI's fields."""
    student = desk.student(name)
    about: dict[str, Any] = {"max_model_len": student.engine.context}
    if student.card is not None:
        about |= {"task": student.card.task, "target": student.card.target}
    return {"id": name, "object": "model", "created": 0, "owned_by": "understudy", **about}
