#!/usr/bin/env python3
"""Trains the small model that ships with camrun, weights/shapes.bin: ResNet18 of width 16 on the drawn pictures of
shapes_scene.py. Prints its accuracy and how often its class activation maps point at the right object.

    scripts/train_shapes.py -o weights/shapes.bin            train, test, write (some ten minutes of one core)
    scripts/train_shapes.py --test weights/shapes.bin        test a file
    scripts/train_shapes.py --demo cam/demo/shapes.png       draw the demo picture"""
import argparse
import json
import time

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

import convert_torchvision as networks
import safetensors_file
import shapes_scene
from shapes_scene import CLASSES

WIDTH = 16
SIZE = 224  # of the network's input
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TRAINING, HELD_OUT, TWO_OBJECTS = 1, 2, 3  # seeds of disjoint sets of pictures


def draw(seed, first, count, size, most_objects, difficulty=1.0):
    """Pictures (count, 3, size, size) of bytes and targets (count, classes), uniform over the classes in a picture.
    Each picture is a function of the seed and its number alone."""
    pictures = torch.empty(count, 3, size, size, dtype=torch.uint8)
    targets = torch.zeros(count, len(CLASSES))
    for i in range(count):
        rng = np.random.default_rng([seed, first + i])
        n_objects = 1 if rng.random() < 0.5 else int(rng.integers(1, most_objects + 1))
        picture, objects = shapes_scene.random_scene(rng, size, n_objects, difficulty)
        pictures[i] = torch.from_numpy(picture).permute(2, 0, 1)
        for label, _ in objects:
            targets[i, label] = 1 / len(objects)
    return pictures, targets


def normalize(pictures):
    """Bytes (N, 3, H, W) to the network's input."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pictures / 255 - mean) / std


# ---- training ----

# Small shapes among clutter teach a network nothing before it knows large ones: first easy pictures, then hard ones.
# Size, objects at most, difficulty, pictures, times each is seen, largest learning rate.
STAGES = [
    (112, 1, 0.0, 4000, 3, 2e-3),
    (128, 3, 0.5, 8000, 3, 2e-3),
    (128, 3, 1.0, 16000, 4, 2e-3),
    (SIZE, 3, 1.0, 3000, 3, 5e-4),
]
BATCH = 32


def disguise(pictures):
    """Mirrors, turns and exchanges colours, which no class minds."""
    if torch.rand(()) < 0.5:
        pictures = pictures.flip(3)
    if torch.rand(()) < 0.5:
        pictures = pictures.transpose(2, 3)
    if torch.rand(()) < 0.5:
        pictures = pictures.flip(2)
    return pictures[:, torch.randperm(3)]


def train():
    torch.manual_seed(0)
    # With so few channels, a processor is faster when they come last.
    model = networks.create_model("resnet18", classes=len(CLASSES), width=WIDTH).to(memory_format=torch.channels_last)
    model.train()
    drawn, begin = 0, time.monotonic()
    for size, most_objects, difficulty, count, passes, rate in STAGES:
        pictures, targets = draw(TRAINING, drawn, count, size, most_objects, difficulty)
        drawn += count
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
        steps = passes * (count // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
        for number in range(passes):
            total = 0
            for batch in torch.randperm(count)[:count // BATCH * BATCH].view(-1, BATCH):
                x = normalize(disguise(pictures[batch])).contiguous(memory_format=torch.channels_last)
                loss = functional.cross_entropy(model(x), targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            print(f"{size} px, difficulty {difficulty}, pass {number + 1} of {passes}: mean loss "
                  f"{total / (count // BATCH):.3f}, {time.monotonic() - begin:.0f} s", flush=True)
    return model.eval()


# ---- testing ----

def accuracy(model, count=1000):
    """Share of held-out pictures of one object whose class has the largest logit."""
    pictures, targets = draw(HELD_OUT, 0, count, SIZE, most_objects=1)
    with torch.no_grad():
        logits = torch.cat([model(normalize(part)) for part in pictures.split(50)])
    return (logits.argmax(1) == targets.argmax(1)).float().mean().item()


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
    torch.set_num_threads(1)  # the layers are so small that threads mostly wait for each other
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
