#!/bin/bash
# Ends what start.sh started, and takes its configuration away.
for name in slurmd slurmctld; do
    [ -e /run/slurm/$name.pid ] && kill "$(cat /run/slurm/$name.pid)"
done
[ -e /run/munge/munged.pid ] && kill "$(cat /run/munge/munged.pid)"
grep -q "^ClusterName=ssl-patches-test$" /etc/slurm/slurm.conf 2>/dev/null && rm /etc/slurm/slurm.conf
exit 0
