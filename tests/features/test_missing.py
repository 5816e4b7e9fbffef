from __future__ import annotations

import math

from transfer_meta.features.missing import MissingError, collect_features


def test_one_failure_leaves_the_others() -> None:
    def absent() -> list[float]:
        raise MissingError("no test split")

    def broken() -> list[float]:
        return [1 / 0]

    values, missing = collect_features(
        [
            (["a"], lambda: [1]),
            (["b", "c"], absent),
            (["d"], broken),
            (["e", "f"], lambda: [math.inf, 2.0]),
        ]
    )
    assert {name for name, value in values.items() if math.isnan(value)} == set(missing) == set("bcde")
    assert values["a"] == 1
    assert values["f"] == 2
    assert missing["b"] == missing["c"] == "no test split"
    assert missing["d"] == "failed: ZeroDivisionError: division by zero"
    assert missing["e"] == "not a finite number"
