#!/bin/bash
# A one-node Slurm for tests, as root, without systemd and cgroups; needs Debian's slurm-wlm and munge. stop.sh ends it.
# /etc/hosts must resolve the host name. A slurm.conf that is already there is someone's cluster: nothing is touched.
set -e
here=$(hostname -s)
if [ -e /etc/slurm/slurm.conf ] && ! grep -q "^ClusterName=ssl-patches-test$" /etc/slurm/slurm.conf; then
    echo "/etc/slurm/slurm.conf is there already; remove it to let the test write its own" >&2
    exit 1
fi
mkdir -p /run/munge /run/slurm /var/log/slurm /var/lib/slurm/slurmctld /var/lib/slurm/slurmd /etc/slurm
chown munge:munge /run/munge /var/lib/munge /var/log/munge /etc/munge /etc/munge/munge.key
chmod 755 /run/munge
chown slurm:slurm /run/slurm /var/log/slurm /var/lib/slurm/slurmctld
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=ssl-patches-test
SlurmctldHost=$here(127.0.0.1)
AuthType=auth/munge
SlurmUser=slurm
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
ReturnToService=2
KillWait=30
JobRequeue=1
NodeName=$here NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$here Default=YES MaxTime=INFINITE State=UP
CONF
pgrep -x munged >/dev/null || runuser -u munge -- /usr/sbin/munged
munge -n | unmunge >/dev/null
/usr/sbin/slurmctld -c
/usr/sbin/slurmd
for _ in $(seq 60); do
    sinfo --noheader --format=%T 2>/dev/null | grep -q idle && exit 0
    sleep 1
done
echo "the node did not become idle; see /var/log/slurm" >&2
exit 1
