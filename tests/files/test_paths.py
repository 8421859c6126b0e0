from pathlib import Path

import pytest

from lmtrain.errors import DataError
from lmtrain.files.paths import meant, missing, refuse_misplaced


def test_what_a_path_may_have_meant(tmp_path: Path) -> None:
    (tmp_path / "quickstart").mkdir()
    assert meant(tmp_path / "quikstart") == f"; did you mean {tmp_path / 'quickstart'}?"
    assert meant(tmp_path / "quickstart") == ""
    assert meant(tmp_path / "other") == ""
    assert meant(tmp_path / "nowhere" / "quickstart") == ""


def test_why_a_path_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    (tmp_path / "text.txt").touch()
    (tmp_path / "link.txt").symlink_to("nowhere/text.txt")
    assert missing(tmp_path / "link.txt") == "a link to nowhere/text.txt, which does not exist"
    assert missing(tmp_path / "texd.txt") == f"no such file; did you mean {tmp_path / 'text.txt'}?"
    assert missing(Path("~/text.txt")) == "no such file; ~ is left to shells: name /home/someone/text.txt"


def test_paths_relative_to_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "text.txt").touch()
    monkeypatch.chdir(tmp_path)
    refuse_misplaced([Path("configs/text.txt"), Path("nowhere.txt")], Path("configs"))
    with pytest.raises(DataError, match=r"text\.txt: no such file; .* did you mean configs/text\.txt\?"):
        refuse_misplaced([Path("text.txt")], Path("configs"))
