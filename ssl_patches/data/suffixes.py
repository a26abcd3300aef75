"""Know images by the ends of their names: what is read, what is huge, what is neither."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_patches.data.arrays import NPY
from ssl_patches.data.formats import READERS

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".npy"),
    *(suffix for reader in READERS for suffix in reader.suffixes),  # DICOM, HEIC, npz
)
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide")
BIG_TIFF, ZARR = (".btf", ".tf8"), ".zarr"  # the latter is a folder
HUGE = (*SLIDES, *BIG_TIFF)
"""What only ``data=windows`` reads, beside ``SUFFIXES``."""
UNREAD = (
    *HUGE,
    *(".jxl", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw"),
    *(".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f", ".raw", ".3fr", ".erf", ".iiq", ".kdc"),
    *(".psd", ".psb", ".xcf", ".svg", ".svgz", ".eps", ".ai", ".ico", ".icns", ".dds", ".exr"),
    *(".hdr", ".pfm", ".pcx", ".sgi", ".ras", ".xbm", ".xpm", ".wmf", ".emf", ".djvu", ".mng"),
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mrc"),
    *(".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".vsi"),
    *(".ims", ".stk", ".dm3", ".dm4", ".fits", ".fit", ".fts", ".ecw", ".sid", ".jpx", ".j2k"),
    *(".j2c", ".jpf", ".jls", ".webm", ".mp4", ".mov", ".avi", ".mkv", ".m4v", ".wmv", ".mpg"),
    *(".h5", ".hdf5", ".tfrecord"),
)
ARRAYS = (*NPY, ".npz")


def ends_of(names: Sequence[str]) -> set[str]:
    """Return what names end in, from their last dot on, in small letters.

    Of a name without a dot it is its last letter, which is no suffix.
    """
    first = names[0][names[0].rfind(".") :] if names else ""
    if first[:1] == "." and ("\0".join(names) + "\0").count(f"{first}\0") == len(names):
        return {first.lower()}  # as in most folders
    return {end.lower() for end in {name[name.rfind(".") :] for name in names}}
