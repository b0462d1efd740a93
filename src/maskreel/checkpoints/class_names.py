"""Names of the classes that a checkpoint was trained on, which no checkpoint holds."""

from pathlib import Path

from maskreel.errors import DataError, UsageError
from maskreel.files import read_json

Classes = tuple[tuple[int, str], ...]
"""(category id, name) per class."""

NAMES = {
    "ytvis19": "person giant_panda lizard parrot skateboard sedan ape dog snake monkey hand rabbit duck cat cow fish "
    "train horse turtle bear motorbike giraffe leopard fox deer owl surfboard airplane truck zebra tiger elephant "
    "snowboard boat shark mouse frog eagle earless_seal tennis_racket",
    "ytvis21": "airplane bear bird boat car cat cow deer dog duck earless_seal elephant fish flying_disc fox frog "
    "giant_panda giraffe horse leopard lizard monkey motorbike mouse parrot person rabbit shark skateboard snake "
    "snowboard squirrel surfboard tennis_racket tiger train truck turtle whale zebra",
}
"""Of YouTube-VIS 2019 and 2021; ids count from 1."""


def read_classes(word: str) -> Classes:
    """Classes by the name of a data set, or out of the `categories` of an annotation file."""
    if word in NAMES:
        return tuple(enumerate(NAMES[word].split(), start=1))
    path = Path(word)
    if not path.is_file():
        raise UsageError(f"--classes {word}: neither {' nor '.join(NAMES)} nor an annotation file")
    categories = read_json(path).get("categories")
    if not isinstance(categories, list) or not categories:
        raise DataError(f"{path}: has no list of categories")
    classes = []
    for place, category in enumerate(categories):
        match category:
            case {"id": int(number), "name": str(name)}:
                classes.append((number, name))
            case _:
                raise DataError(
                    f"{path}: categories[{place}]: an object with id and name is expected, got {category!r}"
                )
    return tuple(sorted(classes))


def numbered(count: int) -> Classes:
    """Classes whose names nobody knows, with the ids of a file of that many categories."""
    return tuple((number, str(number)) for number in range(1, count + 1))


def are_numbered(classes: Classes) -> bool:
    """Whether nobody knows what these classes are called."""
    return classes == numbered(len(classes))
