"""Transferability scores of source checkpoints for a target, as a result; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer_meta.encoding.score_settings import ScoreSettings
from transfer_meta.errors import InputError, require
from transfer_meta.features.scores.transferability_scores import SCORES
from transfer_meta.records import OnProgress, Tell
from transfer_meta.results import Result, frame_as_html, frame_as_text
from transfer_meta.tasks.load import load_target_and_sources, tell_reading

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PRETRAINED_NOTE = (
    "A source without a checkpoint has the pretrained encoder and a head fitted to its examples: its"
    " features are those of every such source, and only leep and nce tell them apart."
)


@dataclass(frozen=True, eq=False)
class SourceScores(Result):
    """Transferability scores of sources for a target.

    Parameters
    ----------
    target : str
        Name of the target.
    scores : DataFrame
        One row per source in the order given: ``source``, ``target``; one float column for each of `SCORES`, NaN
        if it does not apply; ``checkpoint``, empty for the pretrained encoder; ``missing``, the reasons for NaN.
    settings : ScoreSettings
    """

    target: str
    scores: pd.DataFrame
    settings: ScoreSettings

    @property
    def note(self) -> str:
        """What to know about sources without a checkpoint; empty if each has one."""
        return PRETRAINED_NOTE if (self.scores["checkpoint"] == "").any() else ""

    @property
    def remarks(self) -> list[str]:
        """The note, and one line per reason for missing scores, with the sources concerned."""
        sources_of: dict[str, list[str]] = {}
        for source, reasons in zip(self.scores["source"], self.scores["missing"], strict=True):
            if reasons:
                sources_of.setdefault(reasons, []).append(source)
        missing = [f"{', '.join(sources)}: no {reasons}" for reasons, sources in sources_of.items()]
        return [self.note, *missing] if self.note else missing

    @property
    def caption(self) -> str:
        """Target, encoder and direction of the scores."""
        return f"target {self.target}, encoder {self.settings.encoder}; higher is better"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per source: names, scores, checkpoint and reasons for missing scores."""
        return self.scores.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return target, settings, note and scores as plain values."""
        return {
            "target": self.target,
            "encoder": self.settings.encoder,
            "examples": self.settings.examples,
            "steps": self.settings.steps,
            "seed": self.settings.seed,
            "note": self.note,
            "scores": self.scores.to_dict("records"),
        }

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the scores as a heat map, each column standardised over the sources."""
        from transfer_meta.figures.heatmap import standardised_heatmap

        axes = standardised_heatmap(self.scores.set_index("source")[list(SCORES)], axes)
        axes.set_title(f"target {self.target}; each score standardised over the sources", fontsize=10)
        return axes

    def __str__(self) -> str:
        return "\n".join([frame_as_text(self._shown(), title=self.caption), *self.remarks])

    def _repr_html_(self) -> str:
        import html

        lines = "".join(f"<p>{html.escape(line)}</p>" for line in self.remarks)
        return f"<p>{html.escape(self.caption)}</p>{frame_as_html(self._shown())}{lines}"

    def _shown(self) -> pd.DataFrame:
        state = self.scores["checkpoint"].ne("").map({True: "own", False: "pretrained"})
        return self.scores.assign(checkpoint=state)[["source", "checkpoint", *SCORES]]


def score_sources(
    target: Any,
    sources: Any,
    settings: ScoreSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> SourceScores:
    """Score sources for a target with published measures; a higher score means a better source.

    A source is a checkpoint (its fine-tuned encoder) and a head, which is fitted here to the frozen
    features of the source's examples because fine-tuning runs keep encoders only.  A source **without a
    checkpoint uses the pretrained encoder**: all such sources share the same target features, and
    therefore all scores except LEEP and NCE, which depend on the head.

    | column | definition | source |
    |---|---|---|
    | logme | maximum log-evidence, nats per example and class | You et al. 2021 |
    | h_score | tr(cov⁺ · cov of class means), 0 to classes - 1 | Bao et al. 2019 |
    | h_score_shrunk | the same with Ledoit & Wolf's covariance | Ibrahim et al. 2022 |
    | transrate | R(Z) - R(Z given Y) in nats, of features of unit size | Huang et al. 2022 |
    | gbc | -Σ over class pairs of exp(-Bhattacharyya), at most 0 | Pándy et al. 2022 |
    | knn | accuracy or R² of 5 neighbours, leave-one-out | Renggli et al. 2022 |
    | linear_probe | accuracy or R² of a linear model, 5 folds | Renggli et al. 2022 |
    | leep | mean log-likelihood of the labels, nats, at most 0 | Nguyen et al. 2020 |
    | nce | -H(target class given source class), nats, at most 0 | Tran et al. 2019 |
    | fewshot_neg_loss | -loss after k steps: nats a label, or error in label variances | Poth et al. 2021 |

    Compare the scores of sources for one target, not those of different targets.

    Parameters
    ----------
    target : str, Path, Task, DataFrame, Dataset, pair or mapping
        Whatever `load_task` takes.  Only training splits are read, here and of the sources.
    sources : sequence, or what `load_task` takes
        One or several tasks, or folders of tasks; the target itself is left out.
    settings : ScoreSettings, optional
    tell : callable
        Called with a line for what reading left out or mended.
    on_progress : callable
        Called with the number of finished sources and of all sources.

    Returns
    -------
    SourceScores
        Its frame can be merged by ``source`` and ``target`` into a table of outcomes, where the scores become
        features of the pair.

    Raises
    ------
    InputError
        Unknown encoder or device, a checkpoint of an unknown source or of another encoder, a target without
        examples or with unusable labels, no sources, sources of equal names, or no score at all.

    References
    ----------
    See the functions of `transfer_meta.features.scores`; Renggli et al. 2022, "Which model to
    transfer? Finding the needle in the growing haystack"; Poth et al. 2021, "What to pre-train on?
    Efficient intermediate task selection".
    """
    require("torch", "transformers")
    from transfer_meta.encoding.transferability import transferability_table

    settings = settings or ScoreSettings()
    goal, candidates = load_target_and_sources(target, sources, settings.read)
    if not goal.is_labelled:
        raise InputError(f"target '{goal.name}' has no labels, which every score needs")
    scores = transferability_table(goal, candidates, settings, on_progress=on_progress)
    tell_reading([goal, *candidates], tell, verbose=settings.read.verbose)
    if scores[list(SCORES)].isna().all(axis=None):
        raise InputError(f"no score: {scores['missing'].iloc[0]}")
    return SourceScores(goal.name, scores, settings)
