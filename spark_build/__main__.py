"""`python -m spark_build`: the same as `spark`."""

from spark_build.cli import entry

if __name__ == "__main__":
    entry()
