"""camrun's other commands, as a user runs them: filters, features, saliency, maximise, dream. Needs numpy and Pillow."""
import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from networks import resnet18, write_weights
from test_program import CAMRUN, CROP, MEAN, NAMES, RESIZE, STATE, STD, files, preprocess  # noqa: F401

COMMANDS = ["filters", "features", "saliency", "maximise", "dream"]


def call(folder, *arguments):
    return subprocess.run([CAMRUN, *map(str, arguments)], capture_output=True, cwd=folder, timeout=300)


@pytest.fixture
def run(tmp_path):
    """Runs camrun in an empty folder: it must succeed, and say nothing on standard error."""
    def succeed(*arguments):
        done = call(tmp_path, *arguments)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr
        return done.stdout.decode()
    return succeed


@pytest.fixture
def refuse(tmp_path):
    """Runs camrun, which must fail with this status, one line with all these words, and no file written."""
    def fail(status, words, command, *arguments):
        done = call(tmp_path, command, *arguments)
        message = done.stderr.decode()
        assert (done.returncode, done.stdout) == (status, b""), message
        assert re.fullmatch(rf"camrun {command}: [^\n]+\n", message)
        assert all(word in message for word in words), message
        assert os.listdir(tmp_path) == []
    return fail


def picture(path):
    return np.asarray(Image.open(path).convert("RGB"))


