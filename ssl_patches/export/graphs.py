"""Write the encoder as a graph that needs no Python of its own: ONNX, and torch.export's ``.pt2``.

Both give the pooled vector *and* the dense map, take any batch, and any height and width that the
architecture takes; with ``input=uint8`` and ``uint16`` scaling and normalisation are inside.
Resizing stays outside: graphs and image libraries resize differently. Each file carries its
preprocessing, so that it can be used when it is found alone, and nothing of the machine that wrote
it.

Traps: an example batch of one is taken for a constant, and so is a height that equals the width or
the encoder's own size. The ONNX optimiser folds 16-bit weights back to 32 bits (and takes minutes
to), so they are rounded after it. A protobuf file ends at 2 GB. A traced graph takes maps of one
position for another layout of memory, and guards against them: ``.pt2`` needs two positions along
each side.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from ssl_patches.encoders.network import Network
from ssl_patches.export.exportable import Exportable, ExportRequest
from ssl_patches.export.rounding import store_rounded

ONNX, TORCH_EXPORT = "encoder.onnx", "encoder.pt2"
METADATA = "ssl_patches.json"
LARGEST_ONNX = 2**31 - 2**24  # bytes of weights; the rest of a protobuf's 2 GB is for the graph
REFUSALS = (
    RuntimeError,
    ValueError,
    TypeError,
    NotImplementedError,
)  # what torch.export and the ONNX exporter raise


def write_graphs(folder: Path, exportable: Exportable, wanted: ExportRequest) -> None:
    """Write the graphs among ``wanted.formats``.

    ValueError where the architecture cannot be one, saying which and what can.
    """
    precisions = {"onnx": "fp32", "torch_export": wanted.precision}
    if "onnx" in wanted.formats:
        _check_onnx(exportable, wanted)
    if "torch_export" in wanted.formats and exportable.any_size and exportable.positions < 2:
        reason = (
            f"{exportable.preprocessing.image_size} px are one position of {exportable.unit} px,"
            " and a graph needs two"
        )
        raise _told(exportable, wanted, "torch_export", reason, "timm,onnx")
    traced: dict[str, ExportedProgram] = {}
    for name in dict.fromkeys(wanted.formats):
        if (precision := precisions.get(name)) is None:
            continue
        if precision not in traced:
            traced[precision] = _trace(exportable, wanted, precision)
        (write_onnx if name == "onnx" else write_torch_export)(
            folder, exportable, wanted, traced[precision]
        )


def _trace(exportable: Exportable, wanted: ExportRequest, precision: str) -> ExportedProgram:
    images = exportable.preprocessing
    net = Network(
        store_rounded(exportable.dynamic(), precision),
        None if wanted.input == "float32" else images,
        stored=wanted.input == "uint16",
    ).eval()
    height = width = images.image_size
    axes = {0: Dim.DYNAMIC}
    if exportable.any_size:
        height, width = height + 2 * exportable.unit, width + 3 * exportable.unit
        axes |= {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    dtype = {"uint8": torch.uint8, "uint16": torch.uint16}.get(wanted.input, torch.float32)
    example = torch.zeros(2, images.channels, height, width, dtype=dtype)
    try:
        with torch.no_grad():
            program = torch.export.export(net, (example,), dynamic_shapes=(axes,))
    except REFUSALS as error:
        raise _told(
            exportable, wanted, "onnx or torch_export", _first_line(error), "timm"
        ) from error
    _forget_source_lines(program)
    return program


def _forget_source_lines(program: ExportedProgram) -> None:
    """Take out of every node where it was called: paths of this machine are nobody else's."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)


def _told(
    exportable: Exportable, wanted: ExportRequest, name: str, reason: str, others: str
) -> ValueError:
    return ValueError(
        f"formats=[{','.join(wanted.formats)}]: {exportable.architecture} cannot be written as"
        f" {name} ({reason}); set formats=[{others}]"
    )


def _first_line(error: BaseException) -> str:
    while isinstance(error.__cause__, REFUSALS):  # the innermost says what it is about
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def write_torch_export(
    folder: Path, exportable: Exportable, wanted: ExportRequest, program: ExportedProgram
) -> None:
    """Write ``encoder.pt2``, for ``torch.export.load(FILE).module()(images)``."""
    extra = {METADATA: json.dumps(_metadata(exportable, wanted))}
    torch.export.save(program, folder / TORCH_EXPORT, extra_files=extra)


def _check_onnx(exportable: Exportable, wanted: ExportRequest) -> None:
    if missing := [
        name
        for name in ("onnx", "onnxscript", "onnxruntime")
        if importlib.util.find_spec(name) is None
    ]:
        raise ValueError(
            f"formats=[onnx]: needs {', '.join(missing)}; install ssl-patches[export], or leave"
            " onnx out"
        )
    each = 4 if wanted.precision == "fp32" else 2
    size = each * sum(weight.numel() for weight in exportable.model.state_dict().values())
    if size > LARGEST_ONNX:
        reason = f"{size / 1e9:.1f} GB of weights, one file holds 2; precision=fp16 halves them"
        raise _told(exportable, wanted, "onnx", reason, "timm,torch_export")


def write_onnx(
    folder: Path, exportable: Exportable, wanted: ExportRequest, program: ExportedProgram
) -> None:
    """Write ``encoder.onnx``: image -> pooled, dense. ValueError where ONNX lacks an operation."""
    import onnx

    axes = {0: "batch"} | ({2: "height", 3: "width"} if exportable.any_size else {})
    try:
        graph = torch.onnx.export(
            program,
            (),
            dynamic_shapes=(axes,),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=["pooled", "dense"],
        )
        assert graph is not None  # as with every dynamo=True
        model = graph.model_proto
    except REFUSALS as error:
        raise _told(exportable, wanted, "onnx", _first_line(error), "timm,torch_export") from error
    if wanted.precision != "fp32":
        _store_rounded(model.graph, wanted.precision)
    _forget_nodes_origin(model)
    onnx.helper.set_model_props(model, {METADATA: json.dumps(_metadata(exportable, wanted))})
    onnx.checker.check_model(model)
    onnx.save(model, folder / ONNX)


def _forget_nodes_origin(model: Any) -> None:
    """Take out what the exporter notes for those who debug it: source lines with their paths."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            del node.metadata_props[:]
            node.ClearField("doc_string")


def _store_rounded(graph: Any, precision: str) -> None:
    """Each large initializer in 16 bits, and a Cast that the runtime does once, when it loads."""
    import ml_dtypes
    import onnx
    from onnx import numpy_helper

    dtype = {"fp16": "float16", "bf16": ml_dtypes.bfloat16}[precision]
    casts = []
    for weight in graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1:
            name, stored = weight.name, f"{weight.name}.stored"
            weight.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(weight).astype(dtype), stored)
            )
            casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _metadata(exportable: Exportable, wanted: ExportRequest) -> Mapping[str, Any]:
    preprocessing = exportable.preprocessing.said(graph_input=wanted.input)
    return {
        "architecture": exportable.architecture,
        "precision": wanted.precision,
        "preprocessing": preprocessing,
    }
