"""OpenAI's interface over HTTP: paths, keys, bodies and errors; `service.py` has what is behind them."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from toolrl_cli.training.serving.refusals import Refusal
from toolrl_cli.training.serving.requests import read_chat, read_completion
from toolrl_cli.training.serving.service import Service

MOST_BYTES = 32 << 20
"""Of a request's body."""
CLIENT_GONE = 499
RETRY_AFTER = "1"
"""Seconds, sent where the queue is full."""


def make_app(service: Service, key: str | None) -> FastAPI:
    """The application of one model.

    Args:
        service: of the model.
        key: what requests for `/v1` must bear; None for nothing.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await service.worker.stop()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> JSONResponse:
        headers = {"Retry-After": RETRY_AFTER} if refusal.status == 429 else None
        return JSONResponse(refusal.body(), refusal.status, headers)

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse(Refusal(error.status_code, message, code="not_found").body(), error.status_code)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "unfinished": service.worker.unfinished}

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        _check_key(request, key)
        return {"object": "list", "data": [service.entry()]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        _check_key(request, key)
        return await _answered(request, service.chat(read_chat(await _body(request), service.name)))

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        _check_key(request, key)
        return await _answered(request, service.complete(read_completion(await _body(request), service.name)))

    return app


def _check_key(request: Request, key: str | None) -> None:
    given = request.headers.get("authorization", "").encode()
    if key is not None and not hmac.compare_digest(given, f"Bearer {key}".encode()):
        raise Refusal(401, "the key is missing or wrong (Authorization: Bearer …)", code="invalid_api_key")


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        Refusal: 413 where it is too large, 400 where it is none.
    """
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > MOST_BYTES:
            raise Refusal(413, f"a request may have {MOST_BYTES >> 20} MiB", code="request_too_large")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the request is no JSON: {error}", code="invalid_json") from error
    if not isinstance(body, dict):
        raise Refusal(400, "the request is no JSON object", code="invalid_json")
    return body


async def _answered(request: Request, answer: Coroutine[Any, Any, dict[str, Any]]) -> Response:
    """The answer; where the client goes first, it is not generated any further."""
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return JSONResponse(work.result()) if work.done() else Response(status_code=CLIENT_GONE)
    finally:
        await _ended(work)
        await _ended(gone)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Refusal):
        await task
