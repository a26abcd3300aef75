"""What a map of images costs by t-SNE (scikit-learn) and by UMAP (umap-learn), each in a process of
its own: CPU seconds of the first map and of a second one, and how many of the ten nearest points on
it are of the same group.

    python benchmarks/maps/measure.py            both, at 2,000 and 5,000 points

umap-learn is no requirement of ours: pip install umap-learn first, or only t-SNE is measured.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time

DIM, GROUPS = 192, 10


def measured(name: str, count: int) -> None:
    """Print a line for each of two maps of ``count`` points by ``name``."""
    import numpy as np

    draw = np.random.default_rng(0)
    centres = draw.normal(size=(GROUPS, DIM)) * 0.6
    kinds = draw.integers(0, GROUPS, count)
    rows = (centres[kinds] + draw.normal(size=(count, DIM))).astype(np.float32)
    if name == "t-SNE":
        from sklearn.manifold import TSNE

        method = TSNE(init="pca", perplexity=30, random_state=0, n_jobs=1)
    else:
        from umap import UMAP

        method = UMAP(random_state=0, n_jobs=1)
    from sklearn.neighbors import NearestNeighbors

    for which in ("first", "second"):
        began = time.process_time()
        places = method.fit_transform(rows)
        spent = time.process_time() - began
        found = NearestNeighbors(n_neighbors=11).fit(places).kneighbors(places)[1][:, 1:]
        same = (kinds[found] == kinds[:, None]).mean()
        print(
            f"{name:6} {count:6,} {which:6} {spent:7.1f} CPU s, {same:.3f} of a group", flush=True
        )


def main() -> None:
    """Measure in processes of their own, for UMAP compiles itself once in each."""
    if len(sys.argv) == 3:
        measured(sys.argv[1], int(sys.argv[2]))
        return
    for name in ("t-SNE", *(["UMAP"] if importlib.util.find_spec("umap") else [])):
        for count in (2000, 5000):
            subprocess.run([sys.executable, __file__, name, str(count)], check=True)


if __name__ == "__main__":
    main()
