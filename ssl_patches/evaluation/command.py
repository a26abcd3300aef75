"""Evaluate from the command line or at the end of a run: which model, on which data.

Only what was exported is ever evaluated.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ssl_patches import config
from ssl_patches.config.files import trusted
from ssl_patches.config.messages import Say
from ssl_patches.config.schema import channels_of
from ssl_patches.config.words import Place, data_words, words_of_keys
from ssl_patches.data import build as build_data
from ssl_patches.data.build import data_name, other_images
from ssl_patches.data.index.listing import one_look
from ssl_patches.data.live import Datasets
from ssl_patches.data.masks import HasMasks
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders import build as build_encoders
from ssl_patches.encoders import create
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.encoders.exported import Subject, open_model
from ssl_patches.evaluation.efficiency.report import leave_report
from ssl_patches.evaluation.efficiency.rivals import Rival, open_rivals
from ssl_patches.evaluation.evaluate import evaluate_model
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.labels import counts, described, kind_of, labelled
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.table import GROUP, check_probes, probes_named
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.record import FILE, Paired, Record, paired
from ssl_patches.evaluation.request import evaluate_request
from ssl_patches.evaluation.rows import AGAINST, TRAINED, Row


class Evaluated(NamedTuple):
    """What ``evaluate`` found: rows of every model, what ``against=`` found in pairs, and lines to
    be read last (which model to use)."""

    rows: list[Row]
    pairs: list[Paired]
    report: list[str]


EFFICIENCY = "label_efficiency"
EFFICIENCY_CLASS = "ssl_patches.evaluation.probes.label_efficiency.LabelEfficiency"


def evaluate_command(
    words: Sequence[str],
    *,
    config_dirs: Sequence[Path],
    say: Say,
    sources: Datasets | None = None,
) -> Evaluated:
    """Run ``ssl-patches evaluate``: rows, what ``against=`` found, and what it comes to.

    ValueError for a bad request.
    """
    words, changes = config.without_data_keys(words)
    cfg = evaluate_request(words, config_dirs=config_dirs)
    check_probes(cfg)
    probes = _probes(cfg)
    if cfg["output"] is not None and not Path(cfg["output"]).parent.is_dir():
        raise ValueError(
            f"output={cfg['output']}: there is no folder {Path(cfg['output']).parent}; make it, or"
            " give another FILE"
        )
    if cfg["output"] is not None and Path(cfg["output"]).exists():
        _refuse_other_file(Path(cfg["output"]))
    subject = open_model(cfg["model"], pretrained=cfg["pretrained"])
    data, allowed = chosen_data(cfg, subject, changes, config_dirs=config_dirs)
    data = build_data.with_label_kind(data, cfg["labels"], allowed=allowed)
    against = (
        None
        if cfg["against"] is None
        else open_model(cfg["against"], pretrained=cfg["pretrained"], key="against")
    )
    if against is not None:
        _check_channels(data, against, cfg["against"])
    for line in range_told(cfg.get("data"), data, subject, cfg["model"]):
        say(line)
    if against is not None:
        for line in range_told(None, data, against, cfg["against"]):
            say(line)
    rivals = open_rivals(
        cfg["rivals"],
        pretrained=cfg["pretrained"],
        image_size=cfg["rival_size"],
        channels=channels_of({"data": data}),
    )
    for line in _rivals_told(rivals, subject, data):
        say(line)
    figures = None if cfg["figures"] is None else Path(cfg["figures"])
    options = {
        "num_workers": data["num_workers"],
        "allowed": allowed,
        "say": say,
        "sources": sources,
        "config_dirs": config_dirs,
        "probes": probes,
    }
    with one_look():
        train, test = (
            build_data.source(
                {"data": data, "image_size": subject.image_size},
                split,
                whole=True,
                allowed=allowed,
                sources=sources,
            )
            for split in ("train", "val")
        )
    say_images(say, subject, (train, test), of_run=not cfg.get("data"))
    record = _evaluate(
        subject,
        data,
        cfg,
        floors=Path("runs") / ".floors",
        figures=figures,
        **options,
        pair=(train, test),
    )
    if cfg["output"] is not None:
        record.save(Path(cfg["output"]))
    rows = list(record.rows)
    for rival in rivals:
        rows += _evaluate(
            rival.subject, data, cfg, floors=None, figures=None, model_name=rival.name, **options
        ).rows
    report = _left(
        probes,
        Path(cfg["model"]),
        figures=figures,
        own=not other_images(subject.fingerprint, train),
    )
    if against is None:
        return Evaluated(rows, [], report)
    other = _evaluate(against, data, cfg, floors=None, figures=None, model_name=AGAINST, **options)
    found = paired(record, other)
    rows += [*other.rows, *(row for pair in found for row in pair.rows(data=data_name(data)))]
    return Evaluated(rows, found, report)


def _probes(cfg: Mapping[str, Any]) -> dict[str, Probe]:
    """Build the probes that were asked for; what ``label_efficiency`` is told stands apart."""
    own = dict(cfg.get(GROUP) or {})
    if EFFICIENCY in cfg["probes"] and EFFICIENCY not in own:
        own[EFFICIENCY] = {
            "_target_": EFFICIENCY_CLASS,
            "kept": str(Path("runs") / ".label_efficiency"),
            **cfg[EFFICIENCY],
        }
    return probes_named(cfg["probes"], own)


def _left(probes: Mapping[str, Probe], model: Path, **where: Any) -> list[str]:
    """Leave what a study of labels found, and return its lines; none where none was asked for."""
    if EFFICIENCY not in probes:
        return []
    from ssl_patches.evaluation.probes.label_efficiency import LabelEfficiency

    probe = probes[EFFICIENCY]
    return leave_report(probe, model, **where) if isinstance(probe, LabelEfficiency) else []


def _rivals_told(
    rivals: Sequence[Rival], subject: Subject, data: Mapping[str, Any]
) -> Iterator[str]:
    """Say how each rival sees the images, where that is another way than ours."""
    for rival in rivals:
        if rival.subject.image_size != subject.image_size:
            yield (
                f"{rival.name} sees images at {rival.subject.image_size} px, {TRAINED} at"
                f" {subject.image_size} px (rival_size=N sets another size)"
            )
        yield from range_told(None, data, rival.subject, rival.name)


def say_images(say: Say, subject: Subject, sources: Sequence[ImageSource], *, of_run: bool) -> None:
    """Say what there is to say of the images, before anything is computed.

    ``sources``: train first. ``of_run``: they are meant to be those that the model was trained on.
    """
    for line in build_data.remarks(*sources):
        say(f"images: {line}")
    if of_run and build_data.other_images(subject.fingerprint, sources[0]):
        say(
            "images: other images than the run was trained on lie where its own were; give"
            " data.root=DIR for those, or data=folder data.root=DIR for others"
        )


def _refuse_other_file(output: Path) -> None:
    try:
        Record.load(output)
    except ValueError:
        raise ValueError(
            f"output={output}: exists and is no record of evaluate; give another FILE"
        ) from None


def chosen_data(
    cfg: Mapping[str, Any],
    subject: Subject,
    changes: Sequence[str] = (),
    *,
    config_dirs: Sequence[Path],
) -> tuple[Mapping[str, Any], tuple[str, ...] | None]:
    """Choose the data that were asked for, or those of the run, and the classes they may name.

    ``config_dirs``: the user's own YAML, whose classes the data of a run may name too.

    ``changes``: data.KEY=VALUE for the data of the run. ValueError where there are none, or of
    another number of channels than the model takes.
    """
    if cfg.get("data"):
        data, allowed = build_data.with_value_range(cfg["data"], subject.stored_range), None
    elif subject.cfg:
        data, allowed = subject.cfg["data"], trusted("data", config_dirs=config_dirs)
        data = config.overlaid(data, changes, allowed=allowed) if changes else data
    else:
        raise ValueError(
            f"data: missing, {cfg['model']} comes from no run; give data=folder data.root=DIR or"
            " data=embedded"
        )
    _check_channels(data, subject, cfg["model"])
    return data, allowed


def range_told(
    typed: Mapping[str, Any] | None, data: Mapping[str, Any], subject: Subject, name: str
) -> list[str]:
    """Return a line where images are read by the range of the model, or by another one.

    ``typed``: the data that were asked for; ``data``: those that are read. None where they agree.
    """
    read, trained = data.get("value_range"), subject.stored_range
    known = subject.cfg is not None  # timm says nothing of stored values
    if not known or list(read or ()) == list(trained or ()):
        taken = typed and read is not None and typed.get("value_range") is None
        return [f"data.value_range={_range(read)}, as {name} was trained"] if taken else []
    now, then = _range(read), _range(trained)
    return [
        f"images of more than 8 bits are read by {now}, and {name} was trained by {then}"
        " (data.value_range)"
    ]


def _range(stated: Sequence[float] | None) -> str:
    """Say a range as it is typed."""
    if stated is None:
        return "the range of their type"
    return f"[{','.join(f'{value:g}' for value in stated)}]"


def _check_channels(data: Mapping[str, Any], subject: Subject, name: str) -> None:
    channels, taken = channels_of({"data": data}), len(subject.mean)
    if channels != taken:
        raise ValueError(
            f"data.channels={channels}: {name} takes images of {taken}; set data.channels={taken}"
        )


def evaluate_run(
    export: Path, cfg: Mapping[str, Any], *, say: Say, sources: Datasets | None = None
) -> list[dict[str, Any]]:
    """Evaluate the export of a run on the run's own data and return the rows.

    There are none, after saying so, when the data carry no labels. The record with predictions for
    every test image is left in the run directory.
    """
    cfg = {**cfg, "data": build_data.with_label_kind(cfg["data"], cfg["evaluation"]["labels"])}
    val = build_data.source(cfg, "val", whole=True, sources=sources)
    named = probes_named(cfg["evaluation"]["probes"], cfg["evaluation"].get(GROUP))
    probes = [
        name
        for name, probe in named.items()
        if _possible(probe.wants, val, cfg["evaluation"]["labels"])
    ]
    if missing := [name for name in named if name not in probes]:
        wants = " or ".join(sorted({named[name].wants for name in missing}))
        what = ", ".join(missing) if probes else "probes"
        say(f"no {wants}, so no {what}; `ssl-patches evaluate` takes a folder with them later")
    if not probes:
        return []
    subject = open_model(str(export), pretrained=True)
    floors = Path(cfg["run_dir"]).parent / ".floors"
    settings = {
        **cfg["evaluation"],
        "probes": probes,
        "precision": cfg["trainer"].get("precision", "fp32"),
    }
    figures, workers = Path(cfg["run_dir"]) / "figures", cfg["data"]["num_workers"]
    record = _evaluate(
        subject,
        cfg["data"],
        settings,
        floors=floors,
        figures=figures,
        num_workers=workers,
        allowed=None,
        say=say,
        sources=sources,
    )
    record.save(Path(cfg["run_dir"]) / FILE)
    return [row.as_dict() for row in record.rows]


def _possible(wants: str, source: Any, labels: str) -> bool:
    """Whether a source has what a probe wants."""
    if wants == "labels":
        return bool(labelled(source.labels, kind_of(source.labels, labels)).any())
    return wants == "images" or isinstance(source, HasMasks)


def _evaluate(
    subject: Subject,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    floors: Path | None,
    figures: Path | None,
    num_workers: int,
    allowed: tuple[str, ...] | None,
    say: Say,
    sources: Datasets | None,
    probes: Mapping[str, Probe] | None = None,
    model_name: str = TRAINED,
    pair: tuple[ImageSource, ImageSource] | None = None,
    config_dirs: Sequence[Path] = (),
) -> Record:
    """``floors``: where they are kept; None does without floors. ``figures``: a folder for what the
    rows allow to draw. ``probes``: built already; None: those of ``settings``. ``pair``: train and
    test, where they are built already."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    untrained = None if floors is None else _untrained(subject, data, allowed, sources, config_dirs)
    if probes is None:
        probes = probes_named(settings["probes"], settings.get(GROUP))
    for model in filter(None, (subject.model, untrained)):
        choose_attention(model, accelerator=device, precision=settings["precision"])
    node = {"data": data, "image_size": subject.image_size}
    with one_look():
        train, test = pair or (
            build_data.source(node, split, whole=True, allowed=allowed, sources=sources)
            for split in ("train", "val")
        )
    limits = settings["train_images"], settings["test_images"]
    large = None
    if any(probe.cuts for probe in probes.values()):  # pieces are best made of real pixels
        with one_look():
            large_train, large_test = (
                build_data.source(node, split, whole=False, allowed=allowed, sources=sources)
                for split in ("train", "val")
            )
        large = large_train, large_test
    eval_data = EvalData(
        train=train,
        test=test,
        batch_size=settings["batch_size"],
        num_workers=num_workers,
        mean=subject.mean,
        std=subject.std,
        image_size=subject.image_size,
        limit_train=limits[0],
        limit_test=limits[1],
        device=device,
        precision=settings["precision"],
        large=large,
    )
    total = sum(
        min(len(source), limit or len(source))
        for source, limit in zip((train, test), limits, strict=True)
    )
    say(
        f"evaluating {model_name} on {total} images, protocol {PROTOCOL['version']}:"
        f" {', '.join(probes)}"
    )
    hidden = not sys.stderr.isatty() or not any(probe.reads for probe in probes.values())
    with tqdm(total=total, unit="image", disable=hidden, dynamic_ncols=True) as bar:
        record = evaluate_model(
            subject.model,
            eval_data,
            random_init=untrained,
            model_name=model_name,
            data_name=data_name(data),
            probes=probes,
            labels=settings["labels"],
            floors=floors is not None,
            floors_cache=floors,
            progress=bar.update,
            tell=bar.set_description_str,
        )
    if figures is not None:
        drawn = [
            path
            for probe in probes.values()
            for path in probe.draw(figures, record.rows, subject.model, eval_data)
        ]
        if drawn:
            say(f"figures: {', '.join(map(str, drawn))}")
    if floors is not None and len(record.labels):
        say(f"labels: {described(record.kind, record.labels)}")
        if record.kind == "class":
            for source, name in ((train, "train"), (test, "test")):
                if source.labels is not None:
                    say(f"  {name:5}  {counts(source.labels, source.classes)}")
    return record


