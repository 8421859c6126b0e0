from pathlib import Path

import pytest

from lmtrain.corpus.stimuli import Stimuli, looks_like_table, read_stimuli
from lmtrain.errors import UsageError


def stimuli(folder: Path, text: str, column: str | None = None, *keys: str) -> Stimuli:
    path = folder / "items.csv"
    path.write_text(text, encoding="utf-8")
    return read_stimuli(path, column, keys)


def lines(found: Stimuli) -> list[str]:
    return [sentence.line for sentence in found.sentences]


REGIONS = "item,condition,region,text\n1,a,1,The key\n1,a,2,to the cabinet\n1,b,1,The key\n1,b,2,to it\n"


def test_regions_of_a_sentence_are_read_one_after_the_other(tmp_path: Path) -> None:
    found = stimuli(tmp_path, REGIONS)
    assert (found.kind, found.keys) == ("words", ("item", "condition"))
    assert lines(found) == ["The key to the cabinet", "The key to it"]
    assert found.sentences[0].cells == [(0, 7), (8, 22)]
    named = stimuli(tmp_path, "item,number,region\n1,1,The key\n1,2,to it\n", "region")
    assert lines(named) == ["The key to it"]


@pytest.mark.parametrize(
    "text",
    [
        "item,condition,region,text\n1,a,2,The key was\n1,b,2,The keys were\n",  # the region of interest
        "item,region,text\n1,1,The key was\n1,2,The key was\n",  # the sentence beside each of its regions
        "item,version,region,text\n1,a,2,The key was\n1,b,2,The keys were\n",
        "item,region,sentence\n1,1,The key was\n1,2,to it\n",
        "item,type,text\n1,a,The key was\n1,b,The keys were\n",
        "region,text\n1,The key\n2,to it\n",  # nothing tells whose regions they are
    ],
)
def test_whole_sentences_stay_apart(tmp_path: Path, text: str) -> None:
    found = stimuli(tmp_path, text)
    assert (found.kind, len(found.sentences)) == ("sentences", 2)


def test_columns_that_number_sentences_are_known_by_many_names(tmp_path: Path) -> None:
    text = "Text_ID,Sentence_Number,Word_Number,Word\n1,1,1,The\n1,1,2,key\n1,2,1,It\n2,2,1,was\n"
    found = stimuli(tmp_path, text)
    assert (found.keys, lines(found)) == (("Text_ID", "Sentence_Number"), ["The key", "It", "was"])
    found = stimuli(tmp_path, "ItemNum,cond,word\n1,a,the\n1,b,key\n")
    assert (lines(found), found.sentences[1].label) == (["the", "key"], "item 1")


def test_columns_that_are_named_tell_sentences_apart(tmp_path: Path) -> None:
    text = "item,version,chunk\n1,a,The key\n1,a,to it\n1,b,The keys\n"
    assert lines(stimuli(tmp_path, text, "chunk", "item", "version")) == ["The key to it", "The keys"]
    assert lines(stimuli(tmp_path, text, "chunk", "item")) == ["The key to it The keys"]
    with pytest.raises(UsageError, match=r"no column 'cond' \(there are item, version, chunk\)"):
        stimuli(tmp_path, text, "chunk", "cond")


def test_a_sentence_that_others_part_is_found(tmp_path: Path) -> None:
    sorted_by_word = "item,condition,word\n1,a,the\n1,b,the\n1,a,key\n1,b,keys\n"
    torn = stimuli(tmp_path, sorted_by_word).torn
    assert torn is not None
    assert (torn.line, torn.first_row) == ("key", 2)
    assert stimuli(tmp_path, REGIONS).torn is None
    assert stimuli(tmp_path, "word\nthe\nkey\n").torn is None
    read_by_two = "worker,item,word\n1,1,the\n1,1,key\n1,2,it\n2,1,the\n2,1,key\n2,2,it\n"
    assert stimuli(tmp_path, read_by_two).torn is None


def test_regions_that_others_part_are_no_sentences(tmp_path: Path) -> None:
    text = "item,condition,region,text\n1,a,1,The key\n1,b,1,The keys\n1,a,2,to it\n1,b,2,to it\n"
    found = stimuli(tmp_path, text)
    assert found.kind == "words"
    assert found.torn is not None
    assert found.torn.first_row == 2


def test_cells_stand_after_a_text_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "cloze.tsv"
    path.write_text("text\tword\nThe key to \tthe door\n\tit\n", encoding="utf-8")
    found = read_stimuli(path, after="text")
    assert (found.kind, found.torn) == ("words", None)
    assert lines(found) == ["The key to the door", "it"]
    assert [sentence.cells for sentence in found.sentences] == [[(11, 19)], [(0, 2)]]
    with pytest.raises(UsageError, match="no column 'context' "):
        read_stimuli(path, after="context")


def test_the_header_of_a_table_is_no_sentence() -> None:
    assert looks_like_table("word\tzone\titem")
    assert looks_like_table('item,condition,"Sentence"')
    assert not looks_like_table("the old cat, and the word")
