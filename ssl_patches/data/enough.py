"""Say what is known of training on so many images, for ``ssl-patches doctor``.

What is known is little: a study of 50,000 to 300,000 images in four fields saw the gain of training
on one's own shrink below about 50,000 (arXiv:2404.17202); on 11,000 images of galaxies, which look
like no photograph, encoders of their own led public ones at each number of labels (LeJEPA,
arXiv:2511.08544, tables 3 and 5); going on from public weights gained from 1,000 images (DIET-CP,
arXiv:2509.06990). So the number decides what to try first, and a measurement decides the rest.
"""

from __future__ import annotations

FEW = 10_000
"""Images below which public weights, or going on from them, are the first thing to try."""
MANY = 50_000
"""Images from which training on one's own was seen to gain in fields of many kinds."""
MEASURE = (
    "with labels for some of them, `ssl-patches evaluate model=RUN probes=[label_efficiency]"
    " rivals=[mobilenetv2_100]` measures it"
)


def enough(images: int) -> str:
    """Say whether so many images are known to be enough to train on, and what to try first."""
    if images < FEW:
        known = (
            f"{images:,} images are few: gains were seen on images unlike photographs; try public"
            " weights, or going on from them (experiment=go_on encoder.pretrained=true), as well"
        )
    elif images < MANY:
        known = (
            f"{images:,} images were enough where they are unlike photographs (galaxies, cells); on"
            f" photographs gains shrink below {MANY:,} and public weights lead"
        )
    else:
        known = f"{images:,} images are as many as where training on one's own was seen to gain"
    return f"{known}; {MEASURE}"
