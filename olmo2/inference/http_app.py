"""The OpenAI-compatible endpoints over one engine, as a FastAPI application."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from olmo2.base.errors import UsageError
from olmo2.base.suggestions import did_you_mean
from olmo2.inference.engine import Engine
from olmo2.inference.engine_worker import BrokenStepError, BusyError, EngineWorker, Job
from olmo2.inference.http_limits import Gate
from olmo2.inference.openai_answers import AnswerWriter, error_object
from olmo2.inference.openai_requests import Body, ChatBody, CompletionBody, Limits
from olmo2.inference.request import Completion, Update
from olmo2.inference.server_metrics import ServerMetrics

PAGE = Path(__file__).with_name("page")
PAGE_FILES = {"chat.js": "text/javascript", "chat.css": "text/css"}
# Nothing from outside is loaded, sent to or shown around the page, whatever a model writes.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SLOW_CLIENT_SECONDS = 30  # to read the rest of what was made in time
CLIENT_IS_GONE = 499  # nobody reads it; it is for the figures


class NoSuchModelError(HTTPException):
    """A model is asked for that is not here."""


class Service:
    """What the endpoints share."""

    def __init__(self, engine: Engine, name: str, limits: Limits) -> None:
        self.engine, self.name, self.limits = engine, name, limits
        self.worker = EngineWorker(engine, most_requests=limits.requests)
        self.metrics = ServerMetrics(self.worker)
        self.created = int(time.time())

    def model_object(self) -> dict[str, Any]:
        """Return the model as /v1/models lists it."""
        context = self.engine.context
        return {
            "id": self.name, "object": "model", "created": self.created, "owned_by": "olmo2", "max_model_len": context
        }  # fmt: skip

    async def answer(self, body: ChatBody | CompletionBody, http: Request) -> Response:
        """Answer a request, whole or as a stream."""
        self.require_model(body.model)
        requests = await asyncio.to_thread(body.requests, self.engine.tokenizer, self.limits, self.engine.longest)
        is_chat = isinstance(body, ChatBody)
        echo = isinstance(body, CompletionBody) and bool(body.echo)
        writer = AnswerWriter(self.engine.tokenizer, self.name, requests, is_chat=is_chat, echo=echo)
        job = self.worker.submit(requests)  # what can be refused is refused before a stream begins
        if body.stream:
            return EventStream(self, self.stream(writer, body, job), job)
        try:
            return await self.whole(writer, job, http)
        finally:
            self.worker.release(job)

    def require_model(self, name: str) -> None:
        """Raise an HTTP error for a model that is not here."""
        if name != self.name:
            raise NoSuchModelError(404, f"there is no model {name!r} here; this server has {self.name!r}")

    async def whole(self, writer: AnswerWriter, job: Job, http: Request) -> Response:
        """Answer in one object; a client that goes away ends the work."""
        collecting = asyncio.ensure_future(self.collect(job))
        leaving = asyncio.ensure_future(gone(http))
        try:
            await asyncio.wait((collecting, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                return Response(status_code=CLIENT_IS_GONE)
            return JSONResponse(writer.whole(collecting.result()))
        finally:
            for task in (collecting, leaving):
                task.cancel()
            await asyncio.wait((collecting, leaving))

    async def updates(self, job: Job, found: dict[int, Completion]) -> AsyncIterator[tuple[int, Update]]:
        """Yield the updates of a job, count them, and put what is complete into `found`."""
        is_first = True
        async for place, update in self.worker.answer(job, seconds=self.limits.request_seconds):
            if is_first:
                self.metrics.first.observe(time.monotonic() - job.started)
                is_first = False
            if update.completion is not None:
                found[place] = update.completion
                self.metrics.note(update.completion, len(job.requests[place].prompt))
            yield place, update
        self.metrics.whole.observe(time.monotonic() - job.started)

    async def collect(self, job: Job) -> list[Completion]:
        """Return all completions of a job."""
        found: dict[int, Completion] = {}
        async for _ in self.updates(job, found):
            pass
        return [found[place] for place in range(len(job.requests))]

    async def stream(self, writer: AnswerWriter, body: Body, job: Job) -> AsyncIterator[str]:
        """Yield server-sent events; what goes wrong on the way is the last but one of them."""
        found: dict[int, Completion] = {}
        try:
            for piece in writer.first_pieces():
                yield event(piece)
            async for place, update in self.updates(job, found):
                next_piece = writer.next_piece(place, update)
                if next_piece is not None:
                    yield event(next_piece)
            if body.with_usage:
                yield event(writer.usage_piece([found[place] for place in range(len(writer.requests))]))
        except TimeoutError:
            yield event(error_object(self.too_late(), kind="timeout_error"))
        except BrokenStepError as error:
            yield event(error_object(str(error), kind="server_error"))
        yield "data: [DONE]\n\n"

    def too_late(self) -> str:
        """Return what is said of an answer that takes too long."""
        return f"the answer was not complete within {self.limits.request_seconds:g} s; ask for fewer tokens"


class EventStream(StreamingResponse):
    """A stream of events that lets go of its job however it ends, and does not wait for a client that stops reading."""

    def __init__(self, service: Service, events: AsyncIterator[str], job: Job) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self.service, self.job = service, job

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the events."""
        try:
            async with asyncio.timeout(self.service.limits.request_seconds + SLOW_CLIENT_SECONDS):
                await super().__call__(scope, receive, send)
        finally:
            self.service.worker.release(self.job)


