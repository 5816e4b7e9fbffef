"""Kinds of values that the stored state of a predictor may hold, and their checks.

A predictor declares the closed list of what it stores, each with its kind (`TransferPredictor.stored`).  Sizes have
names: all arrays with an axis of one name must have one size.  Nothing is read that was not declared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from transfer_meta.readers.opening import shown

if TYPE_CHECKING:
    from transfer_meta.predictors.base import TransferPredictor

MAX_NUMBER = 1e100
"""Largest absolute value of a stored number: the product of two is finite, and no table comes near."""
MAX_NAME = 1_000
"""Largest number of characters of a name."""
NAMES, ARRAY, TREES, PREDICTOR = "__names__", "__array__", "__booster__", "__predictor__"
"""Keys of objects that stand for an array of names, one of numbers, a LightGBM model and a predictor."""


class StateError(ValueError):
    """A stored value that is not of its kind; the message says what was found and expected."""


@dataclass
class Scope:
    """What is known while the state of one predictor is read, or, without an owner, the card of a model.

    Parameters
    ----------
    owner : TransferPredictor or None
        Predictor that is read; its constructor's parameters are set before anything else is read.
    text_of : callable
        Returns the text of a LightGBM model by the name of its file.
    read_predictor : callable
        Reads a predictor within another one: (predictor, state, outer scope).
    sizes : dict of str to int
        Lengths of the axes.
    names : dict of str to list of str
        Names along those axes that have some.
    """

    owner: Any = None
    text_of: Callable[[str], str] = str
    read_predictor: Callable[[TransferPredictor, Any, Scope], TransferPredictor] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    names: dict[str, Sequence[str]] = field(default_factory=dict)

    def check_size(self, axis: int | str, found: int) -> None:
        """Raise StateError unless `found` is the size of an axis; the first size of a new axis holds.

        Axes are numbers, names, or sums of known ones: ``features+1``.
        """
        if isinstance(axis, str) and "+" not in axis:
            expected = self.sizes.setdefault(axis, found)
        else:
            terms = str(axis).split("+")
            expected = sum(int(t) if t.isdigit() else self.sizes[t] for t in terms)
        if found != expected:
            raise StateError(f"has {found} values along '{axis}' (expected {expected})")


class Kind:
    """Kind of a stored value."""

    optional: bool = False
    """Whether the value may be absent from the state."""

    def read(self, value: Any, scope: Scope) -> Any:
        """Return the value as the predictor holds it; raises StateError for another kind."""
        raise NotImplementedError


@dataclass(frozen=True)
class Number(Kind):
    """A finite number between two bounds; `unknown`: or NaN."""

    low: float = -MAX_NUMBER
    high: float = MAX_NUMBER
    whole: bool = False
    may_be_none: bool = False
    unknown: bool = False

    def read(self, value: Any, scope: Scope | None = None) -> Any:
        if value is None and self.may_be_none:
            return None
        if type(value) is not int and (self.whole or type(value) is not float):
            raise _not("a whole number" if self.whole else "a number", value)
        if self.unknown and value != value:
            return value
        if not self.low <= value <= self.high:  # not-a-number is outside
            raise _not(f"a number from {self.low:g} to {self.high:g}", value)
        return value


POSITIVE = 1e-100
"""Lower bound of a number that something is divided by."""


@dataclass(frozen=True)
class Count(Kind):
    """The size of an axis."""

    axis: str

    def read(self, value: Any, scope: Scope) -> int:
        scope.check_size(self.axis, Number(0, whole=True).read(value))
        return int(value)


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    optional: bool = False

    def read(self, value: Any, scope: Scope | None = None) -> bool:
        if type(value) is not bool:
            raise _not("true or false", value)
        return value


@dataclass(frozen=True)
class Text(Kind):
    """A short string, one of `choices` if there are any."""

    choices: tuple[str, ...] = ()
    optional: bool = False

    def read(self, value: Any, scope: Scope | None = None) -> str:
        if not isinstance(value, str) or len(value) > MAX_NAME:
            raise _not("a short text", value)
        if self.choices and value not in self.choices:
            raise _not(f"one of {', '.join(self.choices)}", value)
        return value


@dataclass(frozen=True)
class AsMade(Kind):
    """A parameter that the predictor's name determines: what `predictors.make_predictor` gave it."""

    name: str

    def read(self, value: Any, scope: Scope) -> Any:
        made = getattr(scope.owner, self.name)
        plain = list(made) if isinstance(made, tuple) else made
        if type(value) is not type(plain) or value != plain:
            raise _not(f"{plain!r}, as for every such predictor", value)
        return made


