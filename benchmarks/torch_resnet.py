"""ResNet-18, 34 and 50 in plain torch, with torchvision's module names, as the reference of `models.resnet`.

torchvision itself is not needed for it: it has no build for every torch. He et al., "Deep Residual Learning for Image
Recognition", CVPR 2016; the bottleneck's stride is in its 3 × 3 convolution.
"""

from __future__ import annotations

import torch
from torch import nn

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class Block(nn.Module):
    """Convolutions of the given sizes, the stride in the first 3 × 3 one, and a shortcut around them."""

    def __init__(self, inputs: int, widths: tuple[int, ...], sizes: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.depth, before = len(widths), inputs
        for i, (width, size) in enumerate(zip(widths, sizes, strict=True), start=1):
            here = stride if i == sizes.index(3) + 1 else 1
            setattr(self, f"conv{i}", conv(before, width, size, here))
            setattr(self, f"bn{i}", nn.BatchNorm2d(width))
            before = width
        self.downsample = None
        if stride > 1 or inputs != before:
            self.downsample = nn.Sequential(conv(inputs, before, 1, stride), nn.BatchNorm2d(before))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 (batch, inputs, height, width) -> (batch, widths[-1], height / stride, width / stride)."""
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.depth:
                y = torch.relu(y)
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """One of `DEPTHS`, with torchvision's names."""

    def __init__(self, name: str, classes: int = 1000) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, depth in enumerate(DEPTHS[name], start=1):
            width, blocks = 32 * 2**stage, []
            widths, sizes = ((width, width, 4 * width), (1, 3, 1)) if name == "resnet50" else ((width, width), (3, 3))
            for i in range(depth):
                blocks.append(Block(inputs, widths, sizes, 2 if stage > 1 and i == 0 else 1))
                inputs = widths[-1]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 (batch, 3, height, width), normalised -> logits, float32 (batch, classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))
