"""Known corpora from where they are to be had: every text verified, none half-written, none overwritten."""

import difflib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lmtrain.corpus.cache import default_cache_dir
from lmtrain.corpus.fetching.archive import archive_members
from lmtrain.corpus.fetching.download import download
from lmtrain.corpus.fetching.known import ARCHIVE_SUFFIXES, KNOWN_CORPORA, SPLITS, KnownCorpus, Source
from lmtrain.corpus.synthetic.synthetic import SYNTHETIC
from lmtrain.errors import DataError, StorageError, UnreachableError, UsageError
from lmtrain.files.atomic import refusing_faults, writing
from lmtrain.files.text_input import Watch, file_blocks


@dataclass(frozen=True)
class FetchObserver:
    """Who is told how it goes.

    Attributes:
        note: Takes a line for a person.
        watch: Hands on the blocks of a download; see ``lmtrain.files.text_input.Watch``.
    """

    note: Callable[[str], object] = str
    watch: Watch | None = None


def fetch(
    name: str, folder: Path | None = None, mirror: str | None = None, observer: FetchObserver | None = None
) -> list[Path]:
    """Puts ``train.txt``, ``valid.txt`` and ``test.txt`` of a corpus into a folder.

    What is there already and right stays; the rest comes from the first source that has it right.

    Args:
        name: A key of ``KNOWN_CORPORA``.
        folder: Where the texts go; by default ``data/NAME``.
        mirror: A folder or an http address to take them from, and from nowhere else: it has
            ``NAME/train.txt`` and so on, or the texts themselves, or the archive; or is the archive.
        observer: Told how it goes.

    Returns:
        The paths of the texts.

    Raises:
        DataError: No source has the right texts.
        StorageError: A text cannot be written; or the network, which would have had them, failed.
        UsageError: There is no such corpus, or another file stands in the way.
    """
    corpus, observer = _known(name), observer or FetchObserver()
    folder = folder or Path("data") / name
    texts = {split: _Text(folder / f"{split}.txt", corpus, split) for split in SPLITS}
    missing = {split: text for split, text in texts.items() if not text.is_there(observer)}
    failures: list[DataError | UnreachableError] = []
    sources = corpus.sources if mirror is None else _sources_of(mirror, name, corpus)
    for source in sources if missing else ():
        try:
            for split, blocks, origin in _texts_from(source, tuple(missing), corpus, observer):
                missing[split].write(blocks, origin)
                del missing[split]
                observer.note(f"{texts[split].path}: from {origin}")
        except (DataError, UnreachableError) as error:
            failures.append(error)
        if not missing:
            break
    if missing:
        raise _failed(name, mirror, failures)
    return [text.path for text in texts.values()]


@dataclass(frozen=True)
class _Text:
    """A text of a corpus, as it is to be on the disk."""

    path: Path
    corpus: KnownCorpus
    split: str

    @property
    def digest(self) -> str:
        return self.corpus.digests[self.split]

    def is_there(self, observer: FetchObserver) -> bool:
        """Whether it is; another file in its place is refused."""
        if not self.path.exists() and not self.path.is_symlink():
            return False
        if not self.path.is_file() or not self._is_right():
            raise UsageError(
                f"{self.path}: is something else, and nothing is overwritten; move it away, or choose"
                " another folder with --to"
            )
        observer.note(f"{self.path}: is there already")
        return True

    def _is_right(self) -> bool:
        algorithm, _, expected = self.digest.partition(":")
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest() == expected

    def write(self, blocks: Iterable[bytes], origin: str) -> None:
        """Writes it, if the blocks that come from there are right."""
        algorithm, _, expected = self.digest.partition(":")
        digest, size = hashlib.new(algorithm), 0
        advice = "choose another folder with --to"
        with refusing_faults(self.path, advice=advice), writing(self.path) as file:
            for block in blocks:
                size += len(block)
                if size > self.corpus.max_bytes:
                    raise DataError(f"{origin}: {self.split} unpacks to far more than there is in it")
                digest.update(block)
                file.write(block)
            if digest.hexdigest() != expected:
                raise DataError(f"{origin}: {self.split} is another text; its {algorithm} is not right")


