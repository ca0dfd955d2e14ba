#!/usr/bin/env python3
"""Trains the small model that ships with camrun, weights/shapes.bin: ResNet18 of width 16 on the drawn pictures of
shapes_scene.py. Prints its accuracy and how often its class activation maps point at the right object.

    scripts/train_shapes.py -o weights/shapes.bin            train, test, write (about 20 minutes on two cores)
    scripts/train_shapes.py --test weights/shapes.bin        test a file
    scripts/train_shapes.py --demo cam/demo/shapes.png       draw the demo picture"""
import argparse
import json
import time

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

import convert_torchvision as networks
import safetensors_file
import shapes_scene
from shapes_scene import CLASSES

WIDTH = 16
SIZE = 224  # of the network's input
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TRAINING, HELD_OUT, TWO_OBJECTS = 1, 2, 3  # seeds of disjoint sets of pictures


class Scenes(Dataset):
    """Picture i of a set is a function of (seed, i) alone. Its target is uniform over the classes in it."""

    def __init__(self, seed, first, count, size, most_objects):
        self.seed, self.first, self.count, self.size, self.most_objects = seed, first, count, size, most_objects

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        rng = np.random.default_rng([self.seed, self.first + i])
        n_objects = 1 if rng.random() < 0.5 else int(rng.integers(1, self.most_objects + 1))
        picture, objects = shapes_scene.random_scene(rng, self.size, n_objects)
        target = torch.zeros(len(CLASSES))
        for label, _ in objects:
            target[label] = 1 / len(objects)
        return torch.from_numpy(picture).permute(2, 0, 1), target


def normalize(pictures):
    """Bytes (N, 3, H, W) to the network's input."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pictures / 255 - mean) / std


# ---- training ----

def train_stage(model, size, batch, steps, rate, first):
    """One cycle of the learning rate over fresh pictures of one size."""
    scenes = Scenes(TRAINING, first, steps * batch, size, most_objects=3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    model.train()
    begin, mean_loss = time.monotonic(), None
    for step, (pictures, targets) in enumerate(DataLoader(scenes, batch, num_workers=2, prefetch_factor=4), 1):
        loss = functional.cross_entropy(model(normalize(pictures)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"{size} px, step {step} of {steps}: loss {mean_loss:.3f}, {time.monotonic() - begin:.0f} s",
                  flush=True)
    model.eval()


def train():
    torch.manual_seed(0)
    model = networks.create_model("resnet18", classes=len(CLASSES), width=WIDTH)
    train_stage(model, 128, 64, 1000, 4e-3, first=0)
    train_stage(model, SIZE, 32, 240, 1e-3, first=64 * 1000)
    return model


# ---- testing ----

def accuracy(model, count=1000):
    """Share of held-out pictures of one object whose class has the largest logit."""
    scenes = Scenes(HELD_OUT, 0, count, SIZE, most_objects=1)
    hits = 0
    with torch.no_grad():
        for pictures, targets in DataLoader(scenes, 50):
            hits += (model(normalize(pictures)).argmax(1) == targets.argmax(1)).sum().item()
    return hits / count


def grad_cam(model, layer, x, label):
    """(H, W) at the input's size, for a batch of one."""
    kept = []
    hook = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    logits = model(x)
    hook.remove()
    gradient, = torch.autograd.grad(logits[0, label], kept)
    raw = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True)
    return functional.interpolate(raw.relu(), x.shape[2:], mode="bilinear")[0, 0].detach().numpy()


def pointing_game(model, layer, count=150, tolerance=15):
    """Share of objects in held-out pictures of two that hold the maximum of the Grad-CAM for their class, give or take
    15 pixels (Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016)."""
    hits = total = 0
    for i in range(count):
        picture, objects = shapes_scene.random_scene(np.random.default_rng([TWO_OBJECTS, i]), SIZE, 2)
        x = normalize(torch.from_numpy(picture).permute(2, 0, 1)[None])
        for label, mask in objects:
            near = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * tolerance + 1))
            hits += np.asarray(near).flat[grad_cam(model, layer, x, label).argmax()]
            total += 1
    return hits / total


def report(path):
    """Tests the file, halves and all, rather than the model in memory."""
    tensors, _ = safetensors_file.read(path)
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}
    model = networks.model_of_state_dict("resnet18", state, path)
    print(f"accuracy on held-out pictures: {accuracy(model):.1%}")
    for layer in ("layer3", "layer4"):
        print(f"pointing game, two objects, Grad-CAM at {layer}: {pointing_game(model, layer):.1%}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("-o", "--output", metavar="F.bin", help="train and write the weights")
    task.add_argument("--test", metavar="F.bin", help="test weights")
    task.add_argument("--demo", metavar="F.png", help="draw the demo picture")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if args.demo:
        Image.fromarray(shapes_scene.demo_scene()).save(args.demo, optimize=True)
        return
    if args.output:
        metadata = {"classes": json.dumps(CLASSES), "mean": json.dumps(MEAN), "std": json.dumps(STD),
                    "resize": str(SIZE), "crop": str(SIZE), "interpolation": "bilinear",
                    "trained_on": "pictures drawn by scripts/shapes_scene.py"}
        networks.save(args.output, train(), "resnet18", metadata, "float16")
    report(args.test or args.output)


if __name__ == "__main__":
    main()
