"""The figure of a timeline: every task is a bar at its time, of its stage's colour; many ranks and tasks stay legible and light."""
import itertools
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from timeline_fixture import tasks_of, timed

import yardstick
from yardstick.cli import main
from yardstick.drawing import figures, timeline_figure
from yardstick.records import timeline


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def opened(folder, **changes):
    return yardstick.open_timeline(timed(folder, **changes))


def bars(figure):
    """The collection of bars, their (left, right, centre) and colours."""
    (found,) = [c for c in figure.axes[0].collections if c.get_gid() == "tasks"]
    corners = np.array([path.vertices[:4] for path in found.get_paths()])
    return found, np.stack([corners[:, 0, 0], corners[:, 1, 0], corners[..., 1].mean(1)], 1), found.get_facecolors()


@pytest.mark.parametrize("ranks,queues", [(1, 1), (4, 1), (3, 2), (64, 1)])
def test_every_task_is_a_bar_at_its_time(tmp_path, ranks, queues):
    found = opened(tmp_path, ranks=ranks, queues=queues)
    _, places, colour = bars(timeline_figure.draw(found))
    tasks = tasks_of(2, queues)
    assert len(places) == ranks * len(tasks) and len(set(places[:, 2].round(6))) == ranks * queues
    expected = np.stack([found["timeline_start"].values.ravel(), found["timeline_end"].values.ravel()], 1) * 1e3
    assert places[:, :2] == pytest.approx(expected)
    for i, ((stage, direction, _, _, queue, _), place) in enumerate(zip(tasks * ranks, places)):
        full = to_rgb(timeline_figure.COLOURS[stage])
        assert colour[i, :3] == pytest.approx(timeline_figure.lighter(full) if direction == "backward" else full)
        rank = i // len(tasks)
        assert place[2] == pytest.approx(rank * (queues + (0.5 if queues > 1 else 0)) + queue)


def test_what_is_made_again_is_bluer_and_said(tmp_path):
    found = opened(tmp_path)
    directions = found["task_direction"].values.copy()
    again = [i for i, (stage, d) in enumerate(zip(found["task_stage"].values, directions)) if stage == "experts" and d == "backward"]
    directions[again[0]] = "recompute"
    assert "made again" not in timeline_figure.caption(found)
    found = found.assign(task_direction=("task", directions))
    figure = timeline_figure.draw(found)
    assert bars(figure)[2][again[0], :3] == pytest.approx(timeline_figure.bluer(timeline_figure.COLOURS["experts"]))
    assert figure.legends[0].get_title().get_text() == "lighter: backward, bluer: made again"
    assert "bluer ones are made again; grey: no task" in timeline_figure.caption(found)


def test_tasks_without_length_are_no_bars(tmp_path):
    found = opened(tmp_path)
    end = found["timeline_end"].copy()
    end[1, 5:8] = found["timeline_start"][1, 5:8]
    _, places, _ = bars(timeline_figure.draw(found.assign(timeline_end=end)))
    assert len(places) == 4 * len(tasks_of(2)) - 3
    none = timeline_figure.draw(found.assign(timeline_end=found["timeline_start"]))
    assert not [c for c in none.axes[0].collections if c.get_gid() == "tasks"]


