import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from archives import make_tar, make_tgz, make_zip

from lmtrain.corpus.fetching.archive import archive_members
from lmtrain.errors import DataError

LIMIT = 1_000_000
MEMBERS = {"c/train.txt": b"a b\n" * 1000, "./c/test.txt": b"c\n", "c/other.txt": b"x\n"}


every_kind = pytest.mark.parametrize("make", [make_zip, make_tar, make_tgz])
Make = Callable[[Mapping[str, bytes]], bytes]


def read(folder: Path, packed: bytes, *names: str, limit: int = LIMIT) -> dict[str, bytes]:
    path = folder / "archive"
    path.write_bytes(packed)
    return {name: b"".join(blocks) for name, blocks in archive_members(path, names, limit)}


@every_kind
def test_members_are_found_by_name(tmp_path: Path, make: Make) -> None:
    names = "./c/train.txt", "c/test.txt"
    expected = dict(zip(names, MEMBERS.values(), strict=False))
    assert read(tmp_path, make(MEMBERS), *names, "c/missing.txt") == expected


@every_kind
def test_nothing_is_written_where_an_archive_says(tmp_path: Path, make: Make) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    outside = str(tmp_path / "absolute.txt")
    packed = make({"../escape.txt": b"x", outside: b"x", "c/../../escape.txt": b"x", "c/test.txt": b"c\n"})
    assert read(folder, packed, "c/test.txt") == {"c/test.txt": b"c\n"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive", "deep", "er"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_file_is_not_followed(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "secret").write_text("secret")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("c/test.txt"))
        info = tarfile.TarInfo("c/train.txt")
        info.type, info.linkname = kind, str(tmp_path / "secret")
        archive.addfile(info)
    assert read(tmp_path, packed.getvalue(), "c/train.txt") == {}


def test_a_link_in_a_zip_is_but_its_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    info = zipfile.ZipInfo("c/train.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(info, str(tmp_path / "secret"))
    found = read(tmp_path, packed.getvalue(), "c/train.txt")
    assert found == {"c/train.txt": str(tmp_path / "secret").encode()}


def test_a_tar_bomb_is_given_up(tmp_path: Path) -> None:
    packed = make_tgz({"zeros": bytes(5_000_000), "c/test.txt": b"c\n"})
    with pytest.raises(DataError, match=r"archive: unpacks to far more"):
        read(tmp_path, packed, "c/test.txt")


@every_kind
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.8])
def test_what_is_cut_off_is_refused(tmp_path: Path, make: Make, kept: float) -> None:
    members = {"c/train.txt": bytes(range(256)) * 300, "c/test.txt": bytes(range(255)) * 300}
    packed = make(members)
    with pytest.raises(DataError, match=r"archive: (damaged|cut off)"):
        read(tmp_path, packed[: int(len(packed) * kept)], *members)


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    packed = bytearray(make_zip({"c/train.txt": bytes(range(256)) * 300}))
    packed[len(packed) // 3] ^= 0xFF
    with pytest.raises(DataError, match=r"archive: damaged"):
        read(tmp_path, bytes(packed), "c/train.txt")


@pytest.mark.parametrize("data", [b"<html>Please log in</html>", b""])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"archive: damaged, or no archive"):
        read(tmp_path, data, "c/train.txt")


def test_a_missing_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.zip: no such file"):
        list(archive_members(tmp_path / "gone.zip", ["a"], LIMIT))


def test_a_zip_with_a_name_that_is_no_utf_8_is_damaged(tmp_path: Path) -> None:
    packed = make_zip({"caf\u00e9": b"x"}).replace("\u00e9".encode(), b"\xe9\xe9")
    with pytest.raises(DataError, match=r"archive: damaged, or no archive \('utf-8' codec"):
        read(tmp_path, packed, "c/test.txt")
