"""A run in TensorBoard: rows, pictures, alarms, and a line of the HParams tab."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ssl_patches.training.loggers import tensorboard_logger

pytest.importorskip("tensorboard")


def test_the_hparams_tab_has_settings_as_typed_and_what_came_of_them(tracked_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(tracked_run / "tensorboard")).Reload()
    kept = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(kept).session_start_info.hparams
    assert settings["sampler.rows"].number_value == 3
    assert settings["encoder.name"].string_value == "vit_tiny_patch16_224"
    assert not {key for key in settings if key.startswith(("run_dir", "logger", "callbacks"))}
    summary = json.loads((tracked_run / "summary.json").read_text())
    for row in summary["results"]:
        place = "results" if row["model"] == "trained" else f"floors/{row['model']}"
        (event,) = events.Scalars(f"{place}/{row['metric']}")
        assert (event.step, event.value) == (4, pytest.approx(row["value"]))


def test_an_alarm_is_a_text(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = tensorboard_logger(run_dir=tmp_path)
    logger.alert("collapse at step 7", "all alike")
    logger.close(failed=False)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (tensor,) = events.Tensors("alarms/text_summary")
    assert tensor.tensor_proto.string_val == [b"collapse at step 7: all alike"]


@pytest.mark.parametrize("ours", [True, False])
def test_pictures_reach_ours_and_a_logger_that_a_user_named(tmp_path, ours: bool):
    from lightning.pytorch.loggers import TensorBoardLogger
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from ssl_patches.training.callbacks.previews import _log

    Image.new("RGB", (8, 6)).save(tmp_path / "jigsaw.png")
    logger = (
        tensorboard_logger(run_dir=tmp_path)
        if ours
        else TensorBoardLogger(save_dir=tmp_path, name="tensorboard", version="")
    )
    _log(SimpleNamespace(loggers=[logger], global_step=7), tmp_path / "jigsaw.png")
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (picture,) = events.Images("previews/jigsaw")
    assert (picture.step, picture.width, picture.height) == (7, 8, 6)
