"""How the process of the program keeps memory and threads; to be set up before torch is imported."""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>


def prepare_process() -> None:
    """Has waiting threads sleep soon, freed memory kept for the next step, and few kernels kept.

    Threads of torch that wait for each other spin for milliseconds by default: where another program wants
    a processor too, that makes training several times slower, and a shorter spin costs nothing measurable.

    glibc gives large blocks back to the system when they are freed. Each training step then gets them anew,
    page by page, which costs a small model a fifth of its time. Other C libraries are left as they are, and
    so are blocks of 256 MB and more, whose pages are few beside what is computed with them.

    oneDNN keeps a kernel for each shape it has met, up to 1,024 of them. Training meets a few dozen; lines of
    all lengths always meet new ones, whose kernels would take half a gigabyte and not come again.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    mallopt = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 256 << 20) or mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # older ones know 32 MB
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Gives the system the memory that was freed and kept, where glibc is the C library.

    Training keeps it for its next step. Between steps, an evaluation or a snapshot asks for blocks of other
    sizes, finds the gaps too small and takes new memory each time, until most of the process is gaps.
    """
    trim = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "malloc_trim", None)
    if trim is not None:
        trim(0)
