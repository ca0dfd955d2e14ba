"""camtrain as a user runs it: from a folder of pictures to weights that camrun explains, interrupted and resumed, and every
message it ends with.

Needs numpy and Pillow. CAMTRAIN and CAMRUN in the environment name other binaries."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from networks import resnet18, write_weights

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import safetensors_file  # noqa: E402

CAMTRAIN = os.path.abspath(os.environ.get("CAMTRAIN", os.path.join(ROOT, "camtrain")))
CAMRUN = os.path.abspath(os.environ.get("CAMRUN", os.path.join(ROOT, "camrun")))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
CLASSES = ["blob, soft", "stripes", "été"]
TINY = ["--arch", "resnet18", "--width", 4, "--size", 32, "--batch", 8]
EPOCH = re.compile(r"^epoch +(\d+)/(\d+)  loss ([\d.]+)  accuracy ([\d.]+) %(?:  held out: loss ([\d.]+)  "
                   r"accuracy ([\d.]+) %)?  \d+ pictures/s(?:  .+ left)?$", re.MULTILINE)


def draw(rng, label):
    """A picture of one of three textures, of a size of its own."""
    h, w = rng.integers(36, 60, 2)
    y, x = np.mgrid[:h, :w]
    form = [np.hypot(x - w / 2, y - h / 2) < 14, (x // 4) % 2 == 0, (y // 4) % 2 == 0][label]
    tint = rng.integers(120, 256, 3)
    return (form[..., None] * tint * 0.8 + rng.integers(0, 50, (h, w, 3))).astype(np.uint8)


def make_set(folder, each, seed=0, classes=CLASSES):
    rng = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        os.makedirs(folder / name)
        for i in range(each):
            Image.fromarray(draw(rng, label)).save(folder / name / f"{i}.{'png' if i % 2 else 'ppm'}")
    return str(folder)


@pytest.fixture(scope="session")
def pets(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("data") / "pets", 20)


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("data") / "held_out", 7, seed=1)


@pytest.fixture
def train(tmp_path):
    """Runs camtrain in an empty folder: it must succeed, and say nothing on standard error."""
    def call(*arguments, timeout=300):
        done = subprocess.run([CAMTRAIN, *map(str, arguments)], capture_output=True, cwd=tmp_path, timeout=timeout)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr
        return done.stdout.decode()
    return call


@pytest.fixture
def refuse(tmp_path):
    """Runs camtrain, which must fail with this status, one line with all these words, and no file written or changed."""
    def call(status, words, *arguments, stdout=subprocess.DEVNULL):
        before = {name: (tmp_path / name).stat().st_mtime_ns for name in os.listdir(tmp_path)}
        done = subprocess.run([CAMTRAIN, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, cwd=tmp_path,
                              timeout=300)
        message = done.stderr.decode()
        assert done.returncode == status, message
        assert re.fullmatch(r"camtrain: [^\n]+\n", message)
        for word in words:
            assert word in message
        assert len(message) < 522
        assert {name: (tmp_path / name).stat().st_mtime_ns for name in os.listdir(tmp_path)} == before
        return message
    return call


def camrun(folder, *arguments):
    return subprocess.run([CAMRUN, *map(str, arguments)], capture_output=True, cwd=folder, check=True).stdout.decode()


# ---- help ----

def test_help_is_one_screen(train):
    text = train("--help")
    assert train("-h") == text
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    with open(os.path.join(ROOT, "cam", "train", "settings.c"), encoding="utf-8") as source:
        options = re.findall(r'^    \{"([a-z-]+)", ', source.read(), re.MULTILINE)
    assert len(options) > 25
    for option in options:
        assert f"--{option}" in text or (option == "output" and "-o" in text), option
    assert "Exit status" in text
    assert re.fullmatch(r"camtrain \d+\.\d+\.\d+\n", train("--version"))


# ---- from pictures to weights ----

def test_weights_know_what_they_are_for(train, pets, held_out, tmp_path):
    """The accuracy that camtrain tells is the one camrun has with the file, which says all it takes."""
    text = train(pets, *TINY, "--val", held_out, "--epochs", 12, "--lr", 0.03, "-o", "m.bin")
    assert "resnet18 of width 4 for 3 channels and 3 classes (blob, soft, stripes, été)" in text
    assert "pictures: 60 to train on, 21 held out, 32x32; 7 steps of 8 in an epoch" in text
    assert re.search(r"^memory: activations [\d.]+ MB, weights [\d.]+, .*decoded pictures [\d.]+$", text, re.MULTILINE)
    assert "weights written to m.bin" in text
    epochs = EPOCH.findall(text)
    assert [int(e[0]) for e in epochs] == list(range(1, 13)) and len(text.splitlines()) == 12 + 4
    assert sorted(os.listdir(tmp_path)) == ["m.bin", "m.ckpt"]
    assert float(epochs[-1][3]) > 60 and float(epochs[-1][5]) > 60

    pictures = [os.path.join(held_out, name, file) for name in CLASSES for file in sorted(os.listdir(os.path.join(held_out, name)))]
    (tmp_path / "out").mkdir()
    right, loss = 0, 0
    for picture in pictures:
        image, = json.loads(camrun(tmp_path, "--weights", "m.bin", picture, "-o", "out/", "--json"))["images"]
        top = {entry["name"]: entry["probability"] for entry in image["top"]}
        right += image["top"][0]["name"] in picture.split(os.sep)
        loss -= np.log(next(top[name] for name in CLASSES if name in picture.split(os.sep)))
    assert f"{100 * right / len(pictures):.1f}" == epochs[-1][5]
    assert abs(loss / len(pictures) - float(epochs[-1][4])) < 1e-3
    report = json.loads(camrun(tmp_path, "--weights", "m.bin", pictures[0], "-o", "out/", "--json"))
    assert report["preprocessing"] == {"resize": 36, "crop": [32, 32], "gray": False, "mean": [0.485, 0.456, 0.406],
                                       "std": [0.229, 0.224, 0.225]}
    for checkpoint in ("m.ckpt",):  # a checkpoint explains as well as weights do
        assert camrun(tmp_path, "--weights", checkpoint, pictures[0], "-o", "out/").splitlines()[2:5] == \
            camrun(tmp_path, "--weights", "m.bin", pictures[0], "-o", "out/").splitlines()[2:5]


def test_same_bits_for_any_threads_and_cache(train, pets, tmp_path):
    common = [pets, *TINY, "--epochs", 2]
    train(*common, "-o", "a.bin", "--threads", 1)
    text = train(*common, "-o", "b.bin", "--threads", 2, "--cache", 0)
    assert "(0 of them, the rest is decoded each time: --cache)" in text
    train(*common, "-o", "c.bin", "--seed", 2)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.bin", "b.bin", "c.bin"))
    assert a == b != c


def test_one_channel_resnet34(train, pets, held_out, tmp_path):
    text = train(pets, "--arch", "resnet34", "--width", 4, "--channels", 1, "--size", 40, "--resize", 40, "--batch", 20,
                 "--epochs", 1, "--val", 0, "--mean", "0.4", "--std", "0.3", "--optimizer", "adam", "-o", "gray.bin")
    assert "resnet34 of width 4 for 1 channel and 3 classes" in text and "held out:" not in text and " 0 held out" in text
    picture = os.path.join(held_out, "stripes", "1.png")
    report = json.loads(camrun(tmp_path, "--weights", "gray.bin", picture, "--json"))
    assert report["images"][0]["input"] == [1, 40, 40]
    assert report["preprocessing"]["mean"] == [0.4] and report["preprocessing"]["resize"] == 40


def test_two_class_alexnet(train, tmp_path):
    make_set(tmp_path / "two", 3, classes=["cat", "dog"])
    text = train("two", "--arch", "alexnet", "--size", 63, "--batch", 6, "--epochs", 1, "--val", 0, "--momentum", 0,
                 "--dtype", "float16", "-o", "two.bin")
    assert "alexnet for 3 channels and 2 classes (cat, dog): 57012034 of 57012034 values" in text
    assert 114e6 < (tmp_path / "two.bin").stat().st_size < 115e6
    assert "0 cat" in camrun(tmp_path, "--weights", "two.bin", "two/cat/0.ppm")
    for name in ("two.bin", "two.ckpt"):
        os.remove(tmp_path / name)


def test_halves(train, pets, tmp_path):
    train(pets, *TINY, "--epochs", 1, "-o", "full.bin")
    train(pets, *TINY, "--epochs", 1, "-o", "half.bin", "--dtype", "float16")
    full, metadata = safetensors_file.read(tmp_path / "full.bin")
    half, same = safetensors_file.read(tmp_path / "half.bin")
    assert metadata == same and json.loads(metadata["classes"]) == CLASSES and metadata["interpolation"] == "bilinear"
    for name, array in full.items():
        expected = array.astype(np.float16) if array.ndim > 1 else array
        assert half[name].dtype == expected.dtype and np.array_equal(half[name], expected)


def test_log(train, pets, tmp_path):
    text = train(pets, *TINY, "--epochs", 3, "--json", "log.jsonl", "--lr", 0.02, "--schedule", "constant")
    start, *epochs = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert start["classes"] == CLASSES and start["arch"] == "resnet18" and start["channels"] == 3
    assert (start["pictures"], start["held_out"], start["steps"], start["batch"]) == (54, 6, 6, 8)
    assert all(start["bytes"][key] > 0 for key in ("activations", "weights", "packed", "gradients", "optimizer", "pictures"))
    assert [e["epoch"] for e in epochs] == [1, 2, 3] and all(e["lr"] == 0.02 for e in epochs)
    for said, logged in zip(EPOCH.findall(text), epochs):
        assert abs(float(said[2]) - logged["trained"]["loss"]) < 1e-4 and logged["held_out"]["pictures"] == 6
        assert abs(float(said[4]) - logged["held_out"]["loss"]) < 1e-4
        assert abs(float(said[3]) - 100 * logged["trained"]["accuracy"]) < 0.1
    train("--resume", "model.ckpt", "--epochs", 4)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 6
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["epoch"] == 4


def test_other_files_are_passed_over_and_said(train, tmp_path):
    make_set(tmp_path / "set", 8)
    (tmp_path / "set" / "stripes" / "a.webp").touch()
    (tmp_path / "set" / "boxes.csv").touch()
    assert "1 file of other kinds passed over, the first set/stripes/a.webp" in train("set", *TINY, "--epochs", 1)


def test_few_pictures_make_small_batches(train, tmp_path):
    make_set(tmp_path / "set", 1)
    text = train("set", "--arch", "resnet18", "--width", 4, "--size", 32, "--epochs", 1, "--val", 0)
    assert "3 to train on, 0 held out, 32x32; 1 step of 3 in an epoch" in text


# ---- interrupted and resumed ----

def interrupt_after(tmp_path, number, arguments, epochs):
    """Runs camtrain and sends the signal when so many epochs are told; returns what it said."""
    program = subprocess.Popen([CAMTRAIN, *map(str, arguments)], cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    said = b""
    for line in program.stdout:
        said += line
        if line.startswith(b"epoch"):
            epochs -= 1
        if epochs == 0:
            program.send_signal(number)
            epochs = -1
    message = program.stderr.read()
    program.stdout.close()
    program.stderr.close()
    assert (program.wait(), message) == (-number, b"")
    return said.decode()


@pytest.mark.parametrize("options", [[], ["--optimizer", "adam", "--schedule", "step", "--val", 0]])
def test_interrupted_and_resumed_gives_the_same_bits(train, pets, tmp_path, options):
    common = [pets, *TINY, *options, "--epochs", 40]
    text = train(*common, "-o", "whole.bin")
    said = interrupt_after(tmp_path, signal.SIGINT, [*common, "-o", "parts.bin"], 1)
    assert "parts.bin" not in os.listdir(tmp_path)
    assert re.search(r"^interrupted in epoch \d+, after \d+ of \d+ steps; to go on: camtrain --resume parts.ckpt$",
                     said, re.MULTILINE)
    said += interrupt_after(tmp_path, signal.SIGTERM, ["--resume", "parts.ckpt"], 2)
    said += train("--resume", "parts.ckpt")
    assert (tmp_path / "whole.bin").read_bytes() == (tmp_path / "parts.bin").read_bytes()
    numbers = [e[:6] for e in EPOCH.findall(text)]
    assert [e[:6] for e in EPOCH.findall(said)] == numbers and len(numbers) == 40
    whole, parts = (safetensors_file.read(tmp_path / name) for name in ("whole.ckpt", "parts.ckpt"))
    assert whole[0].keys() == parts[0].keys()
    for name, array in whole[0].items():
        assert array.tobytes() == parts[0][name].tobytes()
    assert whole[1]["position"] == parts[1]["position"] and whole[1]["data"] == parts[1]["data"]


def test_more_epochs(train, pets, tmp_path):
    common = [pets, *TINY, "--schedule", "constant"]
    train(*common, "--epochs", 4, "-o", "four.bin")
    train(*common, "--epochs", 2, "-o", "two.bin")
    text = train("--resume", "two.ckpt", "--epochs", 4, "-o", "more.bin", "--checkpoint", "more.ckpt")
    assert [e[0] for e in EPOCH.findall(text)] == ["3", "4"]
    assert (tmp_path / "four.bin").read_bytes() == (tmp_path / "more.bin").read_bytes()
    os.remove(tmp_path / "four.bin")
    assert not EPOCH.findall(train("--resume", "four.ckpt"))  # a run at its end writes its weights again
    assert (tmp_path / "four.bin").read_bytes() == (tmp_path / "more.bin").read_bytes()


def test_resume_from_elsewhere(train, pets, tmp_path):
    make_set(tmp_path / "set", 8)
    train("set", *TINY, "--epochs", 1)
    os.rename(tmp_path / "set", tmp_path / "moved")
    assert "epoch 2/2" in train("moved", "--resume", "model.ckpt", "--epochs", 2)
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run([CAMTRAIN, "--resume", "../model.ckpt", "--epochs", "3"], cwd=tmp_path / "elsewhere",
                          capture_output=True, check=True)
    assert b"epoch 3/3" in done.stdout


def test_resume_with_other_settings_or_pictures(train, refuse, tmp_path):
    make_set(tmp_path / "set", 8)
    train("set", *TINY, "--epochs", 1, "--json", "log")
    for option, value, words in (("--lr", "0.5", "has 0.01"), ("--batch", "4", "has 8"), ("--arch", "resnet34", "has resnet18"),
                                 ("--init", "x.bin", "has none"), ("--augment", "none", "has flip,crop=0.35")):
        refuse(1, [f"{option} {value}", "model.ckpt", words, "--init"], "--resume", "model.ckpt", option, value)
    refuse(1, ["model.bin", "--init"], "--resume", "model.bin")
    refuse(1, ["none.ckpt", "No such file"], "--resume", "none.ckpt")
    refuse(1, ["elsewhere", "cannot read"], "elsewhere", "--resume", "model.ckpt")
    shutil.copy(tmp_path / "set" / "stripes" / "0.ppm", tmp_path / "set" / "stripes" / "new.ppm")
    refuse(1, ["model.ckpt", "pictures are not those"], "--resume", "model.ckpt")
    os.remove(tmp_path / "set" / "stripes" / "new.ppm")
    whole = (tmp_path / "model.ckpt").read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.ckpt").write_bytes(whole[:size])
        refuse(1, ["cut.ckpt"], "--resume", "cut.ckpt")


# ---- trained weights to start from ----

IMAGENET_LIKE = resnet18(10, width=4)


def test_init_with_another_head(train, pets, tmp_path):
    write_weights(tmp_path / "ten.bin", IMAGENET_LIKE, arch="resnet18", crop="32", resize="40", mean="[0.5]", std="[0.2]")
    text = train(pets, "--init", "ten.bin", "--freeze", "conv1,bn1,layer1,layer2", "--epochs", 1, "--batch", 8)
    assert "ten.bin is for 10 classes: the last layer starts anew, for 3" in text
    assert "resnet18 of width 4" in text and re.search(r"(\d+) of (\d+) values are trained", text)
    state, metadata = safetensors_file.read(tmp_path / "model.bin")
    assert (metadata["crop"], metadata["resize"], metadata["mean"], metadata["std"]) == ("32", "40", "[0.5]", "[0.2]")
    assert state["fc.weight"].shape == (3, 32)
    for name, array in IMAGENET_LIKE.items():
        if name.startswith("fc."):
            continue
        frozen = name.startswith(("conv1.", "bn1.", "layer1.", "layer2."))
        assert np.array_equal(state[name], array) == frozen, name


def test_init_for_other_channels(train, pets, tmp_path):
    write_weights(tmp_path / "ten.bin", IMAGENET_LIKE)
    text = train(pets, "--init", "ten.bin", "--arch", "resnet18", "--channels", 1, "--size", 32, "--epochs", 1, "--batch", 8,
                 "--freeze", "conv1")
    assert "ten.bin reads 3 channels: the first convolution gets the sum over them" in text
    state, _ = safetensors_file.read(tmp_path / "model.bin")
    expected = IMAGENET_LIKE["conv1.weight"].astype(float).sum(1, keepdims=True).astype(np.float32)
    assert np.array_equal(state["conv1.weight"], expected)


def test_init_with_the_same_classes(train, pets, tmp_path):
    train(pets, *TINY, "--epochs", 1, "-o", "first.bin")
    assert "anew" not in train(pets, "--init", "first.bin", "--epochs", 1, "--batch", 8)
    assert "anew" not in train(pets, "--init", "first.ckpt", "--epochs", 1, "--batch", 8)
    state, metadata = safetensors_file.read(tmp_path / "first.bin")
    safetensors_file.write(tmp_path / "other.bin", state, {**metadata, "classes": '["a", "b", "c"]'})
    assert "other.bin is for classes of other names: the last layer starts anew" in \
        train(pets, "--init", "other.bin", "--epochs", 1, "--batch", 8)


# ---- what is at fault ----

def test_a_loss_that_explodes(pets, tmp_path):
    done = subprocess.run([CAMTRAIN, pets, *map(str, TINY), "--lr", "100", "--epochs", "50"], cwd=tmp_path,
                          capture_output=True, timeout=300)
    message = done.stderr.decode()
    assert done.returncode == 1 and re.fullmatch(r"camtrain: epoch \d+, step \d+: the loss is [^\n]+--lr[^\n]+\n", message)
    assert "model.bin" not in os.listdir(tmp_path)


@pytest.mark.parametrize("words, arguments", [
    (["no pictures given", "DIR"], []),
    (["no network given", "--arch", "--init"], ["PETS"]),
    (["one folder", "'a'", "'b'"], ["a", "b", "--arch", "resnet18"]),
    (["'--epoch'", "--epochs?"], ["PETS", "--epoch", "3"]),
    (["unknown network 'resnet19'", "resnet18"], ["PETS", "--arch", "resnet19"]),
    (["--lr", "'fast'"], ["PETS", "--arch", "resnet18", "--lr", "fast"]),
    (["--lr", "'nan'"], ["PETS", "--arch", "resnet18", "--lr", "nan"]),
    (["--epochs", "'0'"], ["PETS", "--arch", "resnet18", "--epochs", "0"]),
    (["--optimizer", "sgd or adam", "'adamw'"], ["PETS", "--arch", "resnet18", "--optimizer", "adamw"]),
    (["--schedule", "constant, step or cosine", "'linear'"], ["PETS", "--arch", "resnet18", "--schedule", "linear"]),
    (["--dtype", "float32 or float16"], ["PETS", "--arch", "resnet18", "--dtype", "half"]),
    (["--augment", "flip", "'rotate'"], ["PETS", "--arch", "resnet18", "--augment", "rotate"]),
    (["--channels", "1 or 3"], ["PETS", "--arch", "resnet18", "--channels", "2"]),
    (["--val", "'1.5'"], ["PETS", "--arch", "resnet18", "--val", "1.5"]),
    (["--momentum", "adam"], ["PETS", "--arch", "resnet18", "--optimizer", "adam", "--momentum", "0.5"]),
    (["--gamma", "cosine"], ["PETS", "--arch", "resnet18", "--gamma", "0.5"]),
    (["--step-size", "constant"], ["PETS", "--arch", "resnet18", "--schedule", "constant", "--step-size", "5"]),
    (["--warmup", "5"], ["PETS", "--arch", "resnet18", "--epochs", "5", "--warmup", "5"]),
    (["--freeze", "--init"], ["PETS", "--arch", "resnet18", "--freeze", "conv1"]),
    (["-o and --checkpoint", "'x'"], ["PETS", "--arch", "resnet18", "-o", "x", "--checkpoint", "x"]),
    (["-o and --init", "'x'"], ["PETS", "-o", "x", "--init", "x"]),
])
def test_usage_errors(refuse, pets, words, arguments):
    refuse(2, words, *[pets if a == "PETS" else a for a in arguments])


@pytest.mark.parametrize("words, arguments", [
    (["none", "cannot read", "No such file"], ["none", *TINY]),
    (["found no folders"], ["PETS/stripes", *TINY]),
    (["other", "cannot read"], ["PETS", *TINY, "--val", "other"]),
    (["stripes", "found no folders"], ["PETS", *TINY, "--val", "PETS/stripes"]),
    (["0.001", "none to hold out"], ["PETS", *TINY, "--val", "0.001"]),
    (["none/m.bin", "cannot write", "No such file"], ["PETS", *TINY, "-o", "none/m.bin"]),
    (["none/m.ckpt", "cannot write"], ["PETS", *TINY, "--checkpoint", "none/m.ckpt"]),
    (["none/log", "cannot write"], ["PETS", *TINY, "--json", "none/log"]),
    (["none.bin", "No such file"], ["PETS", "--init", "none.bin"]),
    (["stripes/0.ppm", "expected weights"], ["PETS", "--init", "PETS/stripes/0.ppm"]),
    (["alexnet", "too small"], ["PETS", "--arch", "alexnet", "--size", "20", "--batch", "2"]),
    (["vgg16", "64 channels"], ["PETS", "--arch", "vgg16", "--width", "16"]),
])
def test_input_errors(refuse, pets, words, arguments):
    refuse(1, words, *[str(a).replace("PETS", pets) for a in arguments])


def test_wrong_init(refuse, pets, tmp_path):
    write_weights(tmp_path / "ten.bin", IMAGENET_LIKE)
    write_weights(tmp_path / "four.bin", resnet18(3, channels=4, width=4))
    refuse(1, ["ten.bin", "resnet34"], pets, "--init", "ten.bin", "--arch", "resnet34")
    refuse(1, ["--width 8", "ten.bin", "width 4"], pets, "--init", "ten.bin", "--width", 8)
    refuse(1, ["four.bin", "4 channels", "--channels"], pets, "--init", "four.bin")
    refuse(1, ["four.bin", "3 input channels", "found 4"], pets, "--init", "four.bin", "--channels", 3)
    refuse(1, ["--freeze", "'layer5'", "layer4"], pets, "--init", "ten.bin", "--freeze", "conv1,layer5")


def test_wrong_sets(refuse, tmp_path):
    make_set(tmp_path / "one", 3, classes=["cat"])
    refuse(1, ["one", "two classes", "'cat'"], "one", *TINY)
    make_set(tmp_path / "parts" / "train", 3)
    make_set(tmp_path / "parts" / "val", 3)
    refuse(1, ["parts", "train, val", "--val"], "parts", *TINY)
    (tmp_path / "parts" / "train" / "empty").mkdir()
    refuse(1, ["train/empty", "no picture", ".png"], "parts/train", *TINY)


def test_unreadable_pictures(refuse, tmp_path):
    make_set(tmp_path / "set", 8)
    (tmp_path / "set" / "stripes" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    refuse(1, ["set/stripes/1.png"], "set", *TINY, "--val", 0)
    (tmp_path / "set" / CLASSES[0] / "3.png").write_bytes(b"")
    refuse(1, [f"set/{CLASSES[0]}/3.png", "empty", "1 more cannot be read"], "set", *TINY, "--val", 0)


def test_full_disk(train, pets, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    for options, message in ((["--checkpoint", "/dev/full"], "/dev/full: cannot write: No space"),
                             (["-o", "/dev/full", "--checkpoint", "m.ckpt"], "/dev/full: cannot write: No space"),
                             (["--json", "/dev/full"], "/dev/full: cannot write: No space")):
        done = subprocess.run([CAMTRAIN, pets, *map(str, TINY), "--epochs", "1", *options], cwd=tmp_path,
                              capture_output=True)
        assert done.returncode == 1 and message in done.stderr.decode() and done.stderr.count(b"\n") == 1
    train("--resume", "m.ckpt", "-o", "m.bin")  # nothing was lost
    assert "m.bin" in os.listdir(tmp_path)


def test_what_was_there_survives_a_failure(refuse, pets, tmp_path):
    for name in ("model.bin", "model.ckpt", "log"):
        (tmp_path / name).write_bytes(b"old")
    refuse(1, ["none", "cannot read"], pets, *TINY, "--val", "none", "--json", "log")
    assert all((tmp_path / name).read_bytes() == b"old" for name in ("model.bin", "model.ckpt", "log"))