class Numbers(Kind):
    """An array of finite numbers.

    Parameters
    ----------
    *axes : int or str
        See `Scope.check_size`.
    low, high : float
        Bounds of all values.
    smallest : float
        Least absolute value but for 0.
    unknown : bool
        Whether NaN may stand for an unknown value.
    whole : bool
        Whether values are whole numbers.
    plain : bool
        Whether it is stored as a list instead of an array.
    """

    def __init__(
        self,
        *axes: int | str,
        low: float = -MAX_NUMBER,
        high: float = MAX_NUMBER,
        smallest: float = 0.0,
        unknown: bool = False,
        whole: bool = False,
        plain: bool = False,
    ) -> None:
        self.axes, self.low, self.high, self.smallest = axes, low, high, smallest
        self.unknown, self.whole, self.plain = unknown, whole, plain

    def read(self, value: Any, scope: Scope) -> Any:
        items = value
        if not self.plain:
            types = ("int64", "int32") if self.whole else ("float64",)
            if not isinstance(value, dict) or set(value) != {ARRAY, "dtype"}:
                raise _not("an array", value)
            if value["dtype"] not in types:
                raise StateError("has another type of numbers than expected")
            items = value[ARRAY]
        array = self._array(items)
        if array.ndim != len(self.axes):
            raise StateError(f"has {array.ndim} axes (expected {len(self.axes)})")
        for axis, found in zip(self.axes, array.shape, strict=True):
            scope.check_size(axis, found)
        inside = (array >= self.low) & (array <= self.high)
        inside &= (array == 0) | (np.abs(array) >= self.smallest)
        if self.unknown:
            inside |= np.isnan(array)
        if not inside.all():
            raise StateError(
                f"has values that are not from {self.low:g} to {self.high:g}, or nearly zero"
                if self.smallest
                else f"has values that are not from {self.low:g} to {self.high:g}"
            )
        return list(items) if self.plain else array

    def _array(self, items: Any) -> Any:
        if not isinstance(items, list):
            raise _not("a list of numbers", items)
        try:
            array = np.array(items, dtype=object)
        except ValueError as error:
            raise StateError("has rows of different lengths") from error
        # Neither true nor "1" nor null is a number, though numpy makes numbers of them.
        if not {*map(type, array.ravel())} <= ({int} if self.whole else {int, float}):
            raise StateError("has rows of different lengths, or values that are no numbers")
        try:
            return array.astype(np.intp if self.whole else np.float64)
        except OverflowError as error:
            raise StateError("has a number that is too large") from error


def scales(axis: int | str, *, plain: bool = False) -> Numbers:
    """Return the kind of standard deviations along an axis, 0 for a constant; squares of quotients are finite."""
    return Numbers(axis, low=0, smallest=1e-30, plain=plain)


@dataclass(frozen=True)
class OneOf(Kind):
    """A value of one of several kinds, of which the first one that fits is taken."""

    kinds: tuple[Kind, ...]
    optional: bool = False

    def read(self, value: Any, scope: Scope) -> Any:
        for kind in self.kinds[:-1]:
            try:
                return kind.read(value, scope)
            except StateError:
                continue
        return self.kinds[-1].read(value, scope)


