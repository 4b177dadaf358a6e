"""Pictures of a training: its losses by step, and how long its rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

SIZE = (8.0, 4.5)  # inches
NAMES = {"loss": "train", "eval_loss": "held out"}
BINS = 40


def plot_losses(curves: Sequence[tuple[int, Mapping[str, float]]]) -> Figure:
    """The loss of the rows that were trained on, and of those held out, by step."""
    figure = Figure(SIZE, layout="constrained")
    axes = figure.subplots()
    for name, label in NAMES.items():
        points = [(step, values[name]) for step, values in curves if name in values]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="o" if len(points) < BINS else "")
    axes.set(xlabel="step", ylabel="loss a token")
    axes.legend()
    return figure


def plot_lengths(rows: Mapping[int, int]) -> Figure:
    """How many rows have how many tokens."""
    figure = Figure(SIZE, layout="constrained")
    axes = figure.subplots()
    axes.hist(list(rows), BINS, weights=list(rows.values()))
    axes.set(xlabel="tokens", ylabel="rows")
    return figure
