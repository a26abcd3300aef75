"""Cut views into tiles: grids, geometry, and what is done to the colours of a tile."""

from ssl_patches.sampler.colour import ColourTreatment
from ssl_patches.sampler.patch_sampler import PatchSampler, standardised

__all__ = ["ColourTreatment", "PatchSampler", "standardised"]
