"""Rows of a query, asked and pinned by `spark update`."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import UUID

from pydantic import field_validator

from spark_build.contract import Bad, Context, OutsideSource, Project, Raw, RuleParams, Secret, SourceFile
from spark_build.contract.params import Field
from spark_build.core.digest import canonical_json, digest_json
from spark_build.core.errors import BadInput, Unavailable
from spark_build.sources._pinned_rows import ROWS, without_credentials, write_rows

_PASSWORD = re.compile(r"://[^/@:]*:([^@]*)@")


class Params(RuleParams):
    url: Secret = Field(
        description="Of the database, as SQLAlchemy writes it: sqlite:///data/calls.db, "
        '"postgresql+psycopg://reader:${secret.DB_PASSWORD}@host/calls".'
    )
    query: str = Field(description="What is asked. Each row is one record; the order of rows does not count.")
    id: str | None = Field(
        None, description="The column that names a row; by default 'id' where there is one."
    )
    split: str | None = Field(None, description="The column that says the split of a row.")
    max_rows: int = Field(10_000_000, ge=1, description="More than so many are an error.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "sql": "query", "statement": "query", "select": "query", "dsn": "url", "connection": "url", "database": "url",
        "uri": "url", "limit": "max_rows", "id_column": "id",
    }  # fmt: skip

    @field_validator("query")
    @classmethod
    def _asks_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("empty: SELECT … FROM …")
        return value


class Sql(OutsideSource):
    """Builds know the rows as `spark update` found them, whatever becomes of the table."""

    Params = Params
    revision = 1
    outside_params = ("query", "max_rows")
    outside_parts = (f"{ROWS}/",)

    @classmethod
    def asks(cls, params: Any, project: Project) -> Any:
        return {"url": without_credentials(params.url), "query": params.query}

    def bring(self, context: Context, before: Path | None) -> None:
        rows = sorted(self._rows(context.base_dir))
        if not rows:
            raise BadInput("the query gives no row", fix="ask it in the database's own shell")
        write_rows(rows, context.output)
        context.report.log(f"{len(rows):,} rows")

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        with open(file.location, "rb") as lines:
            for line in lines:
                yield self._record(json.loads(line))

    def _record(self, row: dict[str, Any]) -> Raw | Bad:
        fields = {name: value for name, value in row.items() if name != self.params.id}
        named = row.get(self.params.id) if self.params.id is not None else None
        split = fields.pop(self.params.split, None) if self.params.split is not None else None
        if all(value is None for value in fields.values()):
            return Bad("empty", "no value", ROWS)
        own_id = None if named is None else str(named)
        return Raw(
            fields, key=digest_json(row), id=own_id, split=None if split is None else str(split), source=ROWS
        )

    def _rows(self, base_dir: Path) -> Iterator[bytes]:
        """Each as canonical JSON. Errors: Unavailable, in which no password stands."""
        try:
            import sqlalchemy
        except ImportError:
            raise Unavailable("sql needs SQLAlchemy", fix="pip install 'spark-build[sql]'") from None
        try:
            url = _from(sqlalchemy.make_url(self.params.url), base_dir)
            with sqlalchemy.create_engine(
                url
            ).connect() as connection:  # whose changes are taken back at the end
                asked = connection.execution_options(stream_results=True).execute(
                    sqlalchemy.text(self.params.query)
                )
                names = list(asked.keys())
                self._check_columns(names)
                for number, row in enumerate(asked, 1):
                    if number > self.params.max_rows:
                        raise BadInput(
                            f"more than {self.params.max_rows:,} rows", fix="ask for fewer, or raise max_rows"
                        )
                    yield canonical_json(
                        {name: _plain(value, name) for name, value in zip(names, row, strict=True)}
                    )
        except (sqlalchemy.exc.SQLAlchemyError, ModuleNotFoundError) as error:
            told = getattr(error, "orig", None) or error
            raise Unavailable(
                f"{without_credentials(self.params.url)}: {_without(str(told), self.params.url)}",
                fix="check the URL, the query and that the database's driver is installed",
            ) from None

    def _check_columns(self, names: list[str]) -> None:
        """Errors: BadInput for a column twice, or one that is named and not there."""
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise BadInput(
                f"the query gives two columns '{twice}'", fix=f"name one: SELECT … AS other_{twice}"
            )
        for wanted in filter(None, (self.params.id, self.params.split)):
            if wanted not in names:
                raise BadInput(f"the query gives no column '{wanted}'", fix=f"it gives {', '.join(names)}")


def _plain(value: Any, name: str) -> Any:
    """As JSON has it: dates as ISO 8601, exact decimals as text. Errors: BadInput for bytes and the like."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | timedelta):
        return str(value)
    raise BadInput(
        f"column '{name}' holds {type(value).__name__}", fix="convert it in the query, or leave it out"
    )


def _from(url: Any, base_dir: Path) -> Any:
    """A database file lies relative to the Sparkfile, like any other path."""
    if url.get_backend_name() not in ("sqlite", "duckdb") or url.database in (None, "", ":memory:"):
        return url
    file = base_dir / url.database
    if not file.is_file():  # a driver would make an empty one
        raise Unavailable(f"{url.database}: no such file", fix="the URL names a database file of the project")
    return url.set(database=str(file))


def _without(text: str, url: str) -> str:
    """What a driver says, without the password that the URL may hold."""
    found = _PASSWORD.search(url)
    return text.replace(unquote(found[1]), "***").replace(found[1], "***") if found and found[1] else text
