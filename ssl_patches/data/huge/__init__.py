"""Read parts of huge images: slides, tiled TIFF, GeoTIFF, Zarr, and pictures that are unpacked."""
