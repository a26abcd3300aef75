#!/bin/sh
# sh experiments/first_light/run.sh DATA OUT     DATA holds cifar10/ and imagenette160/; runs go to OUT. Run again to go on.
# Each run has one thread: two runs side by side (JOBS=2, the default) use two cores better than one run with two threads.
set -e
DATA=$1 OUT=$2
export OMP_NUM_THREADS=1
{
    for task in jigsaw relative position masked; do
        echo "experiment=first_light_cifar10 task=$task data.root=$DATA/cifar10 run_dir=$OUT/cifar10-$task"
    done
    for task in jigsaw relative; do
        echo "experiment=first_light_imagenette task=$task data.root=$DATA/imagenette160 run_dir=$OUT/imagenette-$task"
    done
    for task in jigsaw relative; do
        echo "experiment=first_light_cifar10 task=$task sampler.standardise=true data.root=$DATA/cifar10 run_dir=$OUT/cifar10-$task-standardised"
    done
} | xargs -P "${JOBS:-2}" -I {} sh -c 'ssl-patches pretrain {} data.num_workers=0 resume=true'
ssl-patches compare "$OUT" --csv "$OUT/results.csv" --markdown