def _untrained(
    subject: Subject,
    data: Mapping[str, Any],
    allowed: tuple[str, ...] | None,
    sources: Datasets | None,
    config_dirs: Sequence[Path],
) -> nn.Module:
    """Build the same architecture with the weights that training would start from.

    Calibrated and exported alike: on the images of the run, or, where those cannot be had, on
    ``data``.
    """
    if subject.cfg is None:
        traits: Any = subject.model
        name = traits.pretrained_cfg["architecture"]
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return create(name=name, image_size=subject.image_size).export(subject.image_size)
    named = trusted("encoder", config_dirs=config_dirs)
    encoder = build_encoders.encoder(subject.cfg, allowed=named)
    encoder.calibrate(_images_of_run(subject, data, allowed, sources))
    return encoder.export(subject.image_size)


def _images_of_run(
    subject: Subject,
    data: Mapping[str, Any],
    allowed: tuple[str, ...] | None,
    sources: Datasets | None,
) -> Iterator[Tensor]:
    own = subject.cfg or {}
    batches = build_data.whole_batches(
        own, allowed=trusted(), sources=sources, fingerprint=subject.fingerprint
    )
    try:
        first = next(batches)
    except ValueError:  # they are gone, or others lie in their place
        other = {**own, "data": {**data, "statistics": own["data"].get("statistics")}}
        yield from build_data.whole_batches(other, allowed=allowed, sources=sources)
        return
    yield first
    yield from batches


def evaluate(
    *,
    model: Place,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Place] = (),
    say: Say = print,
    **keys: Any,
) -> list[Row]:
    """Run ``ssl-patches evaluate``: a row for each model and metric, with 95 % bounds.

    ``model``: a run, an export or a name of timm. ``data``: as for ``pretrain``; None: those of the
    run. ``keys``: ``probes``, ``against``, ``figures``, ... ``[row.as_dict() for row in rows]`` is
    a table for pandas. ValueError for a bad request.
    """
    words, datasets = data_words(data)
    words += words_of_keys({"model": model, **keys}, settings)
    found = evaluate_command(
        words, config_dirs=[Path(place) for place in config_dirs], say=say, sources=datasets
    )
    for line in found.report:
        say(line)
    return found.rows
