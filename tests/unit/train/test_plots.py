"""What the pictures of a training show."""

from __future__ import annotations

from sovereign_tasks.train.plots import plot_lengths, plot_losses


def test_both_losses_are_drawn_by_step() -> None:
    curves = [(1, {"loss": 3.0, "grad_norm": 1.0}), (2, {"loss": 2.0}), (2, {"eval_loss": 2.5}), (3, {"loss": 1.5})]
    (axes,) = plot_losses(curves).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"train": [[1, 3.0], [2, 2.0], [3, 1.5]], "held out": [[2, 2.5]]}
    (axes,) = plot_losses(curves[:2]).axes
    assert [line.get_label() for line in axes.lines] == ["train"]


def test_every_row_is_in_the_histogram() -> None:
    (axes,) = plot_lengths({10: 3, 12: 1, 500: 7}).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert (heights[0], heights[-1], sum(heights)) == (4, 7, 11)
