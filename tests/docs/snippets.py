"""Blocks of code in the documentation, as a reader would run them: in the order of the page, in one
folder.

What pages call DIR, LABELLED or RUN is there under that very name, so commands run as they stand.
Only what would take minutes is made small: words of TINY are appended to a command of that name,
where they stand last and win, and of probes that train for a minute only one that does not is run
(the slow tests run them all). A block that cannot be run is preceded by ``<!-- not run: REASON
-->`` and counted in test_snippets.py.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from small import REPOSITORY, SMALL_VIT

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>sh|python|text)\n(?P<code>.*?)^```$",
    re.M | re.S,
)
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
RUN = (
    "image_size=32",
    "data.num_workers=0",
    "data.batch_size=16",
    "budget.epochs=null",
    "budget.images=32",
)
PROBES = ("train_images=32", "test_images=16", "batch_size=16")
COSTLY = re.compile(r"probes=\[.*\b(attentive|finetune|segmentation|roles)\b.*\]")
CHEAP = ("probes=[layers]",)
FEW = ("label_efficiency.draws=1", "label_efficiency.labels=[1]")
RESNET = ("encoder.options={layers:[1,1,1,1],channels:[16,24,32,48]}",)
TINY = {
    "pretrain": (*RUN, "callbacks=none", *(f"evaluation.{word}" for word in PROBES)),
    "evaluate": (*PROBES, "data.num_workers=0"),
    "study": (
        "workers=1",
        "seed=0",
        *(word for word in RUN if not word.startswith("budget.epochs")),
        "data.count=64",
        "callbacks=none",
        *(f"evaluation.{word}" for word in PROBES),
    ),
    "embed": ("data.num_workers=0",),
    "duplicates": ("data.num_workers=0",),
    "view": ("seconds=0.2",),
    "doctor": ("num_workers=0",),
}
"""Command -> words appended to it."""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    code: str
    reason: str | None  # why it is not run

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """The sh and python blocks of a page, and text blocks that show a command and its answer (``$
    ssl-patches``)."""
    text = page.read_text(encoding="utf-8") if text is None else text
    found = []
    for match in FENCE.finditer(text):
        if match["language"] != "text" or match["code"].startswith("$ "):
            line = text.count("\n", 0, match.start("code"))
            found.append(Block(page, line, match["language"], match["code"], match["reason"]))
    return found


def commands_of(code: str) -> list[str]:
    """Commands of a sh block: a line each, lines that end with a backslash continued."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def words_of(command: str) -> tuple[dict[str, str], list[str]]:
    """``A=1 ssl-patches pretrain task=x  # why`` -> ({"A": "1"}, ["ssl-patches", "pretrain",
    "task=x"])."""
    words, before = shlex.split(command, comments=True), {}
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        key, _, before[key] = words.pop(0).partition("=")
    return before, words


def tiny(words: list[str], *, costly: bool = False) -> list[str]:
    """Words of ssl-patches, with those of TINY appended that fit them; ``costly``: also probes that
    take their time."""
    extra = list(TINY.get(words[0], ()))
    own_data = any(word.startswith("data=") and word != "data=embedded" for word in words)
    if words[0] == "pretrain":
        extra += RESNET if any("resnet" in word for word in words) else SMALL_VIT
        extra += [] if own_data else ["data.count=64"]
        if "-m" in words:  # that there is a budget is a test of its own
            words = [word for word in words if not word.startswith("budget.")]
            extra.append("seed=0")  # an axis given again is replaced
        asked = [word for word in words if word.startswith("budget.images=")]
        extra = [word for word in extra if not (asked and word.startswith("budget.images="))]
        extra += [
            f"budget.images={min(64, int(float(word.partition('=')[2])) // 8)}" for word in asked
        ]
    if words[0] in ("evaluate", "embed") and not any(word.startswith("data=") for word in words):
        extra = [word for word in extra if not word.startswith("data.")]
    if not costly and any(map(COSTLY.fullmatch, words)):
        extra += CHEAP
    if not costly and "formats=[timm,onnx,torch_export]" in words:
        extra.append("formats=[timm,onnx]")  # tests/export/test_write.py has all
    if "probes=[label_efficiency]" in words:
        extra += FEW
    if words[0] == "study" and not any(word.startswith("task=") for word in words):
        extra.append("task=jigsaw")
    return words + extra
