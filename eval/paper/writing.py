"""Writes `eval/results`: raw figures, plots, and a page with all tables."""

from __future__ import annotations

from pathlib import Path

from eval.paper.figures import Figures
from eval.paper.intervals import LEVEL
from eval.paper.plots import write_plots
from eval.paper.study import MAIN, Study
from eval.paper.tables import all_tables, stages_from
from eval.record_lines import write_whole
from eval.report.tables import markdown_table

FIGURES_NAME, PAGE_NAME = "figures.json", "README.md"
_ALT = {
    "retrievers": "nDCG@10 of joint encoding, training scorers, fusions, single modalities, words",
    "budgets": "nDCG@10 over the number of vectors per clip",
}


def write_page(figures: Figures, folder: Path) -> None:
    """Writes ``README.md`` and the plots into the folder."""
    study = Study(figures)
    plots = [f"![{_ALT[name]}]({name}.svg)\n" for name in write_plots(study, folder)]
    tables = [markdown_table(table) for table in all_tables(study)]
    parts = [_head(figures), *tables[:1], *plots, *tables[1:]]
    write_whole(folder / PAGE_NAME, "\n".join(parts))


def _head(figures: Figures) -> str:
    return "\n".join(
        [
            "# The paper in miniature\n",
            f"`mini-vl` on {figures.num_clips} clips and {len(figures.gold):,} searches of the "
            f"held-out split ({figures.subject}), which shares no drawing, no phrasing and no name "
            "of a thing or colour with the drawn pictures of the training (ordinary words of it "
            "may occur in the training's prose). This page, its plots and `figures.json` are "
            "written by "
            "`python -m eval.paper`, `make paper` trains the weights first; nothing here is "
            "written by hand. What each query kind asks is in the "
            "[README of eval](../README.md#synthetic-world).\n",
            *_warning(figures),
            f"{_seeds_line(figures)}\n",
            f"Figures are means over seeds and queries. Intervals ({100 * LEVEL:g} %, percentiles "
            "of 2,000 resamples) draw clips with all queries about them, and the seeds of the "
            "weights, both with replacement and independent of each other; differences are "
            "taken query by query and seed by seed. Seeds drawn from so few show less "
            "than all that a seed can do, so their single means stand beside them. Equal scores "
            "(to a millionth) count against the clip that is wanted. Vectors are float32, and "
            "all of them are kept unless a budget is named.\n",
        ]
    )


def _warning(figures: Figures) -> list[str]:
    """Drawings can change without a new version of the world."""
    if len({run.subject_sha256 for run in figures.runs}) < 2:
        return []
    return [
        "**These files of weights did not read the same clips or queries, and cannot be "
        "compared: measure them again (`--again`).**\n"
    ]


def _seeds_line(figures: Figures) -> str:
    """What seeds share, as the weights themselves say."""
    runs = figures.runs
    seeds = sorted({run.seed for run in runs if run.role == MAIN})
    named = ", ".join(map(str, seeds)) or "none yet"
    begins = f"Seeds of the weights trained with modality_max: {named}."
    states = [stages_from(run.told) for run in runs]
    if len(runs) < 2:
        return f"{begins} One file of weights: no interval says anything about training anew."
    if len(set(states)) == 1 and states[0]:
        return (
            f"{begins} All {len(runs)} files of weights start from one state of the training's "
            f"earlier stages (`{states[0]}`, says the command kept in them): seeds differ only in "
            "what comes after, and no interval shows what those stages would do with another seed."
        )
    if len(set(filter(None, states))) < len([state for state in states if state]):
        return (
            f"{begins} Weights that name the same state below share the training's earlier stages "
            "and differ only in what comes after; the others share nothing but data and code."
        )
    return f"{begins} No two files of weights share a stage of the training."
