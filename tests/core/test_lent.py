"""A lent module is not loaded by an import, works when it is called, and is nobody's afterwards."""

import subprocess
import sys

LENT = """
import sys
from spark_build.core.lent import lent
with lent("colorsys", "rgb_to_hsv"):
    from colorsys import rgb_to_hsv
assert "colorsys" not in sys.modules
assert rgb_to_hsv(1.0, b=0.0, g=0.0) == (0.0, 1.0, 1.0)
import colorsys
assert colorsys.__file__ and colorsys.rgb_to_hsv is not rgb_to_hsv
with lent("colorsys", "rgb_to_hsv"):
    assert sys.modules["colorsys"] is colorsys
"""
PARAMS = """
import sys
import spark_build.contract.params as params
assert "email.message" not in sys.modules
class Some(params.RuleParams):
    count: int = 3
assert Some(count="4").count == 4
from importlib.metadata import version
assert version("pydantic")
"""


def test_it_is_loaded_when_it_is_called() -> None:
    subprocess.run([sys.executable, "-c", LENT], check=True)


def test_params_load_nothing_that_reads_metadata() -> None:
    subprocess.run([sys.executable, "-c", PARAMS], check=True)
