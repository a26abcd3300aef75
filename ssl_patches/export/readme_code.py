"""Hold the lines of code that a model card shows; a test runs them."""

PICTURES = """\
```python
import numpy as np
from PIL import Image, ImageOps


def opened(file):  # as it was trained on: upright, transparency on white, 256 levels
    if str(file).endswith(".npy"):
        return shown(np.load(file))
    if str(file).lower().endswith((".tif", ".tiff")):
        import tifffile

        if (stored := tifffile.imread(file)).dtype != "uint8":
            return shown(stored)
    image = Image.open(file)
    if ";16" in str(image.tile) and image.mode[0] not in "IF":
        raise ValueError("Pillow keeps 8 of its 16 bits: read it otherwise, and call shown(stored)")
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        return shown(np.asarray(image))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB" if image.mode in ("P", "CMYK") else "{mode}").convert("{mode}")


def shown(stored):  # of values as stored, (H, W) or (H, W, 3)
    if stored.dtype != "uint8":
        black, white = {range}
        share = (stored.astype("float64") - black) / (white - black)
        stored = np.rint(share.clip(0, 1) * 255).astype("uint8")
    return Image.fromarray(stored).convert("{mode}")
```
"""

BANDS = """\
```python
import numpy as np
import torch


def prepared(stored):  # of values as stored, ({channels}, H, W), such as tifffile.imread(FILE)
    black, white = (0, 255) if stored.dtype == "uint8" else {range}
    share = ((stored.astype("float64") - black) / (white - black)).clip(0, 1)
    side = min(share.shape[1:])
    top, left = (share.shape[1] - side) // 2, (share.shape[2] - side) // 2
    middle = torch.from_numpy(share[:, top : top + side, left : left + side]).float()
    pixels = torch.nn.functional.interpolate(
        middle[None], ({height}, {width}), mode="bilinear", antialias=True
    )[0]
    mean, std = torch.tensor({mean}), torch.tensor({std})
    return (pixels - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
```
"""

TIMM = """\
## timm

```python
import timm

model = timm.create_model("{source}", pretrained=True).eval()
{transform}
features = model(pixels.unsqueeze(0))  # (1, {features})
dense = model.forward_intermediates(pixels.unsqueeze(0), indices=1, \
intermediates_only=True)[0]  # (1, {features}, h, w)
```

Without `pretrained=True` timm gives random weights. Add `num_classes=10` for a new classifier on \
the same encoder.
With transformers: `AutoModel.from_pretrained("{place}")`, then `.pooler_output`.
{further}
"""

AT_HOME = """\
`ssl-patches push` puts the folder on the Hugging Face hub; the name is `hf-hub:USER/NAME` then, \
instead of `local-dir:...`."""

ON_THE_HUB = """\
To pretrain it further on images of your own: `ssl-patches pretrain encoder.pretrained={source}`, \
with the settings below
`encoder` in `ssl_patches.json`."""

ONNX = """\
## ONNX

```python
import onnxruntime

session = onnxruntime.InferenceSession("encoder.onnx")
pooled, dense = session.run(["pooled", "dense"], {{"image": images}})  # (B, {features}), (B, \
{features}, h, w)
```

`images`: {input}.
"""

TORCH_EXPORT = """\
## torch.export

```python
import torch

model = torch.export.load("encoder.pt2").module()
pooled, dense = model(images)  # (B, {features}), (B, {features}, h, w)
```

`images`: {input}.
"""

TRANSFORM = """\
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), \
is_training=False)
pixels = transform(opened("image.png"))  # opened: see Images"""
PREPARED = "pixels = prepared(stored)  # see Images"
