"""Write the text of ``--help``: what each command does, with examples, and the flags that it
takes."""

from __future__ import annotations

MAIN_HELP = """\
ssl-patches: self-supervised pretraining on image patches.

  ssl-patches pretrain [KEY=VALUE ...]              pretrain an encoder, export and evaluate it
  ssl-patches evaluate model=RUN|EXPORT|TIMM_NAME   probes of a frozen encoder, floors beside it
  ssl-patches export   model=RUN output=DIR         the encoder for timm or ONNX, proven equal
  ssl-patches verify   EXPORT                       prove an export again, in other processes
  ssl-patches push     EXPORT hub=USER/NAME         an export to the Hugging Face hub
  ssl-patches embed    model=... output=FILE        features of a folder of images as a Parquet file
  ssl-patches duplicates data.root=DIR model=...    near-copies and odd images of a folder
  ssl-patches study    STUDY [KEY=VALUE ...]        make what is missing of a study
  ssl-patches runs     [list|diff|remove] ...       what is in a folder of runs
  ssl-patches compare  RUN_OR_DIR [...]             runs side by side: table, page, CSV
  ssl-patches view     RUN_OR_DIR                   look at it in a browser: pictures, map, report
  ssl-patches doctor   data.root=DIR                what is in a folder of images, what is broken
  ssl-patches pack     data.root=DIR output=SHARDS  a folder of images as tar shards
  ssl-patches list     tasks|encoders|samplers|data|views|optimizers|experiments

Each has --help with examples. Completion: eval "$(ssl-patches completion bash)".
"""

