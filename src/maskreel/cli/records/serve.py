"""What can be typed after serve.

This module imports nothing heavy, so that help and mistyped options are answered at once.
"""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Serve:
    """A page in a browser for one's own videos: drop one, see its objects, take them away. Needs the extra web.

    It answers this machine alone, unless --host and --password are given. One model serves everybody, one video at a
    time. Uploads and results lie in a private folder and are deleted when their visitor leaves, after half an hour,
    and when the server ends (Ctrl-C).
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = "bundled"
    """Run folder, model folder, or the word bundled."""
    port: int = 7860
    """Port to listen on; 0 for any that is free."""
    host: str = "127.0.0.1"
    """Address to listen on; any but 127.0.0.1 needs --password."""
    password: str | None = None
    """What visitors have to type, with any name."""
    megabytes: int = 200
    """Largest video that is taken."""
    seconds: float = 600.0
    """Longest video that is taken."""
    side: int = 1920
    """Most pixels on the longest side of a video that is taken."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
