"""What people wrote by hand before, as commands: each of them works, with networks of the right shape and random weights.
`make gallery` runs the same commands on trained networks."""
import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from networks import resnet18, write_weights, write_with_classifier
from test_program import CAMRUN, ROOT, finish

CAMTRAIN = os.path.join(os.path.dirname(CAMRUN), "camtrain")


@pytest.fixture
def run(tmp_path):
    def call(*arguments, program=CAMRUN):
        done = subprocess.run([program, *map(str, arguments)], cwd=tmp_path, capture_output=True, timeout=600)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr
        return done.stdout.decode()
    return call


def explain(run, *arguments):
    return json.loads(run(*arguments, "--json"))["images"][0]


def photo(path, w, h, seed=1, gray=False):
    rng = np.random.default_rng(seed)
    x = np.add.outer(np.arange(h), np.arange(w))[..., None] * [1, 2, 3] // 2 % 256
    x = np.where(rng.random((h, w, 1)) < 0.8, x, rng.integers(0, 256, (h, w, 3))).astype(np.uint8)
    Image.fromarray(x[..., 0] if gray else x).save(path)
    return path


def test_replaced_head_channel_mean(run, tmp_path):
    """1: ResNet Grad-CAM with channel-mean heat map, jet at 0.4, three panels, on a network whose head was replaced. The mean
    over channels is the sum divided by their number: the same map once it is scaled, and --save-raw has the sum."""
    write_weights(tmp_path / "ten.bin", resnet18(10), arch="resnet18", resize="64", crop="64")
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(4):
            photo(tmp_path / "pets" / name / f"{i}.png", 70, 70, seed=i)
    run("pets", "--init", "ten.bin", "--epochs", "1", "--batch", "4", "--size", "64", "--val", "0.25", "--freeze", "conv1,bn1,layer1,layer2,layer3,layer4",
        "-o", "pets.bin", program=CAMTRAIN)
    picture = "pets/cat/0.png"
    result = explain(run, "--weights", "pets.bin", picture, "--class", "dog", "--colormap", "jet", "--alpha", "0.4", "--panel",
                     "--save-raw", "raw.npy", "--save-map", "map.npy")
    assert len(result["top"]) == 2 and result["maps"][0]["name"] == "dog"
    channels = result["maps"][0]["layers"][0]["shape"][0]
    raw, finished = np.load(tmp_path / "raw.npy"), np.load(tmp_path / "map.npy")
    assert channels == 64 and np.allclose(finish([raw / channels], (64, 64)), finished, atol=2e-4)
    width, height = Image.open(tmp_path / result["maps"][0]["picture"]).size
    assert width > 3 * 336 and height > 336
    run("--weights", "pets.bin", picture, "--class", "dog", "--no-crop", "--alpha", "0.4", "-o", "a.png", "--save-map", "m.npy")
    jet = np.array([[0, 0, 128], [255, 255, 0], [128, 0, 0]])  # its ends, for what follows
    overlay, before = (np.asarray(Image.open(tmp_path / p).convert("RGB"), float) for p in ("a.png", picture))
    heat = (overlay - 0.6 * before) / 0.4
    assert heat.min() > -3 and heat.max() < 258 and np.abs(heat - jet[0]).sum(-1).min() < 6


def test_one_channel_resnet18(run, tmp_path):
    """2: kernels of layer1.0.conv1; feature maps of layer4.1.conv2; Grad-CAM at layer2.0.conv1; guided
    backprop; what excites layer4.1.conv1's filters 45, 271, 363, 489; 1 channel, 224x224, 10 classes."""
    write_weights(tmp_path / "net.bin", resnet18(10, channels=1, width=64), arch="resnet18")
    photo(tmp_path / "x.png", 300, 260, gray=True)
    run("filters", "--weights", "net.bin", "--layer", "layer1.0.conv1")
    run("features", "--weights", "net.bin", "--layer", "layer4.1.conv2", "x.png")
    pictures = [name for name in os.listdir(tmp_path) if name.endswith(".png") and name != "x.png"]
    assert len(pictures) == 2 and all(min(Image.open(tmp_path / name).size) > 100 for name in pictures)
    result = explain(run, "--weights", "net.bin", "--layer", "layer2.0.conv1", "x.png", "--save-raw", "raw.npy")
    assert result["input"] == [1, 224, 224] and result["maps"][0]["layers"][0]["shape"] == [128, 28, 28]
    assert np.load(tmp_path / "raw.npy").shape == (28, 28) and len(result["top"]) == 5
    assert Image.open(tmp_path / "x_gradcam.png").size == (300, 260)
    run("saliency", "--weights", "net.bin", "x.png", "--method", "guided")
    assert np.asarray(Image.open(tmp_path / "x_guided.png")).std() > 0
    run("maximise", "--weights", "net.bin", "--layer", "layer4.1.conv1", "--filter", "45,271,363,489", "--steps", "2", "--size", "64", "-o", "most.png")
    assert min(Image.open(tmp_path / "most.png").size) >= 64


