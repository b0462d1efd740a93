"""A Ray cluster of two nodes on this machine, and what its processes are called."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A head and a further node, of two processors each, whose workers import from this tree; skips without Ray."""
    utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "src"), str(ROOT))))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's own workers step back for whatever else a machine does, so that they may never get a turn.
        patch.setenv("RAY_worker_niceness", "0")
        cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        try:
            cluster.add_node(num_cpus=2)
            cluster.wait_for_nodes()
            yield cluster
        finally:
            cluster.shutdown()


def command_of(process: Path) -> bytes:
    """The command line of a folder under /proc; empty where the process has ended."""
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
