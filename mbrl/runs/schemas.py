"""The types of what a run writes as JSON. Its files can be anyone's: with others, they are damaged.

Keys that are not listed are allowed, and kept.
"""

from datetime import UTC, datetime
from reprlib import repr as short_repr
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # Pydantic needs this one before Python 3.12

MAX_COUNT = 10**15  # of steps and seconds
MAX_NUMBER = 1e100  # of metrics and scores, in any unit; sums of its squares are still finite
YEARS = range(1970, 9999)  # that every time zone can show


def parse_time(text: str) -> datetime:
    """A moment in ISO 8601, by default in UTC. Raises ValueError for another text."""
    moment = datetime.fromisoformat(text)
    if moment.year not in YEARS:
        raise ValueError(f"the year must be in {YEARS.start} to {YEARS.stop - 1}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_time(text: str) -> str:
    parse_time(text)
    return text


def check_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row. Raises ValueError for a value that is not a number, or a list, as its name says."""
    for name, value in row.items():
        for number in value if name in LISTS and isinstance(value, list) else [value]:
            is_number = isinstance(number, int | float) and not isinstance(number, bool)
            if number is not None and not (is_number and abs(number) <= MAX_NUMBER):
                raise ValueError(f"{name}={short_repr(value)}: must be a number")
        if name in LISTS and not isinstance(value, list):
            raise ValueError(f"{name}={short_repr(value)}: must be a list of numbers")
    steps, seconds = row.get("env_steps"), row.get("wall_seconds", 0)
    if not isinstance(steps, int) or not 0 <= steps <= MAX_COUNT:
        raise ValueError("env_steps must be a whole number of at least 0")
    if seconds is None or not 0 <= seconds <= MAX_COUNT:
        raise ValueError("wall_seconds must be a number of at least 0")
    return row


def finite_or_none(value: Any) -> Any:
    """A value of a row, with None for numbers that are not finite or are beyond MAX_NUMBER."""
    if isinstance(value, list):
        return [finite_or_none(each) for each in value]
    is_number = isinstance(value, int | float)
    return None if is_number and not abs(value) <= MAX_NUMBER else value


LISTS = ("evaluation/returns", "evaluation/lengths")  # of an evaluation's episodes

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Amount = Annotated[float, Field(ge=0, le=MAX_COUNT)]
Metric = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Time = Annotated[str, AfterValidator(_check_time)]

STRICT = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
typed = with_config(STRICT)


@typed
class Facts(TypedDict):
    """What a checkpoint knows beside its arrays."""

    env_steps: Count
    num_rows: Count  # of metrics.jsonl
    wall_seconds: Amount
    config: str  # its fingerprint


@typed
class Git(TypedDict):
    commit: NotRequired[str]
    diff: NotRequired[str | None]
    untracked: NotRequired[list[str]]


@typed
class Device(TypedDict):
    platform: str
    kind: str


@typed
class Cores(TypedDict):
    machine: int | None
    usable: int | None


@typed
class Threads(TypedDict):
    """Further keys are environment variables."""

    num_threads: int | None


@typed
class Start(TypedDict):
    """The process that started or resumed a run."""

    started: Time
    command: NotRequired[list[str]]
    seed: NotRequired[Count]
    git: NotRequired[Git | None]
    python: NotRequired[str]
    packages: NotRequired[dict[str, str]]
    platform: NotRequired[str]
    devices: NotRequired[list[Device]]
    cores: NotRequired[Cores]
    threads: NotRequired[Threads]


@typed
class Provenance(Start):
    """provenance.json: how the run was chosen, and by which processes it was computed."""

    started: NotRequired[Time]  # type: ignore[misc] # missing in a job that never started
    name: NotRequired[str]
    group: NotRequired[str | None]
    choices: NotRequired[dict[str, str]]
    overrides: NotRequired[list[str]]
    environment: NotRequired[dict[str, str]]
    run_id: NotRequired[str | None]
    resumes: NotRequired[list[Start]]


@typed
class Environment(TypedDict):
    id: str
    solved_score: NotRequired[Metric | None]  # return
    random_score: NotRequired[Metric | None]  # return
    best_score: NotRequired[Metric | None]  # return


@typed
class Training(TypedDict):
    env_steps: NotRequired[Metric | None]  # the run itself refuses what is too small or too large


@typed
class Config(TypedDict):
    """config.yaml, and of its settings those that are used before the config is resolved."""

    seed: Count
    num_threads: Any
    discount: Any
    env: Environment
    model: dict[str, Any]
    planner: dict[str, Any]
    training: Training
    logger: dict[str, dict[str, Any]]


Summary = TypedDict(  # as a call, since keys have slashes
    "Summary",
    {
        "status": Literal["running", "completed", "failed", "interrupted"],
        "env_steps": NotRequired[Count],
        "wall_seconds": NotRequired[Amount],
        "error": NotRequired[str],
        "evaluation/return_mean": NotRequired[Metric | None],
        "evaluation/return_std": NotRequired[Metric | None],
    },
)
typed(Summary)
Row = Annotated[dict[str, Any], AfterValidator(check_row)]

ROW_SCHEMA: TypeAdapter = TypeAdapter(Row, config=STRICT)
CONFIG_SCHEMA = TypeAdapter(Config)
FACTS_SCHEMA = TypeAdapter(Facts)
PROVENANCE_SCHEMA = TypeAdapter(Provenance)
SUMMARY_SCHEMA = TypeAdapter(Summary)


def what_is_wrong(error: ValidationError) -> str:
    """The first thing that is wrong in a file: `wall_seconds: Input should be a valid number`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
