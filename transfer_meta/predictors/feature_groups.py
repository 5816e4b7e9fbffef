"""Groups of the features of pairs, by the names of their columns."""

from __future__ import annotations

GROUPS = ("data", "curve", "embedding", "transferability", "pair")
"""Groups of features."""

# Features without one of these prefixes belong to the group ``data``, or ``pair`` if they are of the pair.
CURVE_PREFIXES = (
    "grad_", "slope_", "relative_slope_", "loss_done_", "curve_", "log_fit_", "power_fit_", "dev_",
    "final_loss", "init_loss", "half_iter",
)  # fmt: skip
EMBEDDING_PREFIXES = ("cosine_", "mean_", "centred_", "concat_", "rrf_")
TRANSFERABILITY_PREFIXES = (
    "logme", "h_score", "leep", "nce", "transrate", "gbc", "knn", "linear_probe", "fewshot",
)  # fmt: skip


def column_group(column: str) -> str:
    """Return the group, one of `GROUPS`, of a column ``role.feature``.

    Examples
    --------
    >>> [column_group(c) for c in ("source.grad_30", "ratio.size", "pair.mean_textemb", "pair.leep", "pair.jsd")]
    ['curve', 'data', 'embedding', 'transferability', 'pair']
    """
    role, _, feature = column.partition(".")
    for group, prefixes in (
        ("curve", CURVE_PREFIXES),
        ("embedding", EMBEDDING_PREFIXES),
        ("transferability", TRANSFERABILITY_PREFIXES),
    ):
        if feature.startswith(prefixes):
            return group
    return "pair" if role == "pair" else "data"
