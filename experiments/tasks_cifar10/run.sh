#!/bin/sh
# sh experiments/tasks_cifar10/run.sh DATA OUT [WORKERS]     DATA holds {train,test}/CLASS; give it again to go on.
# A process per core with one thread each does better than one process with all threads. A GPU: WORKERS=1.
set -e
DATA=$1 OUT=$2 WORKERS=${3:-2}
ssl-patches study experiments/tasks_cifar10 data.root="$DATA" out="$OUT" workers="$WORKERS"
ssl-patches compare "$OUT" --csv "$OUT/results.csv"
