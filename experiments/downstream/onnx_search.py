"""The nearest images, without torch: python onnx_search.py EXPORT IMAGE FOLDER; needs numpy,
pillow, onnxruntime."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(
    f"{sys.argv[1]}/encoder.onnx", providers=["CPUExecutionProvider"]
)
said = json.loads(session.get_modelmeta().custom_metadata_map["ssl_patches.json"])["preprocessing"]
assert said["graph_input"].startswith("uint8"), "export with input=uint8"


def feature(path):
    image = Image.open(path).convert("RGB" if said["channels"] == 3 else "L")
    side = min(image.size)  # crop the centre, resize to what the encoder was made for
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize(
        (said["width"], said["height"]), Image.Resampling.BILINEAR
    )
    pixels = np.asarray(image).reshape(said["height"], said["width"], -1).transpose(2, 0, 1)
    vector = session.run(["pooled"], {"image": pixels[None]})[0][0]
    return vector / np.linalg.norm(vector)


asked, files = (
    feature(sys.argv[2]),
    sorted(path for path in Path(sys.argv[3]).rglob("*.*") if path.is_file()),
)
for score, path in sorted(
    ((float(feature(path) @ asked), str(path)) for path in files), reverse=True
)[:5]:
    print(f"{score:.3f} {path}")
