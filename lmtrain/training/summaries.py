"""What TensorBoard shows, as protocol buffers: figures, texts, histograms, settings and their layout."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch import Tensor
from torch.utils.tensorboard import summary

Setting = bool | float | str
"""The value of a hyper-parameter."""

_BINS = 40
_KINDS = {
    bool: api_pb2.DATA_TYPE_BOOL,
    float: api_pb2.DATA_TYPE_FLOAT64,
    str: api_pb2.DATA_TYPE_STRING,
}
_FIELDS = {bool: "bool_value", float: "number_value", str: "string_value"}


@dataclass(frozen=True)
class HyperParameter:
    """A setting that runs may differ in."""

    name: str
    kind: type[bool] | type[float] | type[str]
    choices: Sequence[bool | str] = ()
    """All values there are, if they are few."""
    is_telling: bool = False
    """Whether it stands before the others, which are shown on demand."""


def figures(values: Mapping[str, float | None]) -> Any:
    """Numbers by tag, without those that are None."""
    known = {tag: value for tag, value in values.items() if value is not None}
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in known.items()])


def text(tag: str, markdown: str) -> Any:
    """A text in Markdown."""
    return summary.text(tag, markdown)  # type: ignore[no-untyped-call]


def histogram(tag: str, values: Tensor) -> Any | None:
    """How numbers are distributed, whatever the shape they stand in; None where none is finite."""
    finite = values[torch.isfinite(values)].cpu().numpy()
    return summary.histogram(tag, finite, _BINS) if finite.size else None  # type: ignore[no-untyped-call]


def experiment(hyper_parameters: Sequence[HyperParameter], metrics: Sequence[str]) -> Any:
    """The columns of the table of hyper-parameters.

    TensorBoard takes them from one of the runs, whichever it finds first: they must not depend on the run.
    """
    infos = [
        # What "differs" is what TensorBoard shows first.
        api_pb2.HParamInfo(name=each.name, type=_KINDS[each.kind], differs=each.is_telling)
        for each in hyper_parameters
    ]
    for info, each in zip(infos, hyper_parameters, strict=True):
        info.domain_discrete.extend(each.choices)
    named = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=tag) for tag in metrics]
    table = api_pb2.Experiment(hparam_infos=infos, metric_infos=named)
    return _hparams(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=table))


def session_start(settings: Mapping[str, Setting]) -> Any:
    """The settings of a run, which begins."""
    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in settings.items():
        setattr(start.hparams[name], _FIELDS[type(value)], value)
    return _hparams(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))


def session_end() -> Any:
    """The run has come to its end."""
    end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    return _hparams(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def layout(charts: Mapping[str, Mapping[str, Sequence[str]]]) -> Any:
    """Charts of several tags: under each heading, for each title the tags, which are regular expressions."""
    described = {
        heading: {title: ["Multiline", list(tags)] for title, tags in of_heading.items()}
        for heading, of_heading in charts.items()
    }
    return summary.custom_scalars(described)  # type: ignore[no-untyped-call]


def _hparams(tag: str, content: Any) -> Any:
    described = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)])
