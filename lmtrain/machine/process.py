"""How the process of the program names files, keeps memory and threads, and who may speak in it."""

import os
import sys
import warnings
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>


def name_files_in_utf8() -> None:
    """Starts the program anew, in Python's UTF-8 mode, where the locale has another encoding.

    Paths in configs and texts are UTF-8, and so are those that are typed, on the systems of today: in a
    locale of 8 bits Python would take their bytes for other characters, and write those into files.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def prepare_process() -> None:
    """Has waiting threads sleep soon, freed memory kept for the next step, and few kernels kept.

    To be called before torch is imported.

    Threads of torch that wait for each other spin for milliseconds by default: where another program wants
    a processor too, that makes training several times slower, and a shorter spin costs nothing measurable.

    glibc gives large blocks back to the system when they are freed. Each training step then gets them anew,
    page by page, which costs a small model a fifth of its time. Other C libraries are left as they are, and
    so are blocks of 256 MB and more, whose pages are few beside what is computed with them.

    oneDNN keeps a kernel for each shape it has met, up to 1,024 of them. Training meets a few dozen; lines of
    all lengths always meet new ones, whose kernels would take half a gigabyte and not come again.

    Warnings of libraries are for those who write programs, who ask for them with ``PYTHONWARNINGS``.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    mallopt = getattr(_c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 256 << 20) or mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # older ones know 32 MB
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Gives the system the memory that was freed and kept, where glibc is the C library.

    Training keeps it for its next step. Between steps, an evaluation or a snapshot asks for blocks of other
    sizes, finds the gaps too small and takes new memory each time, until most of the process is gaps.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None) if os.name == "posix" else None
