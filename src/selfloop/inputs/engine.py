"""The engine that holds the events: what every one of them can do."""

from typing import Any, Protocol

import ibis.expr.types as ir
import pyarrow as pa


class Engine(Protocol):
    """Where every table of an analysis lives: DuckDB, PostgreSQL or Spark."""

    @property
    def backend(self) -> Any:  # noqa: ANN401 - Ibis backends share no type
        """Ibis backend that runs the expressions."""

    @property
    def has_row_order(self) -> bool:
        """Whether a table has a first row, so that rows can be told by their number."""

    @property
    def reads_formats(self) -> bool:
        """Whether it reads times in text by a format of ``strptime``."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the engine raises when it stops."""

    def holds(self, source: object) -> bool:
        """Tell whether a table is in this engine already."""

    def adopt(self, source: Any) -> ir.Table:  # noqa: ANN401 - any table it holds
        """See a table of the user that is in this engine already."""

    def keep(self, expression: ir.Table, stem: str) -> ir.Table:
        """Compute a table once and keep it in the engine."""

    def upload(self, table: pa.Table, stem: str) -> ir.Table:
        """Put a small Arrow table into the engine."""

    def drop(self, table: ir.Table) -> None:
        """Forget a kept table."""

    def close(self) -> None:
        """Forget every kept table: what was computed from them is gone too."""

    def failure(self, error: Exception) -> Exception:
        """Say in words of this package why the engine has stopped."""
