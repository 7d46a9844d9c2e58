"""Whatever dlt and Python do to an error of ours, a command ends with its sentence and code."""

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from pipelines.commands.failures import TRY_LATER, ending
from pipelines.kalshi.client import errors
from pipelines.kalshi.client.errors import ExchangeError, ExchangeUnavailable, RequestRefused
from pipelines.kalshi.pages import BadPage


def kinds(of: type[ExchangeError]) -> list[type[ExchangeError]]:
    return [of, *(kind for below in of.__subclasses__() for kind in kinds(below))]


OURS = [kind for kind in kinds(ExchangeError) if kind.__module__.startswith("pipelines.")]


def pipeline(folder: Path, destination: Any) -> dlt.Pipeline:
    return dlt.pipeline("trial", pipelines_dir=str(folder), destination=destination)


def ended_by(error: BaseException, folder: Path) -> tuple[str, int]:
    """How a command ends that meets *error* where a pass reads: in a generator of a generator."""

    @contextmanager
    def opened() -> Iterator[None]:
        yield

    def items() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise error

    @dlt.resource
    def rows() -> Iterator[Any]:
        yield from items()

    @dlt.source
    def source() -> Any:
        return rows

    with pytest.raises(Exception) as caught, opened():
        pipeline(folder, "duckdb").extract(source())
    return ending(caught.value)


def test_every_kind_of_error_is_among_those_tried() -> None:
    declared = {kind for kind in vars(errors).values() if isinstance(kind, type)}

    assert declared | {BadPage} <= set(OURS)


@pytest.mark.parametrize("kind", OURS)
def test_an_error_among_rows_ends_the_command_as_itself(
    kind: type[ExchangeError], tmp_path: Path
) -> None:
    """An error raised while rows are read ends the command as itself."""
    error = kind("GET /communications/rfqs: HTTP 400")

    assert ended_by(error, tmp_path) == (f"rfq: {error}", kind.exit_code)


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_a_copy_of_an_error_says_the_same(kind: type[ExchangeError], again: Any) -> None:
    error = kind("the exchange refused", advice="Do this.")

    copied = again(error)

    assert type(copied) is kind
    assert str(copied) == str(error) == "the exchange refused. Do this."


def test_a_refusal_keeps_its_status_and_code() -> None:
    copied = copy.copy(RequestRefused("HTTP 400", status=400, code="bad"))

    assert (copied.status, copied.code) == (400, "bad")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExchangeUnavailable("HTTP 500"), 69),
        (duckdb.IOException("IO Error: disk"), TRY_LATER),
    ],
)
def test_an_error_in_a_thread_of_the_loader_is_found(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt raises another one in the main thread, which only holds what the job met."""
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")

    @dlt.destination(batch_size=1)
    def nowhere(items: Any, table: Any) -> None:
        raise error

    with pytest.raises(Exception) as caught:
        pipeline(tmp_path, nowhere).run([{"a": 1}], table_name="rows")

    assert ending(caught.value)[1] == code


def test_an_error_in_a_group_is_found() -> None:
    group = ExceptionGroup("two", [ValueError("x"), ExchangeUnavailable("HTTP 500")])

    assert ending(group)[1] == 69
