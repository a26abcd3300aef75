"""torchvision's DeepLabV3 on an exported ResNet: python segment.py EXPORT DATA [STEPS],
DATA/images/N.*, DATA/masks/N.png."""

import sys
from pathlib import Path

import timm
import torch
from torchvision.io import ImageReadMode, decode_image
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3

export, data, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 200
encoder = timm.create_model(f"local-dir:{export}", pretrained=True)
config = timm.data.resolve_model_data_config(encoder)
mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
files = sorted((data / "images").iterdir())
images = torch.stack(
    [(decode_image(str(file), ImageReadMode.RGB) / 255 - mean) / std for file in files]
)
masks = torch.cat(
    [decode_image(str(data / "masks" / f"{file.stem}.png"), ImageReadMode.GRAY) for file in files]
).long()

model = DeepLabV3(
    IntermediateLayerGetter(encoder, {"layer4": "out"}),
    DeepLabHead(encoder.num_features, int(masks.max()) + 1),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(steps):
    chosen = torch.randint(len(images), (8,))
    loss = torch.nn.functional.cross_entropy(model(images[chosen])["out"], masks[chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.3f}")
