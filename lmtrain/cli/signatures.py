"""What figures depend on, told beside them: programs that read figures as tables know no comments."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lmtrain.cli.text import note, write_result
from lmtrain.files.atomic import refusing_faults, write_file, writing


@dataclass(frozen=True)
class Signatures:
    """What the figures of a text depend on.

    Attributes:
        data: What messages call the text.
        sha256: Of its bytes, decompressed, or of what else stands for it in the signatures.
        of_models: By the name of each model, all that its figures depend on, in a line.
    """

    data: str
    sha256: str
    of_models: Mapping[str, str]

    def tell(self, out: Path | None) -> None:
        """Says it in messages or, where figures go to a file, writes it to ``FILE.json`` beside that.

        Raises:
            StorageError: That cannot be written.
        """
        if out is None:
            for name, signature in self.of_models.items():
                note(f"signature{f' of {name}' if len(self.of_models) > 1 else ''}: {signature}")
            return
        models = [{"model": name, "signature": signature} for name, signature in self.of_models.items()]
        facts = {"data": self.data, "sha256": self.sha256, "models": models}
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        write_file(out.with_name(f"{out.name}.json"), text.encode())


@contextmanager
def results_to(out: Path | None) -> Iterator[Callable[[str], object]]:
    """What takes results as they come: standard output, at once, or a file that is there once all is.

    Raises:
        StorageError: They cannot be written.
    """
    if out is None:
        yield partial(write_result, end="")
        return
    with refusing_faults(out), writing(out) as file:
        yield lambda text: file.write(text.encode())
