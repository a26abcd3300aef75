"""Encode tiles with a ViT of timm: what is hidden is never computed, what is blind is never placed.

A tile of h x w pixels becomes (h/p) x (w/p) tokens. A token of a placed tile gets the sin-cos
position of its own centre in the view, so tiles may lie between the cells of the table; a token of
a blind tile gets one learned "no place" vector. The held module's position table is the same
sin-cos function on the whole image's grid: fixed, never trained.

Traps. (a) An encoder that was only ever shown blind tiles knows no place: whole images and its
export get the "no place" vector everywhere, which is what it was trained with. Who trains says so
with ``note_training``; the held module's own table stays the sin-cos one. (b) timm's ``fc_norm``
would pool before the norm: switched off, the feature is the mean of normalised patch tokens, here,
in probes and in the export. Initialisation after facebookresearch/mae: xavier for every linear map,
the patch embedding taken as one. Pretrained weights bring a table of their own, just as fixed:
tiles between its entries get what lies between.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.positions import looked_up, sincos, sincos_table, token_centres
from ssl_patches.encoders.vit_rules import check_family, check_sizes, usual_patch
from ssl_patches.types import Encoded, Features, PatchBatch, PatchGrid, channels_last

SHOWN = ("nothing", "blind", "places")


class TokenEncoder(Encoder):
    """A plain ViT of timm that encodes tiles.

    ``name``: a timm VisionTransformer; ``options``: further timm arguments.

    ``patch_size``: None takes the name's own, and less where that would leave fewer than 8 x 8
    tokens.

    ``image_size``: side of the whole images that the exported model takes. Without a class token
    unless ``options={class_token: true}``.

    ValueError where timm cannot build it, it is no plain ViT, or the patch does not divide the
    image.
    """

    table: Tensor
    facts: Tensor

    def __init__(
        self,
        *,
        name: str,
        image_size: int,
        channels: int = 3,
        patch_size: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_sizes(image_size, patch_size, options or {})
        arguments = {
            "img_size": image_size,
            "patch_size": patch_size or usual_patch(name, image_size),
            "in_chans": channels,
            "class_token": False,
            **(options or {}),
        }
        self.architecture = name
        self.arguments = {**arguments, "global_pool": "avg", "fc_norm": False}
        try:
            self.model = timm.create_model(name, pretrained=False, num_classes=0, **self.arguments)
        except (
            TypeError,
            AssertionError,
            ValueError,
            RuntimeError,
            ZeroDivisionError,
        ) as error:  # timm refuses in all these
            reason = " ".join(str(error).split()) or "they do not fit each other"
            raise ValueError(
                f"encoder.options={options}: {name} does not take them ({reason}); set others or"
                " remove them"
            ) from error
        check_family(name, self.model)
        self.patch = self.model.patch_embed.patch_size[0]
        self.unit = self.multiple = self.patch
        if image_size % self.patch:
            nearest = max(1, round(image_size / self.patch)) * self.patch
            raise ValueError(
                f"image_size={image_size}: must be a multiple of {name}'s patch, {self.patch} px; "
                f"set image_size={nearest} or encoder.patch_size"
            )
        self.dim = self.model.embed_dim
        self.no_place = nn.Parameter(torch.zeros(self.dim))
        self.learned = False  # the table is that of pretrained weights, not the sin-cos one
        self.shown = SHOWN[0]  # what training has shown so far
        self._initialise()
        rows, cols = self.model.patch_embed.grid_size
        self.register_buffer("table", sincos_table(rows, cols, self.dim))
        # what a checkpoint keeps of shown and learned
        self.register_buffer("facts", torch.zeros(2, dtype=torch.uint8))
        self.register_load_state_dict_post_hook(_take_facts)
        self.model.pos_embed.requires_grad_(False).copy_(self._exported_table())

    def check(self, grid: PatchGrid, *, places: bool) -> None:
        """Refuse tiles that are no whole number of patches with a ValueError."""
        if grid.tile % self.patch:
            below, above = (
                grid.tile // self.patch * self.patch,
                -(-grid.tile // self.patch) * self.patch,
            )
            either = f"{below} or {above}" if below else f"{above}"
            raise ValueError(
                f"sampler.tile={grid.tile}: must be a multiple of the ViT's patch, {self.patch} px"
                f" ({self.architecture}); set sampler.tile={either}, or encoder.patch_size"
            )

    def forward(self, patches: PatchBatch) -> Encoded:
        """Encode tiles (B, K, C, h, w) -> (B, K, dim): all tiles of a view see each other."""
        tokens = self._embed(patches)
        _, cells, each, _ = tokens.shape
        prefix, tokens = self._blocks(tokens.flatten(1, 2))
        return Encoded(tokens.unflatten(1, (cells, each)).mean(2) if each > 1 else tokens, prefix)

    def alone(self, patches: PatchBatch) -> Encoded:
        """Encode every tile by itself: (B, K, C, h, w) tiles -> (B, K, dim) features."""
        tokens = self._embed(patches)
        count, cells = tokens.shape[:2]
        _, tokens = self._blocks(tokens.flatten(0, 1))
        return Encoded(
            tokens.mean(1).unflatten(0, (count, cells)), tokens.new_zeros(count, 0, self.dim)
        )

    def scrambled(self, patches: PatchBatch) -> Encoded:
        """Encode the tiles of a view at shuffled places: (B, K, C, h, w) -> (B, K, dim)."""
        return self(patches.shuffled())

    def features(self, images: Tensor, layers: tuple[int, ...] = (-1,)) -> tuple[Features, ...]:
        """Return features of whole images (B, C, H, W), one record per layer: pooled (B, dim),
        dense (B, dim, h, w).
        """
        depth = len(self.model.blocks)
        wanted = [layer % depth for layer in layers]
        # computed with the table of the export, which is handed in: the held module keeps its own
        found = functional_call(
            _Layers(self.model),
            {"model.pos_embed": self._exported_table()},
            (images, sorted(set(wanted))),
            tie_weights=False,
        )
        # timm pairs each map with its prefix tokens only where the model has some
        found = [part if isinstance(part, tuple) else (part, None) for part in found]
        by_layer = dict(zip(sorted(set(wanted)), found, strict=True))
        return tuple(_features(*by_layer[layer]) for layer in wanted)

    def calibrate(self, images: Iterable[Tensor]) -> None:
        """Do nothing with the batches (B, C, H, W): LayerNorm keeps no statistics."""

    def export(self, image_size: int) -> nn.Module:
        """Copy the ViT as a plain timm model in eval mode. ValueError for another ``image_size``
        than its own.
        """
        own = self.arguments["img_size"]
        if image_size != own:
            raise ValueError(
                f"image_size={image_size}: this encoder takes {own} px; set image_size={own}"
            )
        model = copy.deepcopy(self.model).eval()
        model.pos_embed.copy_(self._exported_table())  # it takes no gradient
        return model

    def note_training(self, *, placed: bool) -> None:
        """Note what a step has shown: tiles with their places (``placed``), or blind ones only.

        Once a place was told, the export has a table of places.
        """
        shown = "places" if placed else "blind"
        if SHOWN.index(shown) > SHOWN.index(self.shown):
            self.shown = shown
            self.facts[0] = SHOWN.index(shown)

    @torch.no_grad()
    def keep_table(self) -> None:
        """Take the held module's positions, of pretrained weights, for the ones of tiles; they stay
        fixed."""
        self.table = self.model.pos_embed[0, -len(self.table) :].clone()
        self.learned = True
        self.facts[1] = 1
        self.no_place.copy_(self.table.mean(0))  # the place that is least wrong

    def _embed(self, patches: PatchBatch) -> Tensor:
        """Embed tiles as tokens: (B, K, C, h, w) -> (B, K, n, dim), positions added.

        The patch embedding is one matrix product.
        """
        p, proj = self.patch, self.model.patch_embed.proj
        count, cells, channels, height, width = patches.tiles.shape
        rows, cols = height // p, width // p
        if channels_last(
            patches.tiles
        ):  # the weights in the order of the pixels, of which there are more
            pixels = (
                patches.tiles.movedim(2, -1)
                .reshape(count, cells, rows, p, cols, p, channels)
                .transpose(3, 4)
            )
            weight = proj.weight.movedim(1, -1)
        else:
            pixels = patches.tiles.reshape(count, cells, channels, rows, p, cols, p).permute(
                0, 1, 3, 5, 2, 4, 6
            )
            weight = proj.weight
        tokens = nn.functional.linear(
            pixels.reshape(count, cells, rows * cols, -1), weight.flatten(1), proj.bias
        )
        tokens = self.model.patch_embed.norm(tokens)
        if patches.uniform is False:
            return tokens + self.no_place
        positions = self._positions(patches.boxes, rows, cols, patches.size)
        if patches.uniform is None:
            positions = torch.where(patches.placed[..., None, None], positions, self.no_place)
        return tokens + positions

    def _positions(self, boxes: Tensor, rows: int, cols: int, size: tuple[int, int]) -> Tensor:
        """Give each token the position of its own centre: boxes (B, K, 4) -> (B, K, n, dim)."""
        grid = self.model.patch_embed.grid_size
        y, x = token_centres(boxes, (rows, cols), view=size, patch=self.patch, grid=grid)
        return looked_up(self.table, y, x, grid) if self.learned else sincos(y, x, self.dim)

    def _blocks(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Run tokens (N, n, dim) through the blocks -> prefix (N, P, dim), tokens (N, n, dim).

        Both are normalised.
        """
        model = self.model
        prefix = [part for part in (model.cls_token, model.reg_token) if part is not None]
        if prefix:
            tokens = torch.cat([*(part.expand(len(tokens), -1, -1) for part in prefix), tokens], 1)
        tokens = model.norm(model.blocks(model.norm_pre(tokens)))
        return tokens[:, : model.num_prefix_tokens], tokens[:, model.num_prefix_tokens :]

    @torch.no_grad()
    def _initialise(self) -> None:
        for module in self.model.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.model.patch_embed.proj.weight.view(self.dim, -1))
        for part in (self.model.cls_token, self.model.reg_token, self.no_place):
            if part is not None:
                nn.init.normal_(part, std=0.02)

    @torch.no_grad()
    def _exported_table(self) -> Tensor:
        """Return (1, P + rows * cols, dim): the positions that whole images are given.

        Class and register tokens have none (zero).
        """
        rows = self.no_place.expand_as(self.table) if self.shown == "blind" else self.table
        table = torch.zeros_like(self.model.pos_embed)
        table[:, table.shape[1] - len(rows) :] = rows
        return table


class _Layers(nn.Module):
    """The layers of a ViT as the forward pass of a module, so that ``functional_call`` takes it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model  # of timm

    def forward(self, images: Tensor, layers: list[int]) -> Any:
        return self.model.forward_intermediates(
            images,
            indices=layers,
            return_prefix_tokens=True,
            norm=True,
            intermediates_only=True,
        )


def _take_facts(encoder: TokenEncoder, incompatible: object) -> None:
    """Read what a checkpoint knows, after its tensors were loaded."""
    shown, learned = encoder.facts.tolist()
    encoder.shown, encoder.learned = SHOWN[shown], bool(learned)


def _features(dense: Tensor, prefix: Tensor | None) -> Features:
    pooled = dense.flatten(2).mean(2)
    return Features(
        pooled, dense, dense.new_zeros(len(dense), 0, dense.shape[1]) if prefix is None else prefix
    )