def test_two_class_alexnet(run, tmp_path):
    """3: Grad-CAM at `features` with 0.3 heat + 0.7 image, and LayerCAM at 0, 3, 6, 9, 12 beside each other, for both classes."""
    write_with_classifier(tmp_path / "net.bin", "alexnet", 2)
    photo(tmp_path / "x.png", 256, 256)
    result = explain(run, "--weights", "net.bin", "x.png", "--class", "0,1", "--layer", "features", "--alpha", "0.3", "--save-map", "m.npy")
    assert [m["layers"][0]["layer"] for m in result["maps"]] == ["features.12"] * 2
    assert [m["layers"][0]["shape"] for m in result["maps"]] == [[256, 6, 6]] * 2
    before, maps = np.asarray(Image.open(tmp_path / "x.png"), float), np.load(tmp_path / "m.npy")
    for one, found in zip(result["maps"], maps):
        overlay = np.asarray(Image.open(tmp_path / one["picture"]), float)[16:240, 16:240]
        heat = (overlay - 0.7 * before[16:240, 16:240]) / 0.3
        assert np.abs(heat[found < 1 / 255] - [0, 0, 128]).max() < 4  # jet's lowest
        assert one["empty"] or np.abs(heat[found > 254 / 255] - [128, 0, 0]).max() < 8  # and its highest
    layers = [f"features.{i}" for i in (0, 3, 6, 9, 12)]
    result = explain(run, "--weights", "net.bin", "x.png", "--class", "0,1", "--method", "layercam", "--layer", ",".join(layers), "--sheet")
    assert [[layer["layer"] for layer in m["layers"]] for m in result["maps"]] == [layers] * 2
    assert [layer["shape"][1] for layer in result["maps"][0]["layers"]] == [55, 27, 13, 13, 6]
    w, h = Image.open(tmp_path / "x_sheet.png").size
    assert w > 6 * 250 and h > 2 * 250


def test_vgg19(run, tmp_path):
    """4: VGG19 Grad-CAM for a chosen class index, guided backprop, Guided Grad-CAM with the usual deprocessing."""
    write_with_classifier(tmp_path / "net.bin", "vgg19", 1000)
    photo(tmp_path / "x.png", 240, 300)
    result = explain(run, "--weights", "net.bin", "x.png", "--class", "7", "--layer", "features.35", "--panel", "--save-raw", "raw.npy")
    one = result["maps"][0]
    assert one["class"] == 7 and one["layers"] == [{"layer": "features.35", "shape": [512, 14, 14], "min": one["layers"][0]["min"],
                                                    "max": one["layers"][0]["max"]}]
    raw = np.load(tmp_path / "raw.npy")
    assert raw.shape == (14, 14) and np.isfinite(raw).all() and raw.std() > 0
    assert Image.open(tmp_path / "x_gradcam.png").size[0] > 3 * 240
    run("saliency", "--weights", "net.bin", "x.png", "--class", "7", "--method", "guided,guidedgradcam", "--layer", "features.35")
    for method in ("guided", "guidedgradcam"):
        picture = np.asarray(Image.open(tmp_path / f"x_{method}.png").convert("RGB"), int)
        assert 125 <= np.median(picture) <= 130 and picture.std() > 0  # (x - mean) / std * 0.1 + 0.5: most of it near grey


def test_five_class_resnet34(run, tmp_path):
    """5: a 5-class ResNet34 on 1024x1024 greyscale pictures, /255 without mean and std: CAM of each class and averaged."""
    write_weights(tmp_path / "net.bin", resnet18(5, channels=1, blocks=(3, 4, 6, 3)), arch="resnet34", mean="[0]", std="[1]",
                  classes=json.dumps(["normal", "covid", "opacity", "bacterial", "viral"]))
    photo(tmp_path / "x.png", 1024, 1024, gray=True)
    common = ["--weights", "net.bin", "x.png", "--resize", "1024x1024", "--method", "cam", "--class", "all", "--panel", "--save-raw", "raw.npy"]
    result = explain(run, *common)
    assert result["input"] == [1, 1024, 1024] and [m["name"] for m in result["maps"]] == ["normal", "covid", "opacity", "bacterial", "viral"]
    each = np.load(tmp_path / "raw.npy")
    assert each.shape == (5, 32, 32)
    result = explain(run, *common, "--average-classes", "-o", "mean.png")
    assert result["maps"][0]["mean_of_classes"] == 5
    assert np.allclose(np.load(tmp_path / "raw.npy"), each.mean(0), rtol=1e-4, atol=1e-5)
    w, h = Image.open(tmp_path / "mean.png").size
    assert w > 3 * 800 and h > 800


def test_gallery_names_every_command():
    """The gallery's script runs what is tested here."""
    with open(os.path.join(ROOT, "scripts", "gallery.sh"), encoding="utf-8") as script:
        text = script.read()
    for word in ("--alpha 0.4", "--average-classes", "filters", "features", "--method guided", "--filter 45,271,363,489", "--sheet",
                 "features.0,features.3,features.6,features.9,features.12", "--arch vgg19 ", "--method guidedgradcam --layer features.35"):
        assert word in text
