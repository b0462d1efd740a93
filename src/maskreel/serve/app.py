# pyright: reportMissingImports=false
# Gradio is an extra.
"""The page: a form made with Gradio, and the routes of results beside it.

A request may name any file as its video, and Gradio, where it is mounted in an application, copies whatever it is told
to, or fetches it. So each path is held against `Results.is_sent` before Gradio touches it, and again after.
"""

import base64
import html
import logging
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskreel.errors import DataError
from maskreel.serve.limits import MEGABYTE
from maskreel.serve.results import DOWNLOADS, Progress, Result, Results
from maskreel.video.files import VideoReadError
from maskreel.visualize.report.video_report import counted

logger = logging.getLogger(__name__)

EVERY = 5
"""Frames between two words about progress."""
NOT_SENT = "This video cannot be used: it was not sent with this page."
NOT_FROM_THE_PAGE = "This is not a request that the page sends."
NOT_FOUND = "There is no such result any more; it was deleted after half an hour, or when its page was closed."


def application(results: Results, *, title: str, password: str | None) -> FastAPI:
    """The whole application; with a password every request has to carry it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_OneSentence)
    app.add_middleware(_Capped, most=(results.limits.megabytes + 1) * MEGABYTE)
    if password is not None:
        app.add_middleware(_Guard, password=password)

    @app.get("/result/{token}")
    def page(token: str) -> Response:
        found = results.page(token)
        if found is None:
            return HTMLResponse(f"<p>{NOT_FOUND}</p>", status_code=404)
        return HTMLResponse(found, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})

    @app.get("/result/{token}/{kind}")
    def download(token: str, kind: str, least: float = 0.0) -> Response:
        try:
            path = results.download(token, kind, least)
        except DataError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        if path is None:
            return JSONResponse({"error": NOT_FOUND}, status_code=404)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return FileResponse(
            path, filename=DOWNLOADS[kind].name, headers=headers, background=BackgroundTask(path.unlink)
        )

    @app.post("/gradio_api/process_recording")
    def recording() -> Response:
        """Gradio's own for recordings of the screen leaves them in the folder of the system; nobody needs it here."""
        return Response(status_code=404)

    form = _form(results, title)
    return gr.mount_gradio_app(
        app,
        form,
        path="/",
        max_file_size=f"{results.limits.megabytes}mb",
        allowed_paths=[str(path) for path in results.examples],
        show_error=True,
        theme=_theme(),
        css=_STYLE,
        footer_links=[],
        run_history=False,
    )


def _theme() -> gr.themes.Base:
    """Gradio's own, with nothing to fetch, and text that stands out from its background by 4.5 : 1 and more."""
    theme = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return theme.set(
        body_text_color_subdued="*neutral_600",
        input_placeholder_color="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
    )


def _form(results: Results, title: str) -> gr.Blocks:
    with gr.Blocks(
        title=title,
        analytics_enabled=False,
    ) as form:
        gr.Markdown(
            f"# {title}\n\nDrop a video, record one with the camera, or take an example; every object that the model "
            f"knows is found and followed. Taken: {results.limits.described()}. Your video stays on this machine and "
            "is deleted when you leave, or after half an hour."
        )
        camera = gr.WebcamOptions(mirror=False)
        video = gr.Video(sources=["upload", "webcam"], label="video", webcam_options=camera, height=300, elem_id="sent")
        _guard_paths(video, results)
        if results.examples:
            gr.Examples(
                [[str(path)] for path in results.examples],
                inputs=video,
                label="rendered examples",
                cache_examples=False,
                api_visibility="private",
            )
        with gr.Row():
            start = gr.Button("find the objects", variant="primary")
            cancel = gr.Button("cancel")
        said = gr.HTML(elem_id="said")
        shown = gr.HTML(elem_id="shown")

        def find(path: str | None, request: gr.Request) -> Iterator[tuple[Any, str, Any]]:
            yield from _find(results, path, request.session_hash or secrets.token_hex(8))

        def leave(request: gr.Request) -> None:
            results.forget(request.session_hash or "")

        def hold(path: str | None, request: gr.Request) -> None:
            if path and results.is_sent(Path(path)):
                results.hold(Path(path), request.session_hash or "")

        def wait(path: str | None, request: gr.Request) -> tuple[str, str]:
            hold(path, request)
            return _status("Your video begins when those before it are done."), ""

        video.change(hold, inputs=video, queue=False, show_progress="hidden", api_visibility="private")
        waiting = start.click(
            wait, inputs=video, outputs=[said, shown], queue=False, show_progress="hidden", api_visibility="private"
        )
        running = waiting.then(
            find, inputs=video, outputs=[video, said, shown], show_progress="hidden", concurrency_limit=1
        )
        cancel.click(
            lambda: (_status("Cancelled."), ""),
            outputs=[said, shown],
            cancels=[running],
            queue=False,
            api_visibility="private",
        )
        form.unload(leave)
    form.queue(max_size=64)
    return form


