"""The constructor is the schema: what its annotations say of the settings that a config gives it."""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig, ListConfig

MAX_INT = 2**31 - 1  # of the 32 bits in which JAX counts here
MAX_FLOAT = 3.4e38  # near the end of single precision
MAX_VALUE_LENGTH = 100  # characters of a value that a message shows

HYDRA_KEYS = (
    "_target_",
    "_partial_",
    "_args_",
    "_convert_",
    "_recursive_",
)  # keys that are no argument
UNTYPED = (Any, object, inspect.Parameter.empty)
ARRAYS = (
    "jax",
    "jaxlib",
    "jaxtyping",
    "numpy",
)  # packages whose types a config can only give a number for
MEANINGS = {
    NoneType: "null",
    bool: "true or false",
    str: "a word",
    int: f"a whole number (up to {MAX_INT})",
    float: "a number (finite, in single precision)",
    Sequence: "a list",
    list: "a list",
    tuple: "a list",
    Mapping: "a mapping",
    dict: "a mapping",
    Callable: "a function (by its _target_)",
}

Find = Callable[[Any], Any]  # from a _target_ to what it names


def validation_errors(node: DictConfig, target: Any, find: Find) -> Iterator[str]:
    """A sentence for each setting in `node` that is nothing for the constructor or function `target`."""
    signature = _signature(target).parameters.values()
    parameters = {
        parameter.name: parameter
        for parameter in signature
        if parameter.kind < parameter.VAR_KEYWORD
    }
    takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in signature)
    for name in node:
        setting = node._get_full_key(name)
        if name in parameters:
            yield from _validation_error(setting, node[name], parameters[name], find)
        elif name not in HYDRA_KEYS and not takes_any:
            near = difflib.get_close_matches(str(name), parameters, n=1)
            mend = (
                f"did you mean '{near[0]}'?"
                if near
                else f"it takes {', '.join(parameters) or 'nothing'}."
            )
            yield f"{setting} is an unexpected keyword argument '{format_value(name)}' of {node._target_}; {mend}"


def format_value(value: Any) -> str:
    """A value as a message shows it: short, and on one line."""
    text = "null" if value is None else " ".join(str(value).split()) or "''"
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"


def is_part(value: Any) -> bool:
    """Whether a value of a config describes an object."""
    return isinstance(value, DictConfig) and "_target_" in value


def _validation_error(
    setting: str, value: Any, parameter: inspect.Parameter, find: Find
) -> Iterator[str]:
    kinds = _kinds(parameter.annotation)
    if not any(_matches(value, kind, find) for kind in kinds):
        rule = " or ".join(dict.fromkeys(_describe(kind) for kind in kinds))
        yield f"{setting}={format_value(value)} must be {rule}; mend it on the command line or in its file."
    elif (
        parameter.name == "learning_rate" and isinstance(value, int | float) and value < 0
    ):  # which optax would take
        yield f"{setting}={value} must not be negative: it is how far a gradient step goes; try 0.001."


def _signature(target: Any) -> inspect.Signature:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):  # not everything can be called, nor says how
        return inspect.Signature([inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)])


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """What an annotation offers to choose from."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for alternative in get_args(annotation) for kind in _kinds(alternative)]
        # optax counts true and 2j among the numbers.
        return tuple(
            kind for kind in kinds if float not in kinds or kind not in (bool, int, complex)
        )
    return (float,) if _is_array(annotation) else (annotation,)


def _matches(value: Any, kind: Any, find: Find) -> bool:
    origin = get_origin(kind) or kind
    if origin in (int, float):
        limit, types = (MAX_INT, int) if origin is int else (MAX_FLOAT, int | float)
        return isinstance(value, types) and not isinstance(value, bool) and abs(value) <= limit
    if origin in (NoneType, bool, str):
        return isinstance(value, origin)
    if origin is Literal:
        return value in get_args(kind)
    if origin in (Sequence, list, tuple):
        kinds = _kinds(get_args(kind)[0]) if get_args(kind) else (Any,)
        return isinstance(value, ListConfig) and all(
            any(_matches(item, each, find) for each in kinds) for item in value
        )
    if origin in (Mapping, dict):
        return isinstance(value, DictConfig) and not is_part(value)
    if origin is Callable or _is_checkable(origin):
        return is_part(value) and _instantiates_to(value, kind, find)
    return True


def _instantiates_to(part: DictConfig, kind: Any, find: Find) -> bool:
    """Whether a part is of the kind that is wanted; where nothing tells, it may be."""
    target = find(part._target_)
    made = target if inspect.isclass(target) else _signature(target).return_annotation
    if (get_origin(kind) or kind) is not Callable:
        return (
            not part.get("_partial_")
            and get_origin(made) is not Callable
            and _is_kind_of(made, kind)
        )
    result = get_args(kind)[1] if get_args(kind) else Any
    if part.get("_partial_"):
        return _is_kind_of(made, result)
    return (
        not inspect.isclass(made)
        or made in UNTYPED
        or ("__call__" in dir(made) and not (_is_checkable(result) and issubclass(made, result)))
    )


def _is_kind_of(made: Any, wanted: Any) -> bool:
    return not (_is_checkable(made) and _is_checkable(wanted)) or issubclass(made, wanted)


def _is_checkable(kind: Any) -> bool:
    """Whether it is a class of this project's or its like, that a config describes by a part."""
    return (
        inspect.isclass(kind) and kind not in UNTYPED and kind is not float and not _is_array(kind)
    )


def _is_array(kind: Any) -> bool:
    return inspect.isclass(kind) and kind.__module__.split(".")[0] in ARRAYS


def _describe(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return MEANINGS.get(
        origin, f"a part (by its _target_) of the kind {getattr(origin, '__name__', origin)}"
    )
