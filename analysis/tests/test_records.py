import h5py
import numpy as np
import pytest
import xarray as xr
from fixture import write_run

import yardstick
from yardstick.records import run_folder, segment_file, special


def test_later_segments_supersede_rows(tmp_path):
    write_run(tmp_path, first=1, rows=40, segment=0)
    write_run(tmp_path, first=31, rows=20, segment=1)
    run = yardstick.open(tmp_path)
    assert run["step"].values.tolist() == list(range(1, 51))
    assert np.allclose(run["loss"].sel(row=30), 5 * np.exp(-1.0))
    assert np.allclose(run["loss"].sel(row=31), 5 * np.exp(-31 / 30) + 1)
    assert run["evaluation_step"].values.tolist() == [40, 50]


def test_rows_beyond_the_shortest_variable_are_left_out(tmp_path):
    write_run(tmp_path)
    with h5py.File(tmp_path / "segments/000/run.h5", "a") as f:
        del f["row"]
        f.create_dataset("row", (30,), "i4")
        f["row"].make_scale("row")
        for name in ("step", "loss"):
            data, attributes = f[name][:], dict(f[name].attrs)
            del f[name]
            f[name] = data
            f[name].dims[0].attach_scale(f["row"])
    assert segment_file.load(tmp_path / "segments/000/run.h5", "switchyard-run")["step"].size == 30


def test_unknown_version_is_refused_by_name(tmp_path):
    write_run(tmp_path, version=99)
    with pytest.raises(yardstick.SchemaError, match="schema version 99.*reads versions 1 to 8"):
        yardstick.open(tmp_path)


def test_not_a_run(tmp_path):
    with pytest.raises(yardstick.SchemaError, match="not a run folder"):
        yardstick.open(tmp_path)


def test_damaged_file_is_named(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "segments/000/run.h5"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(yardstick.SchemaError, match="run.h5.*switchyard verify"):
        yardstick.open(tmp_path)


@pytest.mark.parametrize("text,expected", [("\u2581the", "lower"), ("The", "upper"), ("12", "digits"),
                                           ("\u2581", "whitespace"), (",", "punctuation"), ("\u00e9", "other"), ("", "other")])
def test_token_classes(text, expected):
    assert special.token_class(text) == expected


def test_specialisation_against_chance(tmp_path):
    evaluation = run_folder.open_evaluation(write_run(tmp_path))
    table, chance = special.shares(evaluation, 0, special.class_labels(evaluation), len(special.CLASSES))
    lift = special.lift(table, chance)
    digits = special.CLASSES.index("digits")
    assert lift[0, digits] == pytest.approx(1 / chance[digits])
    assert np.all(lift[1:, digits] == 0)
    table, chance = special.shares(evaluation, 1, special.class_labels(evaluation), len(special.CLASSES))
    assert np.nanmax(np.abs(special.lift(table, chance)[1:, digits] - 1)) < 0.2


def test_typical_tokens_stand_beside_their_chance(tmp_path):
    run = yardstick.open(write_run(tmp_path))
    evaluation = special.with_layers(run_folder.open_evaluation(tmp_path), run)
    rows = special.typical_tokens(evaluation, 0)
    digits = np.isin(evaluation["token"].values, [2, 3]).mean()  # what expert 0 is given, and nothing else
    assert rows[0].chance == pytest.approx(digits)
    assert {t.text for t in rows[0].tokens} == {"7", "42"}
    assert all(t.share == 1.0 and t.lift == pytest.approx(1 / digits) for t in rows[0].tokens)
    assert sum(r.chance for r in rows) == pytest.approx(1.0)
    assert all(t.share > r.chance for r in rows for t in r.tokens)


def test_the_surest_tokens_stand_first():
    """Token 0 always goes to expert 0, 20 of 20; token 1 490 of 500, token 2 half, token 3 always, but is seen too rarely."""
    token = np.repeat([0, 1, 2, 3], [20, 500, 400, 19])
    expert = np.concatenate([np.zeros(20), np.repeat([0, 1], [490, 10]), np.arange(400) % 2, np.zeros(19)]).astype("i2")
    data = xr.Dataset(dict(token=("sample", token), token_text=("vocabulary", np.array([b"a", b"b", b"c", b"d"], "S16")),
                           expert=(("evaluation", "sample", "layer", "choice"), expert[None, :, None, None])))
    row = special.typical_tokens(data, 0)[0]
    assert [t.text for t in row.tokens] == ["b", "a"] and [t.share for t in row.tokens] == [0.98, 1.0]
    assert special.typical_tokens(data, 0, least=10)[0].tokens[2].text == "d"


def test_experts_without_tokens_are_listed(tmp_path):
    run = yardstick.open(write_run(tmp_path))
    evaluation = special.with_layers(run_folder.open_evaluation(tmp_path), run.assign(experts=run["experts"] + 2))
    assert special.typical_tokens(evaluation, 0)[-1] == (0.0, [])
    table, _ = special.shares(evaluation, 0, special.class_labels(evaluation), len(special.CLASSES))
    assert table.shape[0] == 6 and not table[4:].any()


def test_signs_for_spaces():
    assert special.visible("\u2581a b\n\t\0") == "\u2423a\u2423b\u21b5\u21e5\ufffd"