def _guard_paths(video: gr.Video, results: Results) -> None:
    """Have Gradio take over nothing but what was sent."""
    take_over = video.async_move_resource_to_block_cache

    async def guarded(url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None and not results.is_sent(Path(url_or_file_path)):
            raise gr.Error(NOT_SENT, print_exception=False)
        return await take_over(url_or_file_path)

    video.async_move_resource_to_block_cache = guarded


def _find(results: Results, path: str | None, visitor: str) -> Iterator[tuple[Any, str, Any]]:
    """The video, what the page says while it is looked at, and the result at last; a refused video is taken away."""
    if not path:
        yield gr.skip(), _status("There is no video yet: drop one above, or take an example."), ""
        return
    if not results.is_sent(Path(path)):
        yield None, _status(NOT_SENT), ""
        return
    try:
        for news in results.find(Path(path), visitor):
            if isinstance(news, Result):
                found = news.masklets
                about = f"{counted(len(found), 'object')} in {counted(found.decoded, 'frame')}."
                frame = f'<iframe title="the result" src="/result/{news.token}" allow="autoplay"></iframe>'
                yield gr.skip(), _status(about), frame
            elif isinstance(news, Progress) and news.frames % EVERY == 0:
                of = "" if news.declared is None else f" of {news.declared}"
                yield gr.skip(), _status(f"Looked at {news.frames}{of} frames."), gr.skip()
    except DataError as error:
        reason = error.reason if isinstance(error, VideoReadError) else str(error)
        yield None, _status(f"This video cannot be used: {reason}."), ""
    except MemoryError:
        yield None, _status("This video needs more memory than there is; send a smaller or shorter one."), ""


def _status(sentence: str) -> str:
    return f'<p role="status" aria-live="polite">{html.escape(sentence)}</p>'


_STYLE = "#shown iframe { width: 100%; height: 92vh; border: 0; } #sent video { max-height: 245px; }"


class _Guard(BaseHTTPMiddleware):
    """Asks for the password; any name will do."""

    def __init__(self, app: Any, *, password: str) -> None:
        super().__init__(app)
        self._password = password.encode()

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            typed = base64.b64decode(encoded, validate=True).partition(b":")[2]
        except ValueError:
            typed = b""
        if kind.lower() == "basic" and secrets.compare_digest(typed, self._password):
            return await call_next(request)
        return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="maskreel"'})


class _OneSentence:
    """Answers a request that Gradio trips over, as it does over many that its page never sends, with a sentence."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/gradio_api/"):
            await self._app(scope, receive, send)
            return
        started = failed = False

        async def answer(message: Message) -> None:
            nonlocal started, failed
            failed = failed or message.get("status", 0) >= 500
            if not failed:
                started = True
                await send(message)

        sentence, status = NOT_FROM_THE_PAGE, 400
        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            raise
        except Exception as error:
            failed = True
            logger.warning(
                "%s %s: %s", scope["method"], scope["path"], " ".join(f"{type(error).__name__}: {error}".split())
            )
            if isinstance(error, OSError):
                sentence, status = f"The server cannot take this: {error.strerror}.", 500
        if failed and not started:
            await JSONResponse({"error": sentence}, status_code=status)(scope, receive, send)


class _Capped:
    """Reads no more of a request than a video may have, however many files it brings."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = dict(scope.get("headers", ())).get(b"content-length", b"")
        refusal = PlainTextResponse("The file is larger than what is taken.", status_code=413)
        if length.isdigit() and int(length) > self._most:
            await refusal(scope, receive, send)
            return
        seen = 0

        async def capped() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return message if seen <= self._most else {"type": "http.disconnect"}

        async def answer(message: Message) -> None:
            if seen <= self._most:
                await send(message)

        try:
            await self._app(scope, capped if scope["type"] == "http" else receive, answer)
        except ClientDisconnect:  # whose visitor left while sending, or was cut off
            if seen > self._most:
                await refusal(scope, receive, send)
