"""Each run against random weights on the same test images: python paired.py OUT, after run.sh.
Prints Markdown.

The two Wilson intervals of a table cover the draw of the test images twice; the difference on the
same images does not.
"""

import sys
from pathlib import Path

from ssl_patches.evaluation.record import FILE, Record, paired

METRICS = ("knn20_top1", "linear_top1")

out = Path(sys.argv[1])
random = {
    path.parent.name: Record.load(path) for path in sorted((out / ".random").glob(f"*/{FILE}"))
}
print(
    "| run | metric | points above random weights, 95 % | McNemar's p |\n| --- | --- | --- | --- |"
)
for path in sorted(out.glob(f"*/{FILE}")):
    run = path.parent.name
    for pair in paired(Record.load(path), random[run.split("-")[0]]):
        if pair.metric in METRICS:
            print(
                f"| {run} | {pair.metric} | {pair.difference:.1f} [{pair.low:.1f}, {pair.high:.1f}]"
                f" | {pair.p:.1g} |"
            )
