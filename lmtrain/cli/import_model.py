"""``lmtrain import`` and ``lmtrain convert``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lmtrain.cli.options import JsonOption
from lmtrain.cli.text import note, print_json, print_pairs, size
from lmtrain.errors import UsageError


def import_model(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Weights (.safetensors) in the layout of 'export --format safetensors', and their words, a "
            "word a line (vocab.txt, words.txt or tokens.txt); or the file of the weights.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model: a new folder.", show_default=False)],
    vocab: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The words, where they lie elsewhere.", show_default=False),
    ] = None,
    unk: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="What they call unknown words.  [default: <unk>, <UNK>, <oov> …]",
            show_default=False,
        ),
    ] = None,
    eos: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="What they call the end of a line.  [default: <eos>, </s>, <sos/eos> …]",
            show_default=False,
        ),
    ] = None,
    activation: Annotated[
        Literal["tanh", "relu"] | None,
        typer.Option(
            metavar="tanh|relu",
            help="Of nn.RNN, whose weights do not tell.  [default: tanh]",
            show_default=False,
        ),
    ] = None,
    tokenizer: Annotated[
        Literal["ws", "moses", "penn"] | None,
        typer.Option(
            metavar="ws|moses|penn", help="How text becomes its words.  [default: ws]", show_default=False
        ),
    ] = None,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Its words are in lower case.")] = False,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the model.  [default: imported]", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a model of weights from elsewhere.

    The model is a snapshot, which eval, score, generate and the others take, and train --from too. What
    'export' says of a model in config.json need not be told again.

    Example: lmtrain import exported/torch --out models/quickstart
    """
    from lmtrain.jobs.import_model import Told, import_model
    from lmtrain.run.trained import load_model

    data: dict[str, Any] = {"lowercase": True} if lowercase else {}
    if tokenizer:
        data["tokenizer"] = "whitespace" if tokenizer == "ws" else tokenizer
    told = Told(name, model={"activation": activation} if activation else {}, data=data)
    import_model(folder, out, told, vocab=vocab, unk=unk, eos=eos)
    about = load_model(out, None, "cpu", note).describe()
    if as_json:
        print_json(about.to_dict())
        return
    rows = [("model", out), ("is", about.about), ("parameters", f"{about.num_parameters:,}")]
    print_pairs([*rows, ("words", f"{about.vocab_size:,}, SHA-256 {about.vocab_sha256[:8]}")])


def convert(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="What torch.save(model.state_dict(), FILE) wrote.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="A new .safetensors file.", show_default=False)],
) -> None:
    """Makes a safetensors file of a .pt file.

    The file is not unpickled, and nothing that it names is called: it cannot do anything. What holds more
    than tensors by name is refused.

    Example: lmtrain convert model.pt --out model.safetensors
    """
    import safetensors.torch

    from lmtrain.export.pt_file import read_pt
    from lmtrain.files.atomic import write_file

    if out.exists():
        raise UsageError(f"{out}: is there already, and nothing is overwritten; name a new file")
    tensors = read_pt(file)
    write_file(out, safetensors.torch.save(tensors, {"format": "pt"}))
    print_pairs([("tensors", f"{len(tensors):,}"), (str(out), size(out.stat().st_size))])
