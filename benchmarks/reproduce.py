"""A recipe trained, and its perplexity beside the published one and the one that this program had before.

    python benchmarks/reproduce.py ptb-30min [--adapt both] [--data data/ptb]

Trains `configs/RECIPE.yaml` in `runs/RECIPE` as `lmtrain train` does: a run that was interrupted goes on,
one that is finished is taken as it is. With `--adapt`, a model is evaluated once more while it adapts to
what it reads, by values that are tuned on the validation text. `figures.yaml` has the published figures, and
says what they are.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from common import parser, print_header, print_row, write_json

FIGURES = Path(__file__).with_name("figures.yaml")
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
LMTRAIN = (sys.executable, "-m", "lmtrain")


def known_figures(recipe: str) -> dict[str, dict[str, Any]]:
    """What ``figures.yaml`` has of a recipe: ``published``, ``measured``, both or none."""
    figures: dict[str, dict[str, Any]] = yaml.safe_load(FIGURES.read_text(encoding="utf-8")).get(recipe, {})
    return figures


def train(recipe: str, options: list[str]) -> None:
    """What `lmtrain train` prints is seen on stderr, so that the table stands alone on stdout."""
    command = [*LMTRAIN, "train", "--config", str(CONFIGS / f"{recipe}.yaml")]
    command += [part for option in options for part in ("--set", option)]
    if code := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        sys.exit(code)


def evaluated(run: Path, text: Path, *options: object) -> dict[str, Any]:
    """What `lmtrain eval --json` has to say."""
    command = [*LMTRAIN, "eval", str(run), "--data", str(text), "--json", *map(str, options)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.returncode)
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def reproduce(
    recipe: str, data: Path | None, adapt: str, settings: list[str]
) -> dict[str, Mapping[str, Any]]:
    """Trains and evaluates; the figures by where they are from."""
    run = Path("runs", recipe)
    config = yaml.safe_load((CONFIGS / f"{recipe}.yaml").read_text(encoding="utf-8"))
    splits = [split for split in ("train", "valid", "test") if config["data"].get(split)]
    texts = {split: data / f"{split}.txt" if data else Path(config["data"][split]) for split in splits}
    options = [f"data.{split}={text}" for split, text in texts.items()] + settings
    train(recipe, options)
    figures: dict[str, Mapping[str, Any]] = dict(known_figures(recipe))
    held_out = {split: text for split, text in texts.items() if split != "train"}
    now = {split: evaluated(run, text)["perplexity"] for split, text in held_out.items()}
    figures["now"] = {"what": "plain", **now}
    if adapt != "none":
        tuning, valid = run / "tuning.json", held_out["valid"]
        flags = ("--adapt", adapt)
        on_valid = evaluated(run, valid, *flags, "--tune-on", valid, "--save-tuning", tuning)
        adapted = {"what": on_valid["adapt"], "valid": on_valid["perplexity"]}
        if "test" in held_out:
            adapted["test"] = evaluated(run, held_out["test"], "--tuning", tuning)["perplexity"]
        figures["now, adapted"] = adapted
    return figures


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("recipe", choices=sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    arguments.add_argument(
        "--data", type=Path, help="with train.txt, valid.txt and test.txt, if not as in the recipe"
    )
    arguments.add_argument("--adapt", choices=["none", "cache", "dynamic", "both"], default="none")
    arguments.add_argument("--set", action="append", default=[], help="of `lmtrain train`, for a trial")
    args = arguments.parse_args()
    figures = reproduce(args.recipe, args.data, args.adapt, args.set)
    print_header("figures", "what", "valid", "test", "source")
    for name, of in figures.items():
        cells = (f"{of[split]:.2f}" if split in of else "-" for split in ("valid", "test"))
        print_row([name, of["what"], *cells, of.get("source", "")])
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
