#!/bin/sh
# sh experiments/tasks_imagenette/run.sh DATA OUT     DATA holds {train,val}/WNID; give it again to go on. One GPU.
set -e
DATA=$1 OUT=$2
ssl-patches study experiments/tasks_imagenette data.root="$DATA" out="$OUT"
ssl-patches compare "$OUT" --csv "$OUT/results.csv"
