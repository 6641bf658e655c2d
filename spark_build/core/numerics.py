"""Numerics: what of the machine shapes a floating-point result. Declared, never detected."""

from typing import Any

from spark_build.core.errors import UsageError
from spark_build.core.values import Struct, asdict

DEVICES = ("cpu", "cuda")
DTYPES = ("float32", "bfloat16", "float16")
ISAS = ("sse4", "avx2", "avx512", "default")


class Numerics(Struct, frozen=True):
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    isa: str = "avx2"
    world_size: int = 1

    @classmethod
    def of(cls, *layers: Any) -> "Numerics":
        """Later layers over earlier ones; unknown names and values are refused."""
        merged = {name: value for layer in layers if layer for name, value in layer.items()}
        known = cls.__struct_fields__
        for name in merged:
            if name not in known:
                raise UsageError(f"unknown numerics '{name}'", fix=f"one of {', '.join(known)}")
        numerics = cls(**merged)
        numerics._check()
        return numerics

    def _check(self) -> None:
        for name, allowed in (("device", DEVICES), ("dtype", DTYPES), ("isa", ISAS)):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"numerics.{name}: '{getattr(self, name)}'", fix=f"one of {', '.join(allowed)}"
                )
        for name in ("threads", "world_size"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise UsageError(f"numerics.{name}: {getattr(self, name)!r} is not a whole number from 1")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
