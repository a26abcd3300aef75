"""What patches are to an encoder, measured: a probe for ssl_patches, found by its entry point."""

from patch_roles.probe import Roles

__all__ = ["Roles"]
