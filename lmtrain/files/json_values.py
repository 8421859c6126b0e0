"""Values as JSON can write them."""

import math
from typing import Any


def finite(value: Any) -> Any:
    """The same with None in the place of infinity and NaN, which JSON cannot write; tuples become lists."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
