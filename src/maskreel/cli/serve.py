"""`maskreel serve RUN`: a page in a browser for one's own videos."""

import logging
import socket
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from maskreel.cli.records.serve import Serve
from maskreel.errors import UsageError
from maskreel.inference.predictor import VideoPredictor
from maskreel.rendered.rendering import render_video
from maskreel.rendered.synthetic import DEMO_SEED, SyntheticDials
from maskreel.serve.limits import Limits
from maskreel.serve.results import Results, keep_uploads_in
from maskreel.visualize.video import TimedImage, write_video

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EXAMPLES, RATE = 3, 6


def run(args: Serve) -> None:
    """Serve until Ctrl-C. Raises UsageError for options, a port that is taken, and a missing extra."""
    _check(args)
    limits = Limits(megabytes=args.megabytes, seconds=args.seconds, side=args.side)
    results = Results(VideoPredictor.load(args.run, device=args.device), limits)
    try:
        keep_uploads_in(results.uploads)
        from maskreel.serve import app

        results.examples = write_examples(results.folder)
        title = f"Maskreel: {args.run}"
        _listen(app.application(results, title=title, password=args.password), args)
    finally:
        results.close()


def write_examples(folder: Path) -> list[Path]:
    """Rendered videos to try the page on, of seeds that nothing was trained on."""
    paths = [folder / f"example-{number}.mp4" for number in range(1, EXAMPLES + 1)]
    dials = SyntheticDials(frames=16, height=288, width=480, min_objects=3)
    for number, path in enumerate(paths):
        frames = render_video(DEMO_SEED, number, dials).frames
        times = [index / RATE for index in range(len(frames))]
        write_video(path, map(TimedImage, times, frames), frame_rate=Fraction(RATE))
    return paths


def _check(args: Serve) -> None:
    if args.host not in LOOPBACK and not args.password:
        raise UsageError(f"--host {args.host}: others could use the page; choose a --password, or leave --host away")
    if args.password == "":
        raise UsageError("--password is empty; choose one, or leave it away")
    for name, value in (("megabytes", args.megabytes), ("seconds", args.seconds), ("side", args.side)):
        if not value > 0:
            raise UsageError(f"--{name} {value}: must be above 0")
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port {args.port}: must lie between 0 and 65535")
    if find_spec("gradio") is None:
        raise UsageError("maskreel serve needs the package gradio: pip install 'maskreel[web]'")


def _listen(application: Any, args: Serve) -> None:
    import uvicorn  # pyright: ignore[reportMissingImports]

    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((args.host, args.port))
        listening.listen()  # who comes as soon as the address is said waits, and is not turned away
    except OSError as error:
        raise UsageError(f"--port {args.port} of {args.host}: {error.strerror}; choose another --port") from error
    logger.info("the page: http://%s:%d (Ctrl-C ends it)", args.host, listening.getsockname()[1])
    logging.getLogger("uvicorn.error").addFilter(_is_worth_saying)
    config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Not that pages which are still open are cut off when the server ends."""
    return "timeout graceful shutdown exceeded" not in f"{record.getMessage()} {record.exc_info}"