@dataclass(frozen=True)
class Names(Kind):
    """Different names along an axis.

    Parameters
    ----------
    axis : str
        The names are known by it while the rest of the state is read.
    ordered : bool
        Whether they must be sorted, as the axes that are searched by bisection.
    within, same_as : str
        Known names that these must be among, or equal to.
    plain : bool
        Whether they are stored as a list instead of an array.
    """

    axis: str
    ordered: bool = False
    within: str = ""
    same_as: str = ""
    plain: bool = False
    choices: Collection[str] = ()

    def read(self, value: Any, scope: Scope) -> Any:
        if not self.plain and (not isinstance(value, dict) or set(value) != {NAMES}):
            raise _not("an array of names", value)
        names = value if self.plain else value[NAMES]
        if not isinstance(names, list):
            raise _not("a list of names", names)
        for name in names:
            Text().read(name)
        if len(set(names)) < len(names):
            raise StateError("has a name twice")
        if self.ordered and names != sorted(names):
            raise StateError("is not sorted")
        if self.same_as and names != list(scope.names[self.same_as]):
            raise StateError(f"differs from what '{self.same_as}' holds")
        unknown = set(names) - set(scope.names[self.within] if self.within else self.choices or names)
        if unknown:
            raise StateError(f"has a name that is unknown there: '{shown(min(unknown))}'")
        scope.check_size(self.axis, len(names))
        scope.names[self.axis] = names
        return names if self.plain else np.array(names, dtype=object)


@dataclass(frozen=True)
class ByName(Kind):
    """An object with a value of one kind for each name."""

    kind: Kind
    choices: Collection[str] = ()

    def read(self, value: Any, scope: Scope) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _not("an object", value)
        for name in value:
            Text(tuple(self.choices)).read(name)
        return {name: at(name, self.kind, item, scope) for name, item in value.items()}


@dataclass(frozen=True)
class Record(Kind):
    """An object with fixed entries."""

    entries: Mapping[str, Kind]

    def read(self, value: Any, scope: Scope) -> dict[str, Any]:
        check_keys(value, self.entries)
        return {
            name: at(name, kind, value[name], scope)
            for name, kind in self.entries.items()
            if name in value
        }


@dataclass(frozen=True)
class Items(Kind):
    """A list of values of one kind."""

    kind: Kind
    optional: bool = False

    def read(self, value: Any, scope: Scope) -> list[Any]:
        if not isinstance(value, list):
            raise _not("a list", value)
        return [self.kind.read(item, scope) for item in value]


@dataclass(frozen=True)
class InnerPredictor(Kind):
    """A predictor of a class within another one.

    Parameters
    ----------
    make : callable or None
        Returns a new one; None: of the class, and with the parameters, of the owner's ``predictor``.
    may_be_none : bool
        Whether there may be none.
    """

    make: Callable[[], TransferPredictor] | None
    may_be_none: bool = False

    def read(self, value: Any, scope: Scope) -> Any:
        if value is None and self.may_be_none:
            return None
        from sklearn.base import clone

        part = clone(scope.owner.predictor) if self.make is None else self.make()
        check_keys(value, {PREDICTOR: Text(), "state": Text()})
        Text((type(part).__name__,)).read(value[PREDICTOR])
        assert scope.read_predictor is not None
        return scope.read_predictor(part, value["state"], scope)


class Parameters(Kind):
    """A predictor that is a parameter of another one: not fitted, of the class that was made."""

    stored: ClassVar[str] = "predictor"

    def read(self, value: Any, scope: Scope) -> Any:
        made = getattr(scope.owner, self.stored)
        check_keys(value, {PREDICTOR: Text(), "state": Text()})
        Text((type(made).__name__,)).read(value[PREDICTOR])
        wanted = {name: made.stored[name] for name in made.get_params(deep=False)}
        inner = Scope(made, scope.text_of, scope.read_predictor)
        return made.set_params(**Record(wanted).read(value["state"], inner))


def at(name: str, kind: Kind, value: Any, scope: Scope) -> Any:
    """Read the value of an entry; an error names it."""
    try:
        return kind.read(value, scope)
    except StateError as error:
        raise StateError(f"'{shown(name)}' {error}") from error


def check_keys(value: Any, entries: Mapping[str, Kind]) -> None:
    """Raise StateError unless the value is an object with these entries, but for optional ones, and no others."""
    if not isinstance(value, dict):
        raise _not("an object", value)
    for name in value:
        if name not in entries:
            raise StateError(f"has the unknown entry '{shown(name)}'")
    for name, kind in entries.items():
        if name not in value and not kind.optional:
            raise StateError(f"lacks '{name}'")


def _not(expected: str, value: Any) -> StateError:
    got = f"'{shown(value)}'" if isinstance(value, str) else type(value).__name__
    if type(value) is int or type(value) is float:
        got = f"{value:g}" if abs(value) <= MAX_NUMBER else "one out of all bounds"
    return StateError(f"is not {expected} (got {got})")
