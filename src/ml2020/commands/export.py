"""eval.py do=export: the network of a run as files that need nothing of this project: ONNX, and torch.export's own format."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module, util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ml2020.core.errors import UserError
from ml2020.core.folder import RunFolder

TOLERANCE = 1e-4  # of the largest output: single precision summed in another order stays a hundred times below it
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def export(folder: RunFolder, module: nn.Module, example: tuple[Tensor, ...]) -> list[tuple[str, ...]]:
    """Write export/model.onnx, export/model.pt2 and export/README.txt into the run's folder; gives (file, KB, largest difference).

    `example` holds what `module.forward` takes, real samples rather than zeros, each tensor with the batch as its first dimension; the
    batch of the files is free, all else is as in the example. Both files are loaded again and compared with the module on batches of
    other sizes than the traced one, and only then put in their place. The module is left as it was found.

    Raises UserError where a package is missing, the network cannot be traced, or a file answers otherwise than the module.
    """
    if missing := [name for name in _PACKAGES if util.find_spec(name) is None]:
        raise UserError(f"export needs {' and '.join(missing)}; type pip install -e '.[export]'")
    half, target = folder.path / "export.tmp", folder.path / "export"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    try:
        with at_rest(module), torch.inference_mode(False), torch.no_grad():
            example = tuple(value.detach().cpu().clone() for value in example)  # a clone, as tensors of inference_mode are not traced
            outputs = _write(module, example, half)
            differences = {
                "model.onnx": _difference(module, example, _onnx_answers(half / "model.onnx"), "model.onnx"),
                "model.pt2": _difference(module, example, _torch_answers(half / "model.pt2"), "model.pt2"),
            }
        (half / "README.txt").write_text(_readme(folder, module, example, outputs, differences), encoding="utf8")
        rows = [
            (f"export/{name}", f"{(half / name).stat().st_size / 1024:,.0f}", f"{difference:.1e}")
            for name, difference in differences.items()
        ]
        target.mkdir(exist_ok=True)
        for file in half.iterdir():
            os.replace(file, target / file.name)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return rows


@contextlib.contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """The module on the CPU and in eval mode; afterwards each part has its own mode again, and all is where it was."""
    modes = [(part, part.training) for part in module.modules()]
    device = next((value.device for value in [*module.parameters(), *module.buffers()]), torch.device("cpu"))
    try:
        module.cpu().eval()
        yield
    finally:
        module.to(device)
        for part, mode in modes:
            part.training = mode


class _Forward(nn.Module):
    """Only the forward of a LightningModule: its trainer and its other attributes are nothing to the tracer."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def _write(module: nn.Module, example: tuple[Tensor, ...], folder: Path) -> list[Tensor]:
    """model.pt2 and model.onnx from one trace; gives the outputs of the traced batch."""
    traced = _rows_of(example, 2)  # a batch of one would be taken for a constant
    batch = torch.export.Dim("batch", min=1)
    outputs = _tensors(module(*traced))
    try:
        with _quiet():
            program = torch.export.export(_Forward(module), traced, dynamic_shapes=(tuple({0: batch} for _ in traced),), strict=False)
            torch.export.save(program, folder / "model.pt2")
            torch.onnx.export(
                program,
                (),
                folder / "model.onnx",
                input_names=_input_names(module, len(traced)),
                output_names=_output_names(outputs),
                dynamic_shapes=(tuple({0: "batch"} for _ in traced),),
                dynamo=True,
                external_data=False,  # else the weights go into a second file
                verbose=False,
            )
    except Exception as error:  # whatever the tracer cannot follow, it says in types of its own
        first = (str(error).strip().splitlines() or [""])[0]
        raise UserError(f"the network cannot be exported: {type(error).__name__}: {first}") from error
    return outputs


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints, warns and logs; errors still come through as exceptions."""
    before = logging.root.manager.disable
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def _onnx_answers(file: Path) -> Callable[..., list[Tensor]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda *inputs: [
        torch.from_numpy(value) for value in session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    ]


def _torch_answers(file: Path) -> Callable[..., list[Tensor]]:
    with _quiet():
        loaded = torch.export.load(file).module()
    return lambda *inputs: _tensors(loaded(*inputs))


def _difference(module: nn.Module, example: tuple[Tensor, ...], answers: Callable[..., list[Tensor]], file: str) -> float:
    """The largest absolute difference between a file's answers and the module's, over a batch of one and a larger one."""
    largest = 0.0
    for size in (1, max(3, len(example[0]))):
        inputs = _rows_of(example, size)
        wanted, got = _tensors(module(*inputs)), answers(*inputs)
        if [value.shape for value in wanted] != [value.shape for value in got]:
            raise UserError(f"{file} gives other shapes than the network for a batch of {size}; nothing was exported")
        for ours, theirs in zip(wanted, got, strict=True):
            difference = float((ours.double() - theirs.double()).abs().max())
            scale = float(ours.double().abs().max())
            if not difference <= TOLERANCE * scale:  # written so that nan is refused
                raise UserError(
                    f"{file} differs from the network by {difference:.1e} where the largest output is {scale:.1e}; nothing was exported"
                )
            largest = max(largest, difference)
    return largest


def _rows_of(example: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    """The example as a batch of `size`: its samples in order, again from the first where there are too few."""
    return tuple(value[torch.arange(size) % len(value)] for value in example)


def _tensors(output: Any) -> list[Tensor]:
    """The tensors of an output, in order: one, or those of a tuple, list or dict."""
    if isinstance(output, Tensor):
        return [output]
    parts = list(output.values()) if isinstance(output, dict) else output
    if not isinstance(parts, list | tuple) or not all(isinstance(part, Tensor) for part in parts):
        raise UserError("the network cannot be exported: its forward gives something else than tensors")
    return list(parts)


def _input_names(module: nn.Module, count: int) -> list[str]:
    return list(inspect.signature(module.forward).parameters)[:count]


def _output_names(outputs: list[Tensor]) -> list[str]:
    return ["output"] if len(outputs) == 1 else [f"output_{i}" for i in range(len(outputs))]


def _readme(
    folder: RunFolder, module: nn.Module, example: tuple[Tensor, ...], outputs: list[Tensor], differences: dict[str, float]
) -> str:
    """What goes in, what comes out, how to call it, what it was made with."""
    facts = folder.facts
    names = _input_names(module, len(example))
    said = inspect.cleandoc(type(module).forward.__doc__ or "")
    classes = (facts.get("spec") or {}).get("classes") or []
    versions = {name: import_module(name).__version__ for name in ("torch", *_PACKAGES)}  # onnxruntime has several distributions
    lines = [
        f"The network of {facts.get('task', 'a run')} ({facts.get('model', type(module).__name__)}) from {folder.path.name}",
        "",
        *(f"input   {_described(name, value)}" for name, value in zip(names, example, strict=True)),
        *(f"output  {_described(name, value)}" for name, value in zip(_output_names(outputs), outputs, strict=True)),
        *([said] if said else []),
        *([f"columns of the output: {', '.join(map(str, classes))}"] if classes and outputs[0].shape[-1] == len(classes) else []),
        "",
        "    import onnxruntime                                  # model.onnx needs neither torch nor this project",
        '    session = onnxruntime.InferenceSession("model.onnx")',
        f"    session.run(None, {{{', '.join(f'{name!r}: {name}' for name in names)}}})    # numpy arrays",
        "",
        "    import torch                                        # model.pt2 needs torch alone",
        f'    torch.export.load("model.pt2").module()({", ".join(names)})',
        "",
        "Compared with the network when written, on batches of 1 and more; largest difference: "
        + ", ".join(f"{file} {difference:.1e}" for file, difference in differences.items()),
        "Written with " + ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return "\n".join(lines) + "\n"


def _described(name: str, value: Tensor) -> str:
    return f"{name}  {str(value.dtype).removeprefix('torch.')}  ({', '.join(['batch', *map(str, value.shape[1:])])})"
