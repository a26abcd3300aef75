"""A classifier fine-tuned in plain PyTorch: python finetune.py EXPORT DATA [EPOCHS],
DATA/{train,val}/CLASS/file."""

import sys

import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

export, data, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 10
train = ImageFolder(f"{data}/train")
model = timm.create_model(f"local-dir:{export}", pretrained=True, num_classes=len(train.classes))
train.transform = timm.data.create_transform(
    **timm.data.resolve_model_data_config(model), is_training=False
)
val = ImageFolder(f"{data}/val", transform=train.transform)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)

for epoch in range(epochs):
    model.train()
    for images, labels in DataLoader(train, batch_size=64, shuffle=True):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        right = sum(
            (model(images).argmax(1) == labels).sum().item()
            for images, labels in DataLoader(val, batch_size=64)
        )
    print(
        f"epoch {epoch}: loss {loss.item():.3f}, accuracy {100 * right / len(val):.1f} % of"
        f" {len(val)}"
    )
