"""Load texts of LightGBM models and predict with them: the program of the child process of `tree_process`.

Run by its path with ``python -I -S``, so that it starts in hundredths of a second: it imports nothing of ours and
calls the library by its C interface.
"""

from __future__ import annotations

import ctypes
import json
import sys

READY = "ready"
"""Line on stderr once the library is there, before a text is read; stdout has the library's own messages."""
ROWS = (0.0, float("nan"))
"""Values of all features in the rows that are predicted."""
_FLOAT64, _RAW_SCORES = 1, 1


def try_text(library: ctypes.CDLL, text: str) -> list[int]:
    """Return the numbers of trees and features of a model, after predicting with it."""
    handle = ctypes.c_void_p()
    iterations, trees, features = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    length = ctypes.c_int64()

    def call(function: str, *arguments: object) -> None:
        if getattr(library, function)(*arguments) != 0:
            library.LGBM_GetLastError.restype = ctypes.c_char_p
            raise SystemExit(library.LGBM_GetLastError().decode(errors="replace"))

    call(
        "LGBM_BoosterLoadModelFromString",
        ctypes.c_char_p(text.encode()),
        ctypes.byref(iterations),
        ctypes.byref(handle),
    )
    call("LGBM_BoosterNumberOfTotalModel", handle, ctypes.byref(trees))
    call("LGBM_BoosterGetNumFeature", handle, ctypes.byref(features))
    n = features.value
    values = (ctypes.c_double * (len(ROWS) * n))(*(value for value in ROWS for _ in range(n)))
    scores = (ctypes.c_double * len(ROWS))()
    call(
        "LGBM_BoosterPredictForMat",
        handle,
        values,
        ctypes.c_int(_FLOAT64),
        ctypes.c_int32(len(ROWS)),
        ctypes.c_int32(n),
        ctypes.c_int(1),  # row by row
        ctypes.c_int(_RAW_SCORES),
        ctypes.c_int(0),
        ctypes.c_int(-1),  # all trees
        ctypes.c_char_p(b"num_threads=1"),
        ctypes.byref(length),
        scores,
    )
    return [trees.value, n]


if __name__ == "__main__":
    lib = ctypes.CDLL(sys.argv[1])
    print(READY, file=sys.stderr, flush=True)
    found = [try_text(lib, text) for text in json.load(sys.stdin)]
    print(json.dumps(found), file=sys.stderr, flush=True)
