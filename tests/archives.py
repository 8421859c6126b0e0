"""Archives made in memory."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping


def make_zip(members: Mapping[str, bytes]) -> bytes:
    """A zip file of these members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def make_tar(members: Mapping[str, bytes]) -> bytes:
    """A tar file of these members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def make_tgz(members: Mapping[str, bytes]) -> bytes:
    """The same, compressed."""
    return gzip.compress(make_tar(members))
