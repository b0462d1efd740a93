"""Who shares the work of a command: processes of this machine, or actors of a cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskreel.cli.records.video import Evaluate, Predict
from maskreel.errors import UsageError
from maskreel.spread.cluster import RayCrew
from maskreel.spread.processes import ProcessCrew
from maskreel.spread.work import Crew, Handler


def require_possible_crew(args: Predict | Evaluate) -> None:
    """UsageError for options that cannot be."""
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers {args.workers}: must be at least 1")
    for name, value in (("--ray-address", args.ray_address), ("--gpus-per-worker", args.gpus_per_worker)):
        if value is not None and not args.ray:
            raise UsageError(f"{name} {value}: says how --ray works; add --ray")
    cards = args.gpus_per_worker
    if cards is not None and not (0 < cards <= 1 or cards == int(cards) > 0):
        raise UsageError(f"--gpus-per-worker {cards:g}: must be a share of one, such as 0.5, or a whole number")


def is_shared(args: Predict | Evaluate) -> bool:
    return args.workers is not None or args.ray


@contextmanager
def crew_of(args: Predict | Evaluate, make: Callable[[], Handler]) -> Iterator[tuple[Crew, int]]:
    """Workers as the options say, and how many; they end with the context."""
    if args.ray:
        crew = RayCrew(
            make, address=args.ray_address, workers=args.workers, gpus_per_worker=args.gpus_per_worker or 0.0
        )
        with crew as cluster:
            yield cluster, cluster.workers
        return
    with ProcessCrew(make) as processes:
        yield processes, args.workers or 1