HELP = {
    "pretrain": (
        """\
ssl-patches pretrain [KEY=VALUE ...] [--dry-run] [-m|--multirun] [--config-dir DIR]

Pretrains an encoder, exports it to RUN/encoder and, where there are labels, evaluates it.
Without data the images that the package draws are used.

  ssl-patches pretrain task=jigsaw
  ssl-patches pretrain task=masked data=folder data.root=my_images image_size=128
  ssl-patches pretrain task=relative encoder=resnet18 data=folder data.root=DIR budget.epochs=50
  ssl-patches pretrain task=jigsaw+masked parts.masked.weight=0.5  two tasks on one encoder
  ssl-patches pretrain task=jigsaw run_dir=runs/a resume=true      go on after a kill
  ssl-patches pretrain -m task=jigsaw,masked 'seed=range(0,3)' budget.flops=1e13   each combination

Images come from data=folder|torchvision|manifest|huggingface, or data=own
data._target_=module.Class, a Dataset of yours.

Often set: task= encoder= encoder.name= data= data.root= data.batch_size= image_size=
budget.images= (or epochs, flops, seconds) optimizer.base_lr= trainer.precision=auto|fp32|bf16
views=photo|microscopy|satellite|none sampler.tile= sampler.gap= seed= run_dir= resume=
overwrite= logger=wandb. `ssl-patches list tasks` and so on show what there is; --cfg prints the
composed settings. --dry-run composes, checks and builds without training: parameters, FLOPs,
memory and time, and a picture of the tiles, dry_run.png here.
"""
    ),
    "evaluate": (
        """\
ssl-patches evaluate model=RUN|EXPORT|hf-hub:USER/NAME|TIMM_NAME [data=... KEY=VALUE ...] [--json]
                     [--config-dir DIR]

Probes of the frozen encoder, beside random initialisation and raw pixels, with 95 % intervals.
The data are those of the run unless given. probes=[knn,linear] unless others are named:

  knn        weighted k-nearest neighbours, k = 1, 5, 20, 200, T = 0.07
  linear     logistic (or ridge) regression of the exported feature, strength chosen on train
  layers     the same for every layer and the last four together, by mean and by class token
  attentive  one learned query over the tokens of the last layer
  lowshot    linear from 1, 5, 10, 50 images per class, and 1 % and 10 %, five draws each
  label_efficiency  linear and kNN from 1, 5, 10, 50, 100 and all labels per class, beside rivals=
  segmentation  k-NN and linear segmentation of the feature map, on images with masks
  finetune   the whole encoder trained on for 10 epochs, and the same recipe from random weights
  roles      tiles, sizes, invariance, attention: a package, pip install experiments/patch_roles

`ssl-patches list probes` names them and those of installed packages; probe/NAME.yaml in a
--config-dir adds your own.

Labels may be classes (accuracy), several yes/no labels (mean average precision) or numbers
(variance explained, error); labels=class|multilabel|value overrules what their type says.
rivals=[...] puts other encoders into the same table: a run, an export, a name of timm, a file of
torchvision's MobileNetV2 or TensorFlow's EfficientNet-Lite0, NAME@FILE. With label_efficiency a
sentence says which encoder to use from how many labels on; label_efficiency.columns=[linear,knn,
finetune,scratch] trains too, .metric=balanced is for classes of which one holds most images. What
is finished is kept in runs/.label_efficiency.
against=OTHER compares two encoders image by image: the difference with its bootstrap interval,
and McNemar's test.

  ssl-patches evaluate model=runs/a
  ssl-patches evaluate model=runs/a data.root=DIR   # its images have moved
  ssl-patches evaluate model=runs/a probes=[knn,linear,layers,attentive,lowshot] precision=bf16
  ssl-patches evaluate model=runs/a probes=[segmentation] data=camvid data.root=DIR figures=DIR
  ssl-patches evaluate model=runs/a against=runs/b
  ssl-patches evaluate model=runs/a probes=[label_efficiency] rivals=[resnet18,runs/b]
  ssl-patches evaluate model=runs/a/encoder data=folder data.root=labelled_images output=a.npz
  ssl-patches evaluate model=resnet18 data=embedded --json
  ssl-patches evaluate model=hf-hub:me/my-encoder data=folder data.root=labelled_images
"""
    ),
    "export": (
        """\
ssl-patches export model=RUN output=DIR [formats=[timm,onnx,torch_export]] [KEY=VALUE ...]
                   [--json] [--config-dir DIR]

Writes the encoder of a run (or of one of its checkpoints) in formats that need no ssl_patches:
a folder that timm and transformers load, ONNX, torch.export. Each is proven equal in a process
of its own before the folder gets its name.

  ssl-patches export model=runs/a output=encoder_a
  ssl-patches export model=runs/a output=encoder_b "formats=[timm,onnx,torch_export]" input=uint8
  ssl-patches export model=runs/a output=encoder_c image_size=128 precision=fp16 license=apache-2.0

Also checkpoint=FILE, weights=ema (where the checkpoint holds them), precision=bf16,
overwrite=true. input=uint8 takes scaling and normalisation into the graphs; resizing stays
outside. --config-dir adds your own encoders and sources, where the run names them.
Differences to 1e-5 of the largest feature pass with weights in fp32, 5e-3 in fp16, 5e-2 in bf16.

  python -c "import timm; timm.create_model('local-dir:encoder_a', pretrained=True)"
"""
    ),
    "verify": (
        """\
ssl-patches verify EXPORT [--json]

Checks the files of an export and repeats its proof: each format is loaded in a process that
cannot import ssl_patches (ONNX: nor torch), and gives for 64 images at three sizes the pooled
and dense features of the trained encoder.

  ssl-patches verify encoder_a
  ssl-patches verify runs/a/encoder --json
"""
    ),
    "push": (
        """\
ssl-patches push EXPORT|RUN hub=USER/NAME [private=false] [license=apache-2.0] [overwrite=true]
                 [--dry-run] [--json]

Sends an export to the Hugging Face hub as one commit, where timm, transformers and
encoder.pretrained read it: private unless you say otherwise, with a README that names results,
licence, data and how to load it. Its files are compared with their hashes first. Settings that
are about this machine (folders, loggers, ...) stay here. --dry-run shows what would be sent, and
needs neither a network nor an account. Log in before: hf auth login, or HF_TOKEN.
Another encoder under that name is replaced with overwrite=true only.

  ssl-patches push runs/a hub=me/my-encoder --dry-run
  ssl-patches push encoder_a hub=me/my-encoder license=apache-2.0 private=false
  ssl-patches pretrain encoder.pretrained=hf-hub:me/my-encoder    go on from it, here or elsewhere
"""
    ),
    "embed": (
        """\
ssl-patches embed model=RUN|EXPORT|hf-hub:USER/NAME|TIMM_NAME output=FILE.parquet [KEY=VALUE ...]
                  [--json] [--config-dir DIR]

One row per image: path, split, label, vector. With tiles=N one row for each of N x N tiles, and
its box (y, x, h, w in pixels of the prepared image). Killed, the same command goes on where it
was; the file appears when it is whole.

  ssl-patches embed model=runs/a output=features.parquet
  ssl-patches embed model=encoder_a data=folder data.root=DIR output=tiles.parquet tiles=4
"""
    ),
    "duplicates": (
        """\
ssl-patches duplicates data.root=DIR model=RUN|EXPORT|hf-hub:USER/NAME|TIMM_NAME
                       [output=FILE.csv] [KEY=VALUE ...] [--json] [--config-dir DIR]

Compares the features of all images with each other, whitened over the folder: copies have a
cosine of similarity=0.6 or more, odd images lie outlier=4 robust deviations further from their
neighbours=20 nearest than images usually do, by features, light, contrast, detail and colour.
Writes a CSV (duplicates.csv) and a page with small pictures beside it. Of each group of copies
the largest file is kept and not listed, so data.skip=FILE.csv leaves out the rest. No image is
changed or removed.

  ssl-patches duplicates data.root=my_images model=runs/a
  ssl-patches duplicates data.root=my_images model=encoder_a similarity=0.8 output=close.csv
"""
    ),
    "study": (
        """\
ssl-patches study STUDY [KEY=VALUE ...] [--dry-run] [--config-dir DIR]

Runs what is missing of a study: tasks x encoders x seeds, or whatever the axes in its
study.yaml are, at one budget. Give the same command again, on this machine or on another one
that sees OUT, and it goes on; nothing is run twice. --dry-run shows every run, its state and
how long it takes.

  ssl-patches study experiments/tasks_embedded
  ssl-patches study experiments/tasks_cifar10 data.root=DIR workers=2
  ssl-patches study experiments/tasks_cifar10 data.root=DIR task=masked,jigsaw seed=0   a part
  ssl-patches study my_study.yaml out=runs/mine launcher=slurm workers=4 slurm.timeout_min=600

out=DIR (runs/NAME), workers=N (processes, tasks of the Slurm array, or most tasks of Ray at
once), launcher=local|slurm|ray, slurm.SETTING and ray.SETTING are about the study (ray.store=
s3://BUCKET/NAME keeps its runs where the nodes of a cluster share no disk); a key of an axis
replaces its values; all others are settings of each run, as in `pretrain`. Several values
are typed in Hydra's syntax: 0,1, 'range(0,3)', 'choice(a,b)', 'glob(*)'. Below tune, lists are a
grid, and Optuna chooses from ranges (extra [tune]). What failed leaves its traceback in error.txt
of the run, and is tried again by the next command. Ctrl-C saves the step in progress; a second
one does not.
"""
    ),
    "runs": (
        """\
ssl-patches runs [list] [DIR ...] [KEY=VALUE ...] [--json]
ssl-patches runs diff A B [--json]
ssl-patches runs remove RUN [...] [--yes]

Lists the runs below DIR (runs): finished, running, failed, stopped or crashed, what they used
and what they reached. KEY=VALUE keeps those that fit: state, task, encoder, data, seed. `diff`
shows the settings, budgets and results in which two runs differ. `remove` deletes runs, and
nothing that is no run or is running.

  ssl-patches runs
  ssl-patches runs list runs/tasks_cifar10 state=failed
  ssl-patches runs diff runs/a runs/b
  ssl-patches runs remove runs/a --yes
"""
    ),
    "compare": (
        """\
ssl-patches compare STUDY_OR_DIR_OF_RUNS [...] [--metric NAME] [--mixed] [--report FILE]
                    [--csv FILE] [--json | --markdown] [--wandb] [--tensorboard]

Finished runs side by side. Runs that differ in nothing but the seed are one line, with mean and
95 % t-interval over seeds; each pair gets a sentence (Welch's t-test over seeds,
Holm-corrected), the floors too. For one folder the page report.html, results.csv and pairs.csv
are written into it; --json and --markdown write only the files that are named. A failed,
unfinished or unreadable run is listed and left out. Runs of other data or another evaluation
are refused unless --mixed is given, and then marked and not tested against each other.

  ssl-patches compare runs
  ssl-patches compare runs --metric knn20_top1
  ssl-patches compare runs/a runs/b --csv results.csv --report ab.html
  ssl-patches compare runs --wandb           the table as an offline run in runs/wandb
  ssl-patches compare runs --tensorboard     the same for TensorBoard, in runs/tensorboard
"""
    ),
    "view": (
        """\
ssl-patches view RUN_OR_STUDY [port=N] [images=2000] [KEY=VALUE ...] [--config-dir DIR]

Serves pages on this machine (127.0.0.1) until ctrl-C, from what is on disk, and prints their
address. Of a run: results, alarms, health and pictures, and a map of its training images by
features (t-SNE), coloured by class, cluster or folder; a click shows the nearest images, and so
does an image that is dropped on the map. Of a study or a folder of runs also the comparison and
its report (extra [report]). Nothing is written into runs; maps are kept in the user's cache.

  ssl-patches view runs/a
  ssl-patches view runs/a data.root=DIR      # its images have moved
  ssl-patches view runs/tasks_cifar10 port=8800
  ssh -L 8800:127.0.0.1:8800 MACHINE         # from another machine or a phone
"""
    ),
    "doctor": (
        """\
ssl-patches doctor data.root=DIR [quarantine=FILE] [overwrite=true] [KEY=VALUE ...] [--json]

Counts, sizes, modes, channels; files that are damaged, found by decoding every one as training
does, and copies (equal bytes); what is not used and why; images per class; decode rate of a core;
and a line of settings to paste. Nothing is written but quarantine=FILE, where it is given: a list
of damaged files and copies.

  ssl-patches doctor data.root=my_images
  ssl-patches doctor data.root=my_tiffs data.channels=5 data.value_range=[0,4095] quarantine=bad.csv
  ssl-patches pretrain data=folder data.root=my_images data.skip=bad.csv
"""
    ),
    "pack": (
        """\
ssl-patches pack data.root=DIR output=SHARDS [shard_mb=100] [--json]

Images as they are in tar shards, train and val apart, in random order: what data=shards, WebDataset
and datasets read. Each shard is read back and compared before it gets its name; after a kill the
same command goes on. Copy the folder to an object store with any tool.

  ssl-patches pack data.root=my_images output=shards
  ssl-patches pretrain data=shards data.path=shards
  ssl-patches pretrain data=shards data.path=s3://my-bucket/shards
"""
    ),
    "list": (
        """\
ssl-patches list tasks|encoders|samplers|data|views|optimizers|experiments [--config-dir DIR]

What can be chosen, as it is typed. What an installed package or a folder of yours adds is
marked with its name.
"""
    ),
}

ALLOWED_FLAGS = {
    "pretrain": {"--cfg": False, "--config-dir": True, "--dry-run": False, "--multirun": False},
    "evaluate": {"--json": False, "--config-dir": True},
    "export": {"--json": False, "--config-dir": True},
    "verify": {"--json": False},
    "push": {"--dry-run": False, "--json": False},
    "embed": {"--json": False, "--config-dir": True},
    "duplicates": {"--json": False, "--config-dir": True},
    "study": {"--dry-run": False, "--config-dir": True},
    "runs": {"--json": False, "--yes": False},
    "compare": {
        "--json": False,
        "--markdown": False,
        "--csv": True,
        "--report": True,
        "--metric": True,
        "--mixed": False,
        "--wandb": False,
        "--tensorboard": False,
    },
    "view": {"--config-dir": True},
    "doctor": {"--json": False},
    "pack": {"--json": False},
    "list": {"--config-dir": True},
}
"""Flag -> does it take a value?"""
