"""Files of a folder: Markdown, plain text, HTML, JSON, JSON lines, CSV, TSV, Parquet; images, audio, video."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar

from spark_build.contract import Bad, InputPath, Raw, SourceFile
from spark_build.contract.params import Field
from spark_build.sources._labels import FileSource, LabelledParams, labelled
from spark_build.sources._reading import libraries_for, read_file

# a path that names one file of rows is read by Python itself (or pyarrow, which is in every dataset's key)
_NO_LIBRARY = (".jsonl", ".ndjson", ".json", ".parquet", ".pq")


class Params(LabelledParams):
    path: InputPath = Field(description="A folder, or one file.")

    synonyms: ClassVar[Mapping[str, str]] = {
        **LabelledParams.synonyms,
        "folder": "path",
        "dir": "path",
        "directory": "path",
        "root": "path",
        "file": "path",
    }


class Files(FileSource):
    """A document or media file is one record and splits by its file; a row is one record and splits by its content."""

    Params = Params
    revision = 3

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return () if PurePosixPath(params.path).suffix.lower() in _NO_LIBRARY else libraries_for(params)

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        return labelled(file, read_file(file, self.params), self.params)
