"""The cells: one file each, whose class says by what name configs call it.

Whatever class of recurrent layer stands in a file of this folder and has a ``cell`` is one of them, so that a
new cell is a new file here, and its name one line in the schema (``Cell`` in ``lmtrain/config/options.py``).
"""

from importlib import import_module
from pkgutil import iter_modules

from lmtrain.model.recurrent import RecurrentLayer

Cells = dict[tuple[str, str], type[RecurrentLayer]]


def _cells() -> Cells:
    found: Cells = {}
    for file in sorted(iter_modules(__path__), key=lambda file: file.name):
        module = import_module(f"{__name__}.{file.name}")
        for layer in vars(module).values():
            # A class that a file imports, from another cell's file for example, is not its own.
            if getattr(layer, "__module__", "") != module.__name__ or not getattr(layer, "cell", ""):
                continue
            key = (layer.cell, layer.activation)
            if key in found:
                names = f"{found[key].__name__} and {layer.__name__}"
                raise TypeError(
                    f"{names} are both called {' with '.join(key)}; change one's cell or activation"
                )
            found[key] = layer
    return found


CELLS = _cells()
"""The layers by (cell, activation), the names of a config."""
