"""A PostgreSQL server of our own and a session of Spark, as long as tests need them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from required import missing


def _binaries() -> Path | None:
    """Where the programs of a PostgreSQL server are, when there are any."""
    found = shutil.which("pg_ctl")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[dict[str, str]]:
    """A server that nobody else has; how to connect to it as its owner."""
    programs = _binaries()
    if programs is None:
        missing("postgres", "there is no PostgreSQL server on this machine")
    # It refuses to run as root.
    owner = {"user": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if owner:
        shutil.chown(folder, "postgres")

    def run(*words: str) -> None:
        subprocess.run(
            words, check=True, capture_output=True, cwd=folder, timeout=120, **owner
        )

    data = str(folder / "data")
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    try:
        # Text of the database sorts as English does: ours must not.
        run(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "owner",
            "--encoding", "UTF8", "--locale", "C.UTF-8")  # fmt: skip
        run(str(programs / "pg_ctl"), "-D", data, "-o", options, "-w", "-l",
            str(folder / "log"), "start")  # fmt: skip
        yield {"host": str(folder), "user": "owner", "dbname": "postgres"}
        run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def spark():
    """A session of Spark on two cores of this machine."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing("spark", "there is no Java on this machine")
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415 - may not be there
    except ImportError:
        missing("spark", "pyspark is not installed")
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        # Tables are small here: making code for a query takes longer than running it.
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
