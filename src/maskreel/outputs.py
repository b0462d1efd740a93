"""What a command writes is decided before it works, and never takes the place of what people have.

One rule for every command. A file that is read is never written, whatever the switches: not by its name, nor through a
link, nor inside a folder that is read. A file that is there already is replaced where it is ours, which is said by
`written.json` of its folder and proved by size and SHA-256, or with `--overwrite`. Files take their names when they are
whole, and the record knows them just before, so that a command that was killed goes on over what it left.
"""

import contextlib
import errno
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from maskreel.errors import DataError, UsageError
from maskreel.files import RECORD, complete_file, complete_folder, model_places, numbered_folder, read_json, write_json
from maskreel.written import Record, digest

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "files may not grow that large here",
    errno.EROFS: "it can only be read from",
    errno.EIO: "the disk fails",
}
"""Reasons for which a file that was begun cannot be finished, whoever raises them."""

MAX_STEM = 200
"""Bytes of the part of a name that comes from a source; with endings and temporary marks a name may have 255."""

RESERVED = ("written", "left_out")
"""Stems of files that stand beside results."""


class Outputs:
    """The files of one command: `claim` each before work begins, then write each within `writing`.

    `inputs` are what the command reads: files, and folders of which all files count. Used as a context, the
    folder that was made goes again where the command fails before there is anything in it.
    """

    def __init__(self, inputs: Iterable[str | Path] = (), *, overwrite: bool = False, of_unit: bool = False) -> None:
        """`of_unit`: the files are those of one unit of many, and its line of the manifest will list `sums`."""
        self._overwrite = overwrite
        self._of_unit = of_unit
        self.sums: dict[str, str] = {}
        """SHA-256 of the files of a unit that have their names, by their paths in the folder."""
        self._files: set[tuple[int, int]] = set()
        self._folders: list[Path] = []
        self._read: set[str] = set()
        self._options: dict[str, str] = {}
        self._whole: list[str] = []
        """Claimed folders that hold nothing else."""
        self._absent: set[str] = set()
        """Of the claimed files, those that were not there."""
        self._records: dict[Path, Record] = {}
        self._made: Path | None = None
        self.add_inputs(inputs)

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._made is not None:
            with contextlib.suppress(OSError):
                self._made.rmdir()

    def add_inputs(self, inputs: Iterable[str | Path]) -> None:
        """Further files and folders that are read."""
        for path in map(Path, inputs):
            with contextlib.suppress(OSError):
                found = path.stat()
                self._read.add(_key(path))
                if path.is_dir():
                    self._folders.append(path.resolve())
                    self.add_inputs(_of_model(path))
                else:
                    self._files.add((found.st_dev, found.st_ino))

    def claim(self, path: Path, option: str = "--out", *, root: Path | None = None) -> Path:
        """Say that a file will be written; UsageError where that must not or cannot be.

        `option` names where the user can choose another place, `root` the folder whose record knows the file: its own,
        unless the command fills a tree.
        """
        key = _key(path)
        for whole in self._whole:
            _require_outside(whole, key, option)
        if key in self._options:
            others = {self._options[key], option}
            raise UsageError(f"{path}: is named twice ({' and '.join(sorted(others))}); choose another {option}")
        self._check(path, option, self._record(root or path.parent, option))
        self._options[key] = option
        if not os.path.lexists(path):
            self._absent.add(key)
        return path

    def check(self, path: Path, option: str = "--out") -> None:
        """As `claim`, where others will write the file: nothing is remembered."""
        if _key(path) in self._options:
            raise UsageError(f"{path}: is named twice ({self._options[_key(path)]} and {option}); choose another one")
        self._check(path, option, self._record(path.parent, option))

    def claim_folder(self, out: Path | None, default: Path) -> Path:
        """The folder that `--out` names, or else a new one beside others of its kind; what goes in is claimed apart."""
        if out is not None:
            if _key(out) in self._options:
                raise UsageError(f"{out}: is named twice ({self._options[_key(out)]} and --out); choose another --out")
            _require_writable(out, "--out")
            return out
        try:
            self._made = numbered_folder(default)
        except OSError as error:
            raise _unwritable(default.parent, "--out", error) from error
        return self._made

    def claim_whole_folder(self, folder: Path, names: Iterable[str] | None, option: str) -> Path:
        """Say that a folder will be written that holds `names` and nothing else; None: all in it must be ours."""
        if os.path.lexists(folder) and not folder.is_dir():
            raise UsageError(f"{folder}: a file of that name exists; choose another {option}")
        present = sorted(path for path in folder.rglob("*") if not path.is_dir()) if folder.is_dir() else []
        allowed = None if names is None else {*names, RECORD}
        for path in present:
            if path.name == RECORD:
                continue
            if allowed is not None and path.relative_to(folder).as_posix() not in allowed:
                raise UsageError(f"{folder}: exists already and holds {path.name}; choose another {option}")
            if allowed is None and not self._record(folder, option).is_ours(path):
                raise UsageError(f"{folder}: exists already, and not all in it is ours; choose another {option}")
            self._check(path, option, self._record(folder, option))
        _require_writable(folder.parent, option)
        whole = _key(folder)
        for key, other in self._options.items():
            _require_outside(whole, key, other)
        self._options[whole] = option
        self._whole.append(whole)
        return folder

    @contextlib.contextmanager
    def writing(self, path: Path, *, root: Path | None = None) -> Iterator[Path]:
        """A file to fill that takes the place of a claimed one when the block is done; DataError for a full disk."""
        assert _key(path) in self._options, f"{path} was not claimed"
        root = root or path.parent
        if _key(path) in self._absent and path.is_file() and not self._overwrite and not Record(root).is_ours(path):
            option = self._options[_key(path)]
            raise UsageError(f"{path}: came to be while this command worked, and is kept; choose another {option}")
        if path.exists() and not path.is_file():
            with _into_device(path) as new:
                yield new
            return
        with self._told_of(path), contextlib.ExitStack() as stack, complete_file(path) as new:
            try:
                yield new
            except DataError as error:
                # The writer knows the temporary name alone.
                if str(new) not in str(error):
                    raise
                raise DataError(str(error).replace(str(new), str(path))) from error
            stack.enter_context(self._taking(root, path, new))

    @contextlib.contextmanager
    def growing(self, path: Path) -> Iterator[Path]:
        """A claimed file that is read while it grows: it has its name from the start, and is ours however it ends."""
        assert _key(path) in self._options, f"{path} was not claimed"
        path.parent.mkdir(parents=True, exist_ok=True)
        Record(path.parent).begin(path.name)
        with self._told_of(path):
            yield path
            with self._taking(path.parent, path, path):
                pass

    @contextlib.contextmanager
    def writing_folder(self, folder: Path) -> Iterator[Path]:
        """A folder to make that takes the place of a claimed one when the block is done; its record is in it."""
        assert _key(folder) in self._options, f"{folder} was not claimed"
        with self._told_of(folder), complete_folder(folder) as new:
            yield new
            found = {
                path.relative_to(new).as_posix(): digest(path) for path in sorted(new.rglob("*")) if path.is_file()
            }
            write_json(new / RECORD, {"files": found, "pending": {}})
            if self._of_unit:
                self.sums[f"{folder.name}/{RECORD}"] = digest(new / RECORD)["sha256"]

    @contextlib.contextmanager
    def _taking(self, root: Path, path: Path, new: Path) -> Iterator[None]:
        name = path.relative_to(root).as_posix()
        if self._of_unit:
            self.sums[name] = digest(new)["sha256"]
        with Record(root).taking({name: new}, of_unit=self._of_unit):
            yield

    @contextlib.contextmanager
    def _told_of(self, path: Path) -> Iterator[None]:
        """Failures to write become a sentence with the name that the user knows."""
        option = self._options[_key(path)]
        try:
            yield
        except OSError as error:
            is_own = error.filename is not None and str(error.filename).startswith(f"{path.parent}{os.sep}.")
            if not is_own and error.errno not in FULL:
                raise
            raise not_written(path, error, option) from error

    def _record(self, folder: Path, option: str) -> Record:
        """Of a folder that is written into; UsageError where that is not possible."""
        if folder not in self._records:
            _require_writable(folder, option)
            record = Record(folder)
            if self._is_read(record.path) or (record.is_damaged and not self._overwrite):
                raise UsageError(f"{record.path}: is no record of what maskreel wrote; choose another {option}")
            self._records[folder] = record
        return self._records[folder]

    def _check(self, path: Path, option: str, record: Record) -> None:
        if path.name == RECORD:
            raise UsageError(f"{path}: holds the record of what maskreel wrote there; choose another {option}")
        if not os.path.lexists(path) or (path.exists() and not path.is_file() and not path.is_dir()):
            return
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; name a file with {option}")
        if self._is_read(path):
            raise UsageError(f"{path}: is read by this command and would be overwritten; choose another {option}")
        if record.is_ours(path):
            return
        if self._is_below_input(path):
            raise UsageError(f"{path}: lies in a folder that is read and would be overwritten; choose another {option}")
        if not self._overwrite:
            raise UsageError(
                f"{path}: exists, and is not as maskreel wrote it; choose another {option}, or pass --overwrite"
            )

    def _is_read(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) in self._files or _key(path) in self._read

    def _is_below_input(self, path: Path) -> bool:
        real = path.resolve()
        return any(real.is_relative_to(folder) for folder in self._folders)


