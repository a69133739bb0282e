"""The constructor is the schema: its annotations say which settings a config may give it."""

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig, ListConfig

from mbrl.errors import ConfigError

MAX_INT = 2**31 - 1  # JAX counts in 32 bits
MAX_FLOAT = 3.4e38  # near the end of single precision
MAX_VALUE_LENGTH = 100  # characters of a value that a message shows

HYDRA_KEYS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
UNTYPED = (Any, object, inspect.Parameter.empty)
OPTAX_RATES = ("learning_rate", "weight_decay")
ARRAY_PACKAGES = ("jax", "jaxlib", "jaxtyping", "numpy")  # a config gives a number for an array
DESCRIPTIONS = {
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

Find = Callable[[Any], Any]  # from a _target_ to the object it names


def check_settings(node: DictConfig, target: Any, find: Find) -> None:
    """Raises ConfigError for the first setting of `node` that `target` does not accept."""
    for sentence in validation_errors(node, target, find):
        raise ConfigError(sentence)


def validation_errors(node: DictConfig, target: Any, find: Find) -> Iterator[str]:
    """One sentence for each setting of `node` that the constructor or function `target` refuses."""
    signature = _signature(target).parameters.values()
    parameters = {each.name: each for each in signature if each.kind < each.VAR_KEYWORD}
    takes_any = any(each.kind == each.VAR_KEYWORD for each in signature)
    for name in node:
        setting = node._get_full_key(name)
        if name in parameters:
            value, kinds = node[name], _alternatives(parameters[name].annotation)
            if not any(_matches(value, kind, find) for kind in kinds):
                rule = " or ".join(dict.fromkeys(_describe(kind) for kind in kinds))
                yield f"{setting}={format_value(value)}: must be {rule}.{text_hint(value)}"
            elif name in OPTAX_RATES and isinstance(value, int | float) and value < 0:
                # optax would accept it
                yield f"{setting}={value}: must not be negative. Try 0.001."
        elif name not in HYDRA_KEYS and not takes_any:
            owner = node.get("_target_", "this config")
            yield f"{setting}: not a setting of {owner}. {suggest(str(name), parameters)}"


def suggest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The remedy for an unknown name: the closest known one, or all of them."""
    near = did_you_mean(name, known).strip()
    return near or f"It has {', '.join(known) or 'none'}."


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A sentence with the known name that is closest to a misspelt one; empty if none is close."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{prefix}{near[0]}'?" if near else ""


def format_value(value: Any) -> str:
    """A value as messages show it: short, and on one line."""
    text = "null" if value is None else " ".join(str(value).split()) or "''"
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"


def text_hint(value: Any) -> str:
    """How to read a number from text, where a value is text that looks like a number."""
    try:
        is_number = isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        is_number = False
    if not is_number:
        return ""
    return (
        " It is text, as environment variables are: give $NAME on a command line, and "
        "${oc.decode:${oc.env:NAME}} in a file."
    )


def convert_whole_numbers(node: MutableMapping[Any, Any], target: Any) -> None:
    """Turns floats without a fraction (1e4) into integers, where `target` takes those only."""
    parameters = _signature(target).parameters
    for name in node:
        value = node[name]
        kinds = _alternatives(parameters[name].annotation) if name in parameters else ()
        is_whole = isinstance(value, float) and value.is_integer()
        if is_whole and int in kinds and float not in kinds:
            node[name] = int(value)


def is_part(value: Any) -> bool:
    """Whether a config value describes an object."""
    return isinstance(value, DictConfig) and "_target_" in value


def _signature(target: Any) -> inspect.Signature:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):  # not callable, or a builtin without a signature
        return inspect.Signature([inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)])


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for each in get_args(annotation) for kind in _alternatives(each)]
        # optax's unions of numbers hold bool and complex too; a config gives a plain number.
        unwanted = (bool, int, complex) if float in kinds else ()
        return tuple(kind for kind in kinds if kind not in unwanted)
    return (float,) if _is_array(annotation) else (annotation,)


def _matches(value: Any, kind: Any, find: Find) -> bool:
    origin = get_origin(kind) or kind
    if origin in (int, float):
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        is_whole = isinstance(value, int) or value.is_integer()
        return abs(value) <= MAX_FLOAT if origin is float else is_whole and abs(value) <= MAX_INT
    if origin in (NoneType, bool, str):
        return isinstance(value, origin)
    if origin is Literal:
        return value in get_args(kind)
    if origin in (Sequence, list, tuple):
        kinds = _alternatives(get_args(kind)[0]) if get_args(kind) else (Any,)
        return isinstance(value, ListConfig) and all(
            any(_matches(item, each, find) for each in kinds) for item in value
        )
    if origin in (Mapping, dict):
        return isinstance(value, DictConfig) and not is_part(value)
    if origin is Callable or _is_checkable(origin):
        return is_part(value) and _instantiates_to(value, kind, find)
    return True


def _instantiates_to(part: DictConfig, kind: Any, find: Find) -> bool:
    """Whether a part gives an object of this kind, as far as annotations tell."""
    target, is_partial = find(part._target_), bool(part.get("_partial_"))
    made = target if inspect.isclass(target) else _signature(target).return_annotation
    if (get_origin(kind) or kind) is not Callable:
        return not is_partial and get_origin(made) is not Callable and _is_subclass(made, kind)
    result = get_args(kind)[1] if get_args(kind) else Any
    if is_partial:
        return _is_subclass(made, result)
    if not inspect.isclass(made) or made in UNTYPED:
        return True
    return "__call__" in dir(made) and not (_is_checkable(result) and issubclass(made, result))


def _is_subclass(made: Any, wanted: Any) -> bool:
    return not (_is_checkable(made) and _is_checkable(wanted)) or issubclass(made, wanted)


def _is_checkable(kind: Any) -> bool:
    """Whether it is a class whose objects a config describes as parts."""
    is_plain = kind in UNTYPED or kind is float
    return inspect.isclass(kind) and not is_plain and not _is_array(kind)


def _is_array(kind: Any) -> bool:
    return inspect.isclass(kind) and kind.__module__.split(".")[0] in ARRAY_PACKAGES


def _describe(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return " or ".join(map(repr, get_args(kind)))
    name = getattr(origin, "__name__", origin)
    return DESCRIPTIONS.get(origin, f"a part (by its _target_) of the kind {name}")
