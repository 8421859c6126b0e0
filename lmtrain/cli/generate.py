"""``lmtrain generate``."""

from typing import Annotated

import typer

from lmtrain.cli.options import DeviceOption, JsonOption, ModelArgument, SnapshotOption
from lmtrain.cli.text import note, print_json


def generate(
    model: ModelArgument,
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="Words to continue; they start a line.", show_default=False)
    ] = "",
    num_words: Annotated[
        int, typer.Option(metavar="N", min=0, help="Words a sample; a line break counts as one.")
    ] = 100,
    num_samples: Annotated[
        int, typer.Option(metavar="N", min=1, help="Samples, made together in one batch.")
    ] = 1,
    temperature: Annotated[
        float, typer.Option(metavar="X", help="Below 1 bolder, above 1 more varied.")
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(metavar="N", help="Choose among the N most probable words.", show_default=False),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Choose among the fewest words that together have probability X.",
            show_default=False,
        ),
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the most probable word.")] = False,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=2**63 - 1, help="Of the draws: the same seed, the same text."),
    ] = 1,
    allow_unk: Annotated[bool, typer.Option("--allow-unk", help="Let <unk> be produced.")] = False,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Writes text with a model.

    Example: lmtrain generate runs/quickstart --prompt "the tiny" --num-samples 3 --temperature 0.8
    """
    from lmtrain.errors import UsageError
    from lmtrain.inference.generate import Sampling
    from lmtrain.run.loading import load_model

    try:
        sampling = Sampling(allow_unk, temperature, top_k, top_p, greedy)
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError("--prompt is not UTF-8") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    result = load_model(model, snapshot, device).generate(
        prompt, num_words=num_words, num_samples=num_samples, sampling=sampling, seed=seed
    )
    if result.unknown_words:
        note(f"unknown to the model, read as <unk>: {' '.join(result.unknown_words)}")
    if as_json:
        print_json(result.to_dict())
    else:
        typer.echo("\n\n".join(result.texts))