def told_apart(stems: Sequence[str], *, reserved: Iterable[str] = ()) -> list[str]:
    """A name of its own for each stem, of a length that file systems take: the second `a` becomes `a-2`.

    Names that differ in case or in the composition of letters alone meet on some systems.
    """
    taken = {_folded(name) for name in (*RESERVED, *reserved)}
    numbers: dict[str, int] = {}
    names = []
    for stem in stems:
        short = _shortened(stem, MAX_STEM)
        number = numbers.get(_folded(short), 1)
        while _folded(name := short if number == 1 else f"{short}-{number}") in taken:
            number += 1
        numbers[_folded(short)] = number
        taken.add(_folded(name))
        names.append(name)
    return names


def not_written(path: Path, error: OSError, other: str) -> DataError:
    """What to say of a file or folder that could not be finished; `other` is what may be chosen anew."""
    reason = FULL.get(error.errno or 0, error.strerror or "it cannot be opened")
    return DataError(f"{path}: cannot be written ({reason}); make room, or choose another {other}")


def _require_outside(whole: str, key: str, option: str) -> None:
    """UsageError for a file in a folder that is to hold nothing but its own."""
    if key.startswith(f"{whole}{os.sep}"):
        raise UsageError(f"{key}: lies in {whole}, which is written as a whole; choose another {option}")