def event(value: dict[str, Any]) -> str:
    """Return a server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(',', ':'))}\n\n"


async def gone(http: Request) -> None:
    """Return when the client has gone."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


def make_app(
    engine: Engine,
    name: str,
    limits: Limits | None = None,
    *,
    api_key: str | None = None,
    hosts: Sequence[str] | None = None,
) -> Gate:
    """Return the ASGI application that serves one model under a name; see Gate for key and hosts."""
    limits = limits or Limits()
    service = Service(engine, name, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await service.worker.stop()

    # The pages on which FastAPI describes an application would be loaded from outside.
    app = FastAPI(title="olmo2", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    add_error_handlers(app, service)
    add_endpoints(app, service)
    add_page(app)
    gate = Gate(app, limits=limits, api_key=api_key, hosts=hosts, count=service.metrics.note_request)
    gate.stop_soon = service.worker.stop_soon
    return gate


def add_endpoints(app: FastAPI, service: Service) -> None:
    """Add what clients of OpenAI's interface call, and what those who run the server look at."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"description": "An error object", "content": {"application/json": {}}}
        for status in (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)
    }

    @app.post("/v1/chat/completions", responses=errors)
    async def chat_completions(body: ChatBody, request: Request) -> Response:
        """Answer a conversation."""
        return await service.answer(body, request)

    @app.post("/v1/completions", responses=errors)
    async def completions(body: CompletionBody, request: Request) -> Response:
        """Continue texts."""
        return await service.answer(body, request)

    @app.get("/v1/models", responses={401: errors[401], 403: errors[403]})
    async def models() -> dict[str, Any]:
        """List the model."""
        return {"object": "list", "data": [service.model_object()]}

    @app.get("/v1/models/{name:path}", responses=errors)
    async def model(name: str) -> dict[str, Any]:
        """Describe the model."""
        service.require_model(name)
        return service.model_object()

    @app.get("/health", responses={503: errors[503]})
    async def health() -> Response:
        """Say whether requests are answered."""
        is_alive = service.worker.is_alive
        return JSONResponse({"status": "ok" if is_alive else "the engine has stopped"}, 200 if is_alive else 503)

    @app.get("/metrics", responses={401: errors[401]})
    async def metrics() -> Response:
        """Return figures for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def add_page(app: FastAPI) -> None:
    """Add the page to talk to the model on."""
    headers = {"Content-Security-Policy": PAGE_POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "chat.html", media_type="text/html", headers=headers)

    @app.get("/page/{file}", include_in_schema=False)
    async def page_file(file: str) -> Response:
        if file not in PAGE_FILES:
            raise HTTPException(404, f"there is no file {file!r}")
        return FileResponse(PAGE / file, media_type=PAGE_FILES[file], headers=headers)


def complaint(first: Mapping[str, Any]) -> tuple[str, str]:
    """Return the field that pydantic complains of, and what is wrong with it."""
    place = ".".join(str(part) for part in first["loc"][1:])
    if first["type"] == "json_invalid":
        return "", "the body is not valid JSON"
    if first["type"] == "model_attributes_type" and not place:
        return "", "the body must be a JSON object, sent with Content-Type: application/json"
    if first["type"] == "extra_forbidden":
        known = sorted(ChatBody.model_fields.keys() | CompletionBody.model_fields.keys())
        return place, "this is not supported here" + did_you_mean(str(first["loc"][-1]), known, cutoff=0.7)
    return place, first["msg"].removeprefix("Value error, ")


def add_error_handlers(app: FastAPI, service: Service) -> None:
    """Let every error be an error object with the status that it has at OpenAI."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        place, message = complaint(error.errors()[0])
        return JSONResponse(error_object(f"{place}: {message}" if place else message, param=place or None), 400)

    @app.exception_handler(UsageError)
    async def unusable(request: Request, error: UsageError) -> Response:
        return JSONResponse(error_object(str(error)), 400)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        code = "model_not_found" if isinstance(error, NoSuchModelError) else None
        message = str(error.detail)
        if message == "Not Found":  # Starlette's own
            message = f"there is no {request.url.path} here; /openapi.json lists what there is"
        return JSONResponse(error_object(message, code=code), error.status_code, headers=error.headers)

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> Response:
        headers = {"Retry-After": str(error.retry_seconds)}
        return JSONResponse(error_object(str(error), kind="rate_limit_error"), 429, headers=headers)

    @app.exception_handler(TimeoutError)
    async def late(request: Request, error: TimeoutError) -> Response:
        return JSONResponse(error_object(service.too_late(), kind="timeout_error"), 504)

    @app.exception_handler(BrokenStepError)
    async def broken(request: Request, error: BrokenStepError) -> Response:
        status = 500 if service.worker.is_alive else 503
        return JSONResponse(error_object(str(error), kind="server_error"), status)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:  # uvicorn's log has the traceback
        return JSONResponse(error_object("something went wrong in the server", kind="server_error"), 500)
