"""What `--help` prints: for each command what it does, and examples."""

from __future__ import annotations

MAIN_HELP = """\
ssl-patches: self-supervised pretraining on image patches.

  ssl-patches pretrain [KEY=VALUE ...]              pretrain an encoder, export and evaluate it
  ssl-patches evaluate model=RUN|EXPORT|TIMM_NAME   kNN and linear probe of a frozen encoder, floors beside it
  ssl-patches export   model=RUN output=DIR         the encoder as a folder that timm loads, proven equal
  ssl-patches verify   EXPORT                       prove an export again, in another process
  ssl-patches compare  RUN_OR_DIR [...]             one table of runs
  ssl-patches list     tasks|encoders|samplers|data|views|optimizers|experiments

Each has --help with examples. Completion: eval "$(ssl-patches completion bash)".
"""

HELP = {
    "pretrain": """\
ssl-patches pretrain [KEY=VALUE ...] [--config-dir DIR]

Pretrains an encoder, exports it to RUN/encoder and, where there are labels, evaluates it. Without data the images that
the package draws are used.

  ssl-patches pretrain task=jigsaw
  ssl-patches pretrain task=masked data=folder data.root=my_images image_size=128
  ssl-patches pretrain task=relative encoder=resnet18 data=folder data.root=my_images budget.epochs=50
  ssl-patches pretrain task=jigsaw+masked parts.masked.weight=0.5  several tasks on one encoder, a part each
  ssl-patches pretrain task=jigsaw run_dir=runs/a resume=true      go on after a kill

Often set: task= encoder= encoder.name= data= data.root= data.batch_size= image_size= budget.images= (or epochs, flops,
seconds) optimizer.base_lr= trainer.precision=auto|fp32|bf16 views=none sampler.tile= sampler.gap= seed= run_dir= resume=
overwrite= logger=wandb. `ssl-patches list tasks` and so on show what there is; --cfg prints the composed settings.
""",
    "evaluate": """\
ssl-patches evaluate model=RUN|EXPORT|TIMM_NAME [data=... KEY=VALUE ...] [--json] [--config-dir DIR]

Weighted kNN (k 20, T 0.07) and a linear probe of the frozen encoder, beside random initialisation and raw pixels, with
95 % intervals. The data are those of the run unless given.

  ssl-patches evaluate model=runs/a
  ssl-patches evaluate model=runs/a/encoder data=folder data.root=labelled_images
  ssl-patches evaluate model=resnet18 data=embedded --json
""",
    "export": """\
ssl-patches export model=RUN output=DIR [checkpoint=FILE] [overwrite=true] [--json]

Writes the encoder of a run (or of one of its checkpoints) as a folder that timm loads, and proves it equal in a process
that cannot import ssl_patches before the folder gets its name.

  ssl-patches export model=runs/a output=encoder_a
  python -c "import timm; timm.create_model('local-dir:encoder_a', pretrained=True)"
""",
    "verify": """\
ssl-patches verify EXPORT [--json]

Checks the files of an export and repeats its proof: loaded in a process that cannot import ssl_patches, the features of
64 images must equal those of the trained encoder to 1e-5.

  ssl-patches verify encoder_a
""",
    "compare": """\
ssl-patches compare RUN_OR_DIR [...] [--json] [--csv FILE] [--markdown]

One table of finished runs: probes with 95 % intervals, floors, speed, budget used, where the encoder lies. Folders are
searched for runs; a broken run is listed and left out.

  ssl-patches compare runs
  ssl-patches compare runs/a runs/b --csv results.csv
""",
    "list": """\
ssl-patches list tasks|encoders|samplers|data|views|optimizers|experiments [--config-dir DIR]
""",
}
