"""CITATION.cff says what the package says of itself."""

from pathlib import Path

import yaml

from lmtrain import __version__


def test_the_citation_is_of_this_version() -> None:
    about = yaml.safe_load((Path(__file__).resolve().parents[1] / "CITATION.cff").read_text(encoding="utf-8"))
    assert about["version"] == __version__
    assert {"cff-version", "message", "title", "authors", "license"} <= about.keys()