def _known(name: str) -> KnownCorpus:
    if name in KNOWN_CORPORA:
        return KNOWN_CORPORA[name]
    if name in SYNTHETIC:
        raise UsageError(f"{name} is not fetched but made: lmtrain data synth {name} --out data/{name}")
    nearest = difflib.get_close_matches(name, KNOWN_CORPORA, n=1, cutoff=0.0)
    raise UsageError(
        f"no corpus {name!r} to fetch; did you mean {nearest[0]}? (known: {', '.join(KNOWN_CORPORA)})"
    )


def _texts_from(
    source: Source, splits: Sequence[str], corpus: KnownCorpus, observer: FetchObserver
) -> Iterator[tuple[str, Iterator[bytes], str]]:
    """Those texts that a source has: the split, the content in blocks, and where that came from."""
    if not source.is_archive:
        for split in splits:
            address = f"{source.address}/{source.names.format(split)}"
            with _at_hand(address, corpus.digests[split], corpus, observer) as path:
                yield split, file_blocks(path), address
        return
    with _at_hand(source.address, source.digest, corpus, observer) as path:
        names = {source.names.format(split): split for split in splits}
        for name, blocks in archive_members(path, tuple(names), corpus.max_bytes):
            if name in names:  # an archive can have a name twice
                yield names.pop(name), blocks, source.address
        if names:
            raise DataError(f"{source.address}: there is no {', no '.join(names)} in it")


@contextmanager
def _at_hand(address: str, digest: str, corpus: KnownCorpus, observer: FetchObserver) -> Iterator[Path]:
    """The file of an address; one that had to be downloaded is kept until it has served."""
    if (local := _local_path(address)) is not None:
        yield local
        return
    downloads = default_cache_dir() / "downloads"
    with download(address, digest, downloads, corpus.max_bytes, observer.watch) as path:
        yield path


def _sources_of(mirror: str, name: str, corpus: KnownCorpus) -> list[Source]:
    """Where in a mirror the texts may be.

    Raises:
        DataError: It is a folder that has none of them.
        UsageError: It is no address that can be asked.
    """
    address = mirror.rstrip("/") or "/"
    if not mirror or not _can_be_asked(address):
        raise UsageError(f"--mirror {mirror}: allowed: a folder, or an address with http, https or file")
    archives = {source.file_name: source for source in corpus.sources if source.is_archive}
    if address.endswith(ARCHIVE_SUFFIXES):
        named = archives.get(replace(corpus.sources[0], address=address).file_name)
        return [replace(source, address=address) for source in ([named] if named else archives.values())]
    folders = (f"{address}/{name}", address)
    sources = [
        *(Source(folder, "{}.txt") for folder in folders),
        *(replace(archives[file], address=f"{folder}/{file}") for folder in folders for file in archives),
    ]
    if (local := _local_path(address)) is None:
        return sources
    if not local.is_dir():
        raise DataError(f"--mirror {mirror}: no such folder")
    if not (found := [source for source in sources if _has_any(source)]):
        raise DataError(f"--mirror {mirror}: has neither {name}/train.txt nor {' nor '.join(archives)}")
    return found


def _can_be_asked(address: str) -> bool:
    if "://" not in address:
        return True
    try:
        parts = urlsplit(address)
        has_host, _ = bool(parts.hostname), parts.port
    except ValueError:
        return False
    return parts.scheme in (("http", "https") if has_host else ("file",))


def _has_any(source: Source) -> bool:
    """Whether a local source has anything to offer."""
    names = [""] if source.is_archive else [f"/{source.names.format(split)}" for split in SPLITS]
    paths = (_local_path(source.address + name) for name in names)
    return any(path is not None and path.exists() for path in paths)


def _local_path(address: str) -> Path | None:
    """Where on this machine an address is; None if it is elsewhere."""
    if "://" not in address:
        return Path(address)
    return Path(url2pathname(urlsplit(address).path)) if address.startswith("file://") else None


def _failed(
    name: str, mirror: str | None, failures: Sequence[DataError | UnreachableError]
) -> DataError | StorageError:
    """One error out of those of all sources; that of the network, if that may be all that is wrong."""
    hint = "" if mirror else "; without a network, --mirror names a folder or another address that has it"
    lines = [f"{name}: no source has all of it right{hint}:", *(f"  {failure}" for failure in failures)]
    is_network = any(isinstance(failure, UnreachableError) for failure in failures)
    return (StorageError if is_network else DataError)("\n".join(lines))
