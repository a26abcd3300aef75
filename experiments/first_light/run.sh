#!/bin/sh
# sh experiments/first_light/run.sh DATA OUT     DATA holds cifar10/ and imagenette160/; runs go to OUT. Run again to go on.
# Each run has one thread: two runs side by side (JOBS=2, the default) use two cores better than one run with two threads.
set -e
DATA=$1 OUT=$2
export OMP_NUM_THREADS=1
cifar="experiment=first_light_cifar10 data.root=$DATA/cifar10"
imagenette="experiment=first_light_imagenette data.root=$DATA/imagenette160"
untrained="task=jigsaw optimizer.base_lr=0 budget.images=128 callbacks=none" # one step that changes nothing
{
    for task in masked position; do echo "$cifar task=$task budget.images=100000 run_dir=$OUT/cifar10-$task"; done
    for task in jigsaw relative; do echo "$cifar task=$task run_dir=$OUT/cifar10-$task"; done
    for task in jigsaw relative; do echo "$imagenette task=$task run_dir=$OUT/imagenette-$task"; done
    echo "$cifar $untrained run_dir=$OUT/.random/cifar10"
    echo "$imagenette $untrained run_dir=$OUT/.random/imagenette"
} | xargs -P "${JOBS:-2}" -I {} sh -c 'ssl-patches pretrain {} data.num_workers=0 resume=true'
for data in cifar10 imagenette; do
    ssl-patches compare "$OUT/$data"-* --csv "$OUT/results-$data.csv" --markdown
done
python "$(dirname "$0")/paired.py" "$OUT"
