"""What the engine's values are made of: structs whose classes take a tenth of a dataclass's time to make.

A process of a build makes some forty such classes before it does anything, and as dataclasses they were a fifth of a
short build. msgspec looks into typing_extensions, which loads `inspect` and takes longer than itself: it is kept from
that, and does with `typing` alone.
"""

import sys

_EXTENSIONS = "typing_extensions"
_is_kept_out = "msgspec" not in sys.modules and _EXTENSIONS not in sys.modules
if _is_kept_out:
    sys.modules[_EXTENSIONS] = None  # type: ignore[assignment]  # an import of it fails
try:
    from msgspec import Struct, convert, field, to_builtins
    from msgspec.structs import asdict, replace
finally:
    if _is_kept_out:
        del sys.modules[_EXTENSIONS]

__all__ = ["Struct", "asdict", "convert", "field", "replace", "to_builtins"]
