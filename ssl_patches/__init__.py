"""Self-supervised pretraining on image patches."""

__version__ = "0.1.0"
