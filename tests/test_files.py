"""Files are whole or not there, tables hold to their columns."""

import os

import pandas as pd
import pytest

from sonolens import files, tables


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        with files.replacing(tmp_path / "weights") as temporary:
            temporary.touch(mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o640


def test_a_number_that_is_no_json_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "r.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_named(tmp_path):
    for name in ("broken.json", "broken.parquet"):
        (tmp_path / name).write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json"):
        files.read_json(tmp_path / "broken.json")
    with pytest.raises(ValueError, match=r"broken\.parquet"):
        tables.read(tmp_path / "broken.parquet", tables.REJECTED)


def test_a_table_keeps_its_columns_types_and_units(tmp_path):
    frame = pd.DataFrame({"dataset": ["a"], "path": ["b"], "reason": ["c"], "counts": [True]})
    tables.write(frame, tmp_path / "t.parquet", tables.REJECTED)
    assert tables.read(tmp_path / "t.parquet", tables.REJECTED).equals(frame)
    with pytest.raises(ValueError, match="unknown columns"):
        tables.write(frame.assign(extra=1), tmp_path / "t.parquet", tables.REJECTED)
    with pytest.raises(ValueError, match="lacks the columns"):
        tables.read(tmp_path / "t.parquet", tables.MANIFEST)


@pytest.mark.parametrize("name", [name for name in dir(tables) if name.isupper() and name != "CLIP_ID"])
def test_every_column_says_what_it_is(name):
    for field in getattr(tables, name):
        assert field.metadata[b"is"], field.name
