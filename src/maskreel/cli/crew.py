"""Who shares the work of a command: processes of this machine, or actors of a cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from maskreel.cli.records.video import Evaluate, Predict
from maskreel.errors import UsageError
from maskreel.spread.cluster import Cluster, ClusterCrew
from maskreel.spread.processes import ProcessCrew
from maskreel.spread.work import Crew


def require_possible_crew(args: Predict | Evaluate) -> None:
    """UsageError for options that cannot be, or do not go together."""
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers {args.workers}: must be at least 1")
    if args.gpus_per_worker < 0:
        raise UsageError(f"--gpus-per-worker {args.gpus_per_worker:g}: must not be negative")
    if not args.ray and (args.ray_address is not None or args.gpus_per_worker):
        option = "--ray-address" if args.ray_address is not None else "--gpus-per-worker"
        raise UsageError(f"{option} needs --ray, which has a cluster do the work")


def is_shared(args: Predict | Evaluate) -> bool:
    return args.ray or args.workers is not None


@contextmanager
def crew_of(args: Predict | Evaluate, make: Callable[[], Callable[[Any], Any]]) -> Iterator[tuple[Crew, int]]:
    """Workers as the options say, and how many; they and a cluster that was begun for them end with the context."""
    if not args.ray:
        with ProcessCrew(make) as processes:
            yield processes, args.workers or 1
        return
    part = args.gpus_per_worker
    with (
        Cluster(address=args.ray_address, gpus_per_worker=part) as cluster,
        ClusterCrew(make=make, gpus_per_worker=part) as actors,
    ):
        yield actors, args.workers or cluster.num_workers()
