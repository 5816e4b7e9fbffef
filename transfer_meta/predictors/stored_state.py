"""State of fitted predictors as plain JSON values, written and read.

A state from a folder is data of unknown origin: only what a predictor declares (`TransferPredictor.stored`) is
read, each entry checked against its kind, and no class is looked up by a name from the file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from transfer_meta.predictors.base import TransferPredictor
from transfer_meta.predictors.state_kinds import (
    ARRAY,
    NAMES,
    PREDICTOR,
    TREES,
    Record,
    Scope,
    StateError,
    at,
    check_keys,
)

FEATURES = "features"
"""Axis of the feature columns seen in `fit`."""
FEATURE_NAMES = "feature_names_in_"
"""Attribute that holds their names, as scikit-learn calls it."""


def state_of(predictor: TransferPredictor, boosters: list[str]) -> dict[str, Any]:
    """Return the constructor's parameters and the attributes set by `fit` as JSON values.

    Parameters
    ----------
    predictor : TransferPredictor
        Fitted.
    boosters : list of str
        The texts of its LightGBM models are appended; the state refers to their positions.
    """
    encoded = _encode(_attributes(predictor), boosters)
    return dict(encoded)


def restore_state(
    predictor: TransferPredictor,
    state: Any,
    columns: Collection[str],
    text_of: Callable[[str], str],
) -> TransferPredictor:
    """Set the state of a new predictor.

    Parameters
    ----------
    predictor : TransferPredictor
        As made by `make_predictor`.
    state : any
        JSON value, as from `state_of`.
    columns : collection of str
        Features of the table; the predictor's must be among them.
    text_of : callable
        Returns the text of a LightGBM model by the name of its file.

    Raises
    ------
    StateError
        The state is not one of such a predictor.
    """
    table = Scope(text_of=text_of, read_predictor=_read, names={FEATURES: list(columns)})
    return _read(predictor, state, table)


def _read(predictor: TransferPredictor, state: Any, outer: Scope) -> TransferPredictor:
    kinds = dict(predictor.stored)
    check_keys(state, kinds)
    scope = Scope(predictor, outer.text_of, outer.read_predictor)
    parameters = {name: kinds.pop(name) for name in predictor.get_params(deep=False)}
    given = {name: state[name] for name in parameters}
    predictor.set_params(**Record(parameters).read(given, scope))
    if FEATURE_NAMES in kinds:
        names = at(FEATURE_NAMES, kinds.pop(FEATURE_NAMES), state[FEATURE_NAMES], scope)
        setattr(predictor, FEATURE_NAMES, names)
        # A part of a predictor that has no features of its own may use some of the table's.
        some = outer.owner is not None and FEATURE_NAMES not in outer.owner.stored
        if not some and list(names) != list(outer.names[FEATURES]):
            raise StateError("is of other columns than the card or the model around it")
    else:
        scope.names[FEATURES] = outer.names[FEATURES]
    scope.names |= predictor.stored_names(scope.names[FEATURES])
    scope.sizes |= {axis: len(names) for axis, names in scope.names.items() if axis not in scope.sizes}
    scope.sizes |= predictor.stored_sizes(scope.sizes)
    for name, kind in kinds.items():
        if name in state:
            setattr(predictor, name, at(name, kind, state[name], scope))
    try:
        predictor.check_stored()
    except ValueError as error:
        raise StateError(str(error)) from error
    return predictor


def _attributes(predictor: TransferPredictor) -> dict[str, Any]:
    """Return the constructor's parameters and the attributes set by `fit`."""
    parameters = predictor.get_params(deep=False)
    return {k: v for k, v in vars(predictor).items() if k.endswith("_") or k in parameters}


def _encode(value: Any, boosters: list[str]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {NAMES: [str(v) for v in value]}
        return {ARRAY: value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: _encode(v, boosters) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(v, boosters) for v in value]
    if isinstance(value, TransferPredictor):
        return {PREDICTOR: type(value).__name__, "state": _encode(_attributes(value), boosters)}
    if hasattr(value, "model_to_string"):
        boosters.append(value.model_to_string())
        return {TREES: f"booster_{len(boosters) - 1}.txt"}
    return value
