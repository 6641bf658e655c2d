"""Runs a command, and reads the files that it writes."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from spark_build.contract import Bad, Context, Needs, Project, Raw, SourceFile
from spark_build.contract.command import CommandParams, keyed_params, needs_of_command, run_command
from spark_build.contract.command_run import check_wrote
from spark_build.sources._labels import FileSource, LabelledParams, labelled, with_table, without_table
from spark_build.sources._reading import libraries_for, read_file


class Params(CommandParams, LabelledParams):
    synonyms: ClassVar[Mapping[str, str]] = {**LabelledParams.synonyms, **CommandParams.synonyms}


class Command(FileSource):
    """What it writes to {output} is read as `files` reads a folder."""

    Params = Params
    revision = 3
    inputs_are_for_fetch = True

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return libraries_for(params)

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return with_table(needs_of_command(params, project), params)

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        reading = params.model_dump(mode="json", include=set(LabelledParams.model_fields))
        return {**without_table(reading), **keyed_params(params)}

    def fetch(self, context: Context) -> Path:
        output, kept = context.scratch / "output", context.scratch / "scratch"
        shutil.rmtree(output, ignore_errors=True)  # half of what a killed run wrote
        output.mkdir(parents=True)
        kept.mkdir(exist_ok=True)
        run_command(self.params, context, output, kept)
        check_wrote(output, "write there: --out {output}")
        return output

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        return labelled(file, read_file(file, self.params), self.params)
