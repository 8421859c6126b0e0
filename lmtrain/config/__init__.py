"""The config of a run: schema, reading, and what may change on resuming.

Everything else is handed plain arguments; see ``lmtrain.config.options`` for the sections.
"""

from lmtrain.config.differences import differences
from lmtrain.config.loading import config_from_dict, load_config, load_config_with_origins
from lmtrain.config.schema import Config

__all__ = [
    "Config",
    "config_from_dict",
    "differences",
    "load_config",
    "load_config_with_origins",
]