def has_colors(image):
    return len(np.unique(image.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_one_screen(run, command):
    text = run(command, "--help")
    assert run(command, "-h") == text
    lines = text.splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 80
    with open(os.path.join(os.path.dirname(__file__), "..", "cam", "run", f"{command}_command.c"), encoding="utf-8") as source:
        code = source.read()
    options = re.findall(r'^    \{"([a-z-]+)", ', code, re.MULTILINE)
    assert len(options) >= 5
    for option in options:
        assert f"--{option}" in text or (option == "output" and "-o" in text), option


# ---- filters ----

def test_filters(run, files, tmp_path):
    text = run("filters", "--weights", files("net.bin"), "--layer", "layer1.0.conv1", "--save-raw", "w.npy")
    assert "layer1.0.conv1: 8 of 8 filters, 8 of 8 input channels, kernels of 3x3" in text
    assert "written to layer1.0.conv1_filters.png" in text
    assert np.array_equal(np.load(tmp_path / "w.npy"), STATE["layer1.0.conv1.weight"])
    image = picture(tmp_path / "layer1.0.conv1_filters.png")
    w = STATE["layer1.0.conv1.weight"]
    m = abs(w).max()
    step = np.minimum(np.maximum((w + m) / (2 * m), 0) * 255, 255).astype(int) / 255  # the colours of bwr, 256 of them
    red = 255 * np.minimum(1, 2 * step)
    blue = 255 * np.minimum(1, 2 * (1 - step))
    # A pixel of kernel (oc,ic): all 24x24 of them have its colour. Find the first kernel, then step from one to the next.
    rows = np.flatnonzero((image != 255).any(2)[:, 60])
    found = {tuple(color) for color in image.reshape(-1, 3)}
    for r, b in zip(red.ravel(), blue.ravel()):
        expected = (r, min(r, b), b)
        assert any(max(abs(c - e) for c, e in zip(color, expected)) <= 1 for color in found), expected
    assert len(rows)


def test_filters_are_chosen(run, files, tmp_path):
    whole = run("filters", "--weights", files("net.bin"), "--layer", "layer4.1.conv2", "-o", "all.png")
    assert "64 of 64 filters, 64 of 64 input channels" in whole
    some = run("filters", "--weights", files("net.bin"), "--layer", "layer4.1.conv2", "--filter", "3,60-63", "--input", "0-9",
               "-o", "some.png")
    assert "5 of 64 filters, 10 of 64 input channels" in some
    few = run("filters", "--weights", files("net.bin"), "--layer", "layer4.1.conv2", "--count", "2", "-o", "few.png")
    assert "2 of 64 filters, 2 of 64 input channels" in few
    sizes = [picture(tmp_path / f"{name}.png").shape for name in ("all", "some", "few")]
    assert sizes[0][0] > sizes[1][0] > sizes[2][0]


def test_filters_in_color(run, files, tmp_path):
    for options in [], ["--rgb"], ["--each"], ["--colormap", "turbo"]:
        run("filters", "--weights", files("net.bin"), *options, "-o", f"f{''.join(options)}.png")
    pictures = [picture(path).tobytes() for path in tmp_path.glob("*.png")]
    assert len(set(pictures)) == 4


def test_filters_refuse(refuse, files):
    net = files("net.bin")
    refuse(2, ["--weights"], "filters")
    refuse(2, ["photo.png", "features"], "filters", "--weights", net, files("photo.png"))
    refuse(2, ["--filter", "--count"], "filters", "--weights", net, "--filter", "1", "--count", "2")
    refuse(2, ["--rgb", "--each"], "filters", "--weights", net, "--rgb", "--each")
    refuse(2, ["--filter", "'1,x'"], "filters", "--weights", net, "--filter", "1,x")
    refuse(2, ["--filter", "'5-2'"], "filters", "--weights", net, "--filter", "5-2")
    refuse(2, ["unknown option '--filer'", "--filter"], "filters", "--weights", net, "--filer", "1")
    refuse(2, [".png"], "filters", "--weights", net, "-o", "x.jpg")
    refuse(1, ["0 to 7", "found 8"], "filters", "--weights", net, "--filter", "8")
    refuse(1, ["--input", "0 to 2", "found 3"], "filters", "--weights", net, "--input", "3")
    refuse(1, ["relu", "convolution", "conv1"], "filters", "--weights", net, "--layer", "relu")
    refuse(1, ["fc", "linear", "layer4.1.conv2"], "filters", "--weights", net, "--layer", "fc")
    refuse(1, ["3 channels", "8x8x3x3"], "filters", "--weights", net, "--layer", "layer1.0.conv1", "--rgb")
    refuse(1, ["nowhere"], "filters", "--weights", net, "--layer", "nowhere")


# ---- features ----

def test_features(run, files, tmp_path):
    common = ["--weights", files("net.bin"), files("photo.png")]
    text = run("features", *common, "--layer", "conv1", "--input", "--save-raw", "input.npy")
    assert "input: 3 of 3 feature maps of 64x64 (WxH), each on its own scale" in text
    assert "written to photo_input.png" in text
    assert np.abs(np.load(tmp_path / "input.npy") - preprocess(files("photo.png"))[0]).max() < 1e-5
    run("features", *common, "--layer", "fc", "--save-raw", "fc.npy")
    run(*common, "--save-logits", "logits.npy")
    logits = np.load(tmp_path / "logits.npy")
    assert np.abs(np.load(tmp_path / "fc.npy").ravel() - logits).max() < 1e-5 * np.abs(logits).max()
    text = run("features", *common, "--save-raw", "last.npy")
    last = np.load(tmp_path / "last.npy")
    assert last.shape == (64, 2, 2) and last.min() == 0
    pooled = np.load(tmp_path / "last.npy").mean((1, 2)) @ STATE["fc.weight"].T + STATE["fc.bias"]
    assert np.abs(pooled - logits).max() < 1e-4 * np.abs(logits).max()
    assert f"from {last.min():.4g} to {last.max():.4g}" in text
    assert has_colors(picture(tmp_path / "photo_layer4.1.relu_1.png"))


def test_features_options(run, files, tmp_path):
    common = ["features", "--weights", files("net.bin"), files("photo.png"), "--layer", "layer1"]
    for i, options in enumerate([[], ["--shared"], ["--colormap", "jet"], ["--channel", "7,0-2"], ["--count", "4"], ["--gray"],
                                 ["--no-crop"], ["--resize", "50x60"]]):
        run(*common, *options, "-o", f"{i}.png")
    assert len({picture(path).tobytes() for path in tmp_path.glob("*.png")}) == 8


def test_features_of_a_small_input(run, files, tmp_path):
    """Layers behind the one that is shown do not limit the size."""
    text = run("features", "--weights", files("zeros.bin"), "--layer", "features.1", "--size", "20", files("photo.png"))
    assert "64 feature maps of 4x4" in text


def test_features_of_one_channel(run, files, tmp_path):
    text = run("features", "--weights", files("gray.bin"), files("photo.png"), "--layer", "layer4.1.conv2")
    assert "layer4.1.conv2: 64 of 64 feature maps of 7x7" in text


def test_features_refuse(refuse, files):
    common = ["--weights", files("net.bin")]
    photo = files("photo.png")
    refuse(2, ["no picture"], "features", *common)
    refuse(2, ["-o", "2 pictures"], "features", *common, photo, files("wide.png"), "-o", "x.png")
    refuse(2, ["--count", "--channel"], "features", *common, photo, "--count", "1", "--channel", "1")
    refuse(2, ["--labels"], "features", *common, photo, "--labels", files("labels.txt"))
    refuse(1, ["found 8"], "features", *common, photo, "--layer", "layer1", "--channel", "8")
    refuse(1, ["layer1.0.add", "layer1.0.bn2", "maxpool"], "features", *common, photo, "--layer", "layer1.0.add", "--input")
    refuse(1, ["input"], "features", *common, photo, "--layer", "input", "--input")
    refuse(1, ["nothing.png"], "features", *common, "nothing.png")
    refuse(2, ["itself"], "features", *common, photo, "-o", photo)


# ---- saliency ----

METHODS = ["vanilla", "guided", "deconvnet", "inputxgradient", "smoothgrad", "integrated", "guidedgradcam"]


def test_saliency(run, files, tmp_path):
    common = ["saliency", "--weights", files("net.bin"), files("photo.png")]
    text = run(*common, "--method", ",".join(METHODS), "--samples", "9", "--steps", "30", "--save-raw", "raw.npy")
    raw = np.load(tmp_path / "raw.npy")
    assert raw.shape == (7, 3, CROP, CROP) and all(np.abs(one).max() > 0 for one in raw)
    assert text.splitlines()[0] == f"{files('photo.png')} (130x90) through resnet18, input 64x64"
    x = preprocess(files("photo.png"))[0]
    assert np.abs(raw[3] - raw[0] * x).max() < 1e-5 * np.abs(raw[3]).max()
    for method, one in zip(METHODS, raw):
        image = picture(tmp_path / f"photo_{method}.png")
        assert image.shape == (CROP, CROP, 3)
        assert f"values from {one.min():.4g} to {one.max():.4g}" in text
        if method in ("guided", "deconvnet", "guidedgradcam"):
            expected = np.clip((one - one.mean()) / (one.std() + 1e-5) * 0.1 + 0.5, 0, 1)
        else:
            largest = np.abs(one).max(0)
            expected = np.minimum(largest / np.sort(largest.ravel())[(largest.size - 1) * 99 // 100], 1)[None].repeat(3, 0)
        assert np.abs(image / 255 - expected.transpose(1, 2, 0)).max() < 1.1 / 255
    numbers = re.search(r"they sum to (\S+), and the score rises by (\S+) from the black baseline in 30 steps: off by (\S+);", text)
    total, rise, off = (float(number) for number in numbers.groups())
    assert abs(total - raw[5].sum()) < 1e-4 * abs(total) and abs(abs(total - rise) - off) < 0.01 * abs(rise)
    assert abs(off) < 0.2 * abs(rise)


def test_saliency_of_classes_and_filters(run, files, tmp_path):
    common = ["saliency", "--weights", files("net.bin"), files("photo.png")]
    run(*common, "--class", "star,0", "--method", "guided,vanilla", "-o", "a.png", "--save-raw", "raw.npy")
    assert {path.name for path in tmp_path.glob("*.png")} == {f"a_{method}_{name}.png" for method in ("guided", "vanilla")
                                                              for name in ("6_star", "0_red_disc")}
    raw = np.load(tmp_path / "raw.npy")
    assert raw.shape == (2, 2, 3, CROP, CROP)
    run(*common, "--class", "0", "--save-raw", "one.npy")
    assert np.array_equal(np.load(tmp_path / "one.npy"), raw[1, 1])
    text = run(*common, "--layer", "layer1.0.conv2", "--filter", "1,5", "--method", "deconvnet", "--save-raw", "filters.npy")
    assert "Deconvnet for filter 5 of layer1.0.conv2" in text
    assert (tmp_path / "photo_deconvnet_5.png").exists() and np.load(tmp_path / "filters.npy").shape == (2, 3, CROP, CROP)


def test_saliency_options(run, files, tmp_path):
    common = ["saliency", "--weights", files("net.bin"), files("photo.png")]
    smooth, steps = ["--method", "smoothgrad", "--samples", "3"], ["--method", "integrated", "--steps", "4"]
    cases = [[], ["--style", "signed"], ["--style", "color"], ["--class", "1"], ["--gray"], smooth, smooth + ["--seed", "4"],
             smooth + ["--noise", "0.5"], smooth + ["--samples", "4"], steps, steps + ["--baseline", "mean"], steps + ["--steps", "5"],
             ["--method", "guidedgradcam"], ["--method", "guidedgradcam", "--layer", "layer2"]]
    for i, options in enumerate(cases):
        run(*common, *options, "-o", f"{i}.png")
    assert len({picture(path).tobytes() for path in tmp_path.glob("*.png")}) == len(cases)


def test_saliency_of_one_channel(run, files, tmp_path):
    run("saliency", "--weights", files("gray.bin"), files("photo.png"), "--method", "guided", "--save-raw", "raw.npy")
    assert np.load(tmp_path / "raw.npy").shape == (1, 224, 224)
    image = picture(tmp_path / "photo_guided.png")
    assert np.array_equal(image[..., 0], image[..., 2]) and has_colors(image)


def test_saliency_bits(run, files, tmp_path):
    """The same for any number of threads."""
    for threads in 1, 3:
        run("saliency", "--weights", files("net.bin"), files("photo.png"), "--method", "smoothgrad,guidedgradcam", "--samples", "10",
            "--threads", threads, "--save-raw", f"{threads}.npy")
    assert np.load(tmp_path / "1.npy").tobytes() == np.load(tmp_path / "3.npy").tobytes()


def test_saliency_refuses(refuse, files):
    common, photo = ["--weights", files("net.bin")], files("photo.png")
    refuse(2, ["no picture"], "saliency", *common)
    refuse(2, ["'gradient'", "vanilla"], "saliency", *common, photo, "--method", "gradient")
    refuse(2, ["twice"], "saliency", *common, photo, "--method", "guided,guided")
    refuse(2, ["--samples", "smoothgrad"], "saliency", *common, photo, "--samples", "3")
    refuse(2, ["--baseline", "integrated"], "saliency", *common, photo, "--method", "smoothgrad", "--baseline", "mean")
    refuse(2, ["black, mean", "'white'"], "saliency", *common, photo, "--method", "integrated", "--baseline", "white")
    refuse(2, ["--layer"], "saliency", *common, photo, "--filter", "1")
    refuse(2, ["--filter", "--class"], "saliency", *common, photo, "--filter", "1", "--class", "1", "--layer", "layer1")
    refuse(2, ["guidedgradcam"], "saliency", *common, photo, "--filter", "1", "--layer", "layer1", "--method", "guidedgradcam")
    refuse(2, ["--filter"], "saliency", *common, photo, "--layer", "layer1")
    refuse(2, ["grey, color, signed"], "saliency", *common, photo, "--style", "jet")
    refuse(1, ["found 8"], "saliency", *common, photo, "--layer", "layer1", "--filter", "8")
    refuse(1, ["nosuch"], "saliency", *common, photo, "--class", "nosuch")
    refuse(1, ["fc"], "saliency", *common, photo, "--layer", "fc", "--method", "guidedgradcam")


# ---- maximise and dream ----

def undo(x):
    return x * np.reshape(STD, (3, 1, 1)) + np.reshape(MEAN, (3, 1, 1))


def test_maximise(run, files, tmp_path):
    common = ["maximise", "--weights", files("net.bin"), "--steps", "6", "--size", "40"]
    text = run(*common, "--layer", "layer3.1.conv1", "--filter", "9,3", "--save-raw", "x.npy")
    assert "6 steps on 40x40; written to layer3.1.conv1_maximised.png" in text
    found = re.findall(r"filter (\d+) of layer3.1.conv1: mean activation from (\S+) to (\S+)", text)
    assert [number for number, _, _ in found] == ["9", "3"] and all(float(b) > float(a) for _, a, b in found)
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (2, 3, 40, 40)
    run(*common, "--layer", "layer3.1.conv1", "--filter", "3", "-o", "one.png", "--save-raw", "one.npy")
    assert np.array_equal(np.load(tmp_path / "one.npy")[0], x[1])
    assert np.abs(picture(tmp_path / "one.png") / 255 - undo(x[1]).transpose(1, 2, 0)).max() < 0.6 / 255
    text = run(*common, "--class", "star,0", "-o", "classes.png")
    assert re.search(r"class 6 star of fc: logit from \S+ to \S+", text) and "class 0 red disc of fc" in text
    assert has_colors(picture(tmp_path / "classes.png"))


def test_maximise_options(run, files, tmp_path):
    cases = [[], ["--steps", "5"], ["--lr", "0.3"], ["--jitter", "0"], ["--blur", "2"], ["--decay", "0.1"], ["--seed", "3"],
             ["--size", "50"], ["--mean", "0.1"], ["--std", "0.5"]]
    for i, options in enumerate(cases):
        run("maximise", "--weights", files("net.bin"), "--layer", "layer1", "--filter", "2", "--steps", "4", "--size", "40", *options,
            "-o", f"{i}.png")
    assert len({picture(path).tobytes() for path in tmp_path.glob("*.png")}) == len(cases)
    run("maximise", "--weights", files("gray.bin"), "--layer", "layer1", "--size", "40", "--steps", "3", "-o", "gray.png")


def test_dream(run, files, tmp_path):
    common = ["dream", "--weights", files("net.bin"), files("photo.png"), "--no-crop"]
    text = run(*common, "--layer", "layer2", "--steps", "4")
    before, after = re.search(r"mean square of layer2.1.relu_1 from (\S+) to (\S+) in 4 steps at each of 4 sizes up to 104x72;",
                              text).groups()
    assert float(after) > float(before)
    assert picture(tmp_path / "photo_dream.png").shape == (72, 104, 3)
    cases = [["--filter", "1,2"], ["--octaves", "1"], ["--octave-scale", "1.2"], ["--lr", "0.1"], ["--jitter", "0"], ["--blur", "1"],
             ["--decay", "0.1"], ["--seed", "5"]]
    for i, options in enumerate(cases):
        run(*common, "--layer", "layer2", "--steps", "4", *options, "-o", f"{i}.png")
    assert len({picture(path).tobytes() for path in tmp_path.glob("*.png")}) == len(cases) + 1


@pytest.mark.parametrize("command", ["maximise", "dream"])
def test_interrupted(command, files, tmp_path):
    """What is there is written, and then the signal ends the program."""
    arguments = [files("photo.png")] if command == "dream" else []
    running = subprocess.Popen([CAMRUN, command, "--weights", files("net.bin"), "--layer", "layer1", "--steps", "100000", "-o", "out.png",
                                *arguments], stdout=subprocess.PIPE, cwd=tmp_path)
    time.sleep(2)
    running.send_signal(signal.SIGINT)
    text = running.communicate(timeout=120)[0].decode()
    assert running.returncode == -signal.SIGINT
    assert re.search(r"stopped after \d+ of \d+ steps; written to out.png", text)
    assert has_colors(picture(tmp_path / "out.png"))


def test_maximise_and_dream_refuse(refuse, files):
    common, photo = ["--weights", files("net.bin")], files("photo.png")
    refuse(2, ["--layer", "--class"], "maximise", *common)
    refuse(2, ["noise", "dream"], "maximise", *common, photo, "--layer", "layer1")
    refuse(2, ["--layer", "--class"], "maximise", *common, "--layer", "layer1", "--class", "1")
    refuse(2, ["--filter", "--layer"], "maximise", *common, "--class", "1", "--filter", "2")
    refuse(2, ["--steps", "'0'"], "maximise", *common, "--layer", "layer1", "--steps", "0")
    refuse(1, ["found 8"], "maximise", *common, "--layer", "layer1", "--filter", "8")
    refuse(1, ["top1"], "maximise", *common, "--class", "top1")
    refuse(1, ["input"], "maximise", *common, "--layer", "input")
    refuse(1, ["4 channels"], "maximise", "--weights", files("four.bin"), "--layer", "layer1")
    refuse(2, ["--layer"], "dream", *common, photo)
    refuse(2, ["no picture"], "dream", *common, "--layer", "layer1")
    refuse(1, ["found 9"], "dream", *common, photo, "--layer", "layer1", "--filter", "9")
    refuse(2, ["itself"], "dream", *common, photo, "--layer", "layer1", "-o", photo)


# ---- a grey ResNet18 of ten classes, as a course's notes look at one ----

@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Its weights, and a picture of 224x224."""
    folder = tmp_path_factory.mktemp("digits")
    write_weights(folder / "digits.bin", resnet18(10, channels=1, width=64), arch="resnet18", mean="[0.5]", std="[0.25]")
    y, x = np.mgrid[:224, :224]
    ring = np.exp(-((np.hypot(x - 110, y - 120) - 60) / 15) ** 2)
    Image.fromarray((255 * ring).astype(np.uint8)).save(folder / "digit.png")
    return lambda name: str(folder / name)


def test_course_notes(run, digits, tmp_path):
    common = ["--weights", digits("digits.bin")]
    text = run("filters", *common, "--layer", "layer1.0.conv1", "-o", "kernels.png")
    assert "64 of 64 filters, 64 of 64 input channels, kernels of 3x3" in text
    text = run("features", *common, "--layer", "layer4.1.conv2", digits("digit.png"), "-o", "features.png")
    assert "512 of 512 feature maps of 7x7" in text
    text = run(*common, "--layer", "layer2.0.conv1", digits("digit.png"), "-o", "gradcam.png")
    assert "at layer2.0.conv1 (28x28)" in text
    text = run("saliency", *common, "--method", "guided", digits("digit.png"), "-o", "guided.png")
    assert "Guided backpropagation for class" in text
    text = run("maximise", *common, "--layer", "layer4.1.conv1", "--filter", "45,271,363,489", "--steps", "2", "--size", "96", "-o",
               "maximised.png")
    assert all(f"filter {number} of layer4.1.conv1" in text for number in (45, 271, 363, 489))
    for name in "kernels", "features", "gradcam", "guided", "maximised":
        assert has_colors(picture(tmp_path / f"{name}.png"))
