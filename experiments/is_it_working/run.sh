#!/bin/sh
# sh experiments/is_it_working/run.sh DATA OUT     DATA holds cifar10/; runs go to OUT, one after the other. Run again to go on.
set -e
DATA=$1 OUT=$2
export OMP_NUM_THREADS=1
run() {
    name=$1
    shift
    ssl-patches pretrain experiment=is_it_working data.root="$DATA/cifar10" run_dir="$OUT/$name" resume=true "$@"
}
run healthy
run touching "sampler.scales=[1.25,1.25]" sampler.gap=0 sampler.jitter=0
run learning_rate optimizer.base_lr=0.2 optimizer.clip=0
run collapsed optimizer.weight_decay=200
python "$(dirname "$0")/report.py" "$OUT"