def _of_model(folder: Path) -> list[Path]:
    """The files of a model that is in a folder, or in the one of a run: those that its `sums.json` lists, and that."""
    files = []
    for place in model_places(folder):
        with contextlib.suppress(OSError, DataError):
            files += [place / name for name in (*read_json(place / "sums.json"), "sums.json")]
    return files


def _shortened(stem: str, most: int) -> str:
    while len(os.fsencode(stem)) > most:
        stem = stem[: -max(1, (len(os.fsencode(stem)) - most) // 4)]
    return stem


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _key(path: Path) -> str:
    """By which two ways to write a place are compared: links resolved, as systems without case see it."""
    return _folded(os.path.realpath(path))


def _require_writable(folder: Path, option: str) -> None:
    """UsageError unless files can be made in a folder, or in the one that it would be made in."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, option, error) from error


def _unwritable(folder: Path, option: str, error: OSError) -> UsageError:
    reason = FULL.get(error.errno or 0, error.strerror)
    return UsageError(f"{folder}: cannot write there ({reason}); choose another {option}")


@contextlib.contextmanager
def _into_device(path: Path) -> Iterator[Path]:
    """A pipe, or /dev/null, is written into and stays what it is."""
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / f"new{path.suffix}"
        yield new
        with new.open("rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