def overlaps(labels):
    """Whether texts, as they are drawn, lie over each other."""
    boxes = sorted((t.get_window_extent() for t in labels if t.get_text()), key=lambda b: b.y0)
    return any(a.y1 > b.y0 for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize("ranks,queues,width,labels", [(1, 1, 12, 1), (16, 1, 12, 16), (64, 1, 12, 32), (64, 1, 6, 22), (128, 1, 12, 43),
                                                       (8, 2, 12, 16), (60, 2, 12, 30)])
def test_ranks_are_labelled_as_there_is_room(tmp_path, ranks, queues, width, labels):
    figure = timeline_figure.draw(opened(tmp_path, ranks=ranks, queues=queues, blocks=1), width)
    figure.canvas.draw()
    axis = figure.axes[0]
    assert figure.get_figheight() < width + 3 and axis.get_window_extent().height > 50
    assert len(axis.get_yticklabels()) == labels and not overlaps(axis.get_yticklabels())
    (right,) = axis.child_axes
    assert not overlaps(right.get_yticklabels()) and axis.get_ylabel() == ("rank.queue" if labels > ranks else "rank")


def test_the_share_of_each_rank_stands_beside_it(tmp_path):
    found = opened(tmp_path, idle=0.1)
    figure = timeline_figure.draw(found)
    figure.canvas.draw()
    shares = [f"{s * 100:.1f}" for s in timeline.by_rank(found)["share"]]
    assert [t.get_text() for t in figure.axes[0].child_axes[0].get_yticklabels()] == shares and len(set(shares)) > 1


def test_of_more_ranks_than_a_figure_holds_some_are_drawn(tmp_path):
    found = opened(tmp_path, ranks=300, blocks=1)
    _, places, _ = bars(timeline_figure.draw(found))
    assert len(places) == 128 * len(tasks_of(1)) and "300 ranks, 128 of them drawn" in timeline_figure.caption(found)
    for queues in 1, 3, 500:
        ranks = timeline_figure.shown_ranks(300, queues)
        assert len(ranks) == max(1, 128 // queues) and ranks[0] == 0 and (ranks[-1] == 299 or len(ranks) == 1)


def test_many_tasks_are_few_artists_and_a_picture_in_the_svg(tmp_path, monkeypatch):
    run = timed(tmp_path, blocks=90, ranks=16)
    figure = timeline_figure.draw(yardstick.open_timeline(run))
    axis = figure.axes[0]
    assert len(bars(figure)[1]) == 16 * len(tasks_of(90)) > 16_000 and len(axis.collections) == 3 and not axis.patches
    assert not bars(figure)[0].get_rasterized()
    monkeypatch.setattr(timeline_figure, "MOST_BARS", 1000)
    assert main(["timeline", str(run)]) == 0
    svg = (run / "timeline/timeline.svg").read_text()
    assert "<image" in svg and len(svg) < 500_000


def test_seams_are_closed_without_hiding_narrow_bars(tmp_path):
    wide, narrow = (bars(timeline_figure.draw(opened(tmp_path / str(n), blocks=n)))[0].get_linewidths()[0] for n in (1, 90))
    assert wide == pytest.approx(0.3) and narrow < 0.1


def test_the_legend_names_each_stage_once(tmp_path):
    (legend,) = timeline_figure.draw(opened(tmp_path)).legends
    names = [t.get_text() for t in legend.get_texts()]
    assert names == ["embedding", "attention", "router", "plan", "dispatch", "experts", "combine", "head", "reduce", "optimizer", "no task"]


def test_a_stage_of_any_name_has_a_colour_of_its_own():
    table = timeline_figure.colours_of(["attention", "x", "$y_$", "attention", "z"])
    assert len(set(table.values())) == 4 and table["attention"] == timeline_figure.COLOURS["attention"]
    assert not set(timeline_figure.OTHERS) & set(timeline_figure.COLOURS.values())


def test_without_a_timeline_there_is_no_figure(tmp_path):
    from fixture import write_run
    with pytest.raises(figures.Absent, match="no timeline was recorded"):
        timeline_figure.draw(yardstick.open_timeline(write_run(tmp_path)))


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
SEEN = dict(normal=np.eye(3),
            protanopia=[[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            deuteranopia=[[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) / [[0.9505], [1.0], [1.089]]


def lab(colour, seen):
    """CIELAB of an sRGB colour as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055)**2.4)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in XYZ @ np.clip(np.array(seen) @ linear, 0, 1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SEEN)
def test_colours_stay_apart_for_every_sight(sight):
    """CIE76 distances; a just noticeable one is 2.3. The least are 9.2 (normal), 8.5 and 8.8. Made again are four stages, and `shared`,
    whose colour depends on the others."""
    neither = {"data", "reduce", "optimizer", "gather", "balance"}
    colours = list(timeline_figure.COLOURS.values()) + [timeline_figure.IDLE]
    colours += [timeline_figure.lighter(c) for name, c in timeline_figure.COLOURS.items() if name not in neither]
    colours += [timeline_figure.bluer(timeline_figure.COLOURS[name]) for name in ("attention", "feed_forward", "router", "experts")]
    seen = [lab(c, SEEN[sight]) for c in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 8


def test_the_caption_says_what_is_drawn(tmp_path):
    said = timeline_figure.caption(opened(tmp_path, ranks=1))
    assert re.match(r"Step 20 of segment 000: 1 rank, 30 tasks each; [\d.]+ ms on the slowest. Tasks explain at least 99.\d % of the step "
                    r"\(rank 0\)", said)
