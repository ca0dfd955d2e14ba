"""The program as a user runs it: every option, every picture and array it writes, and every message it ends with.

Needs numpy and Pillow. Networks are made here, small and random; CAMRUN in the environment names another binary."""
import json
import os
import pty
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from networks import resnet18, write_header, write_weights

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CAMRUN = os.path.abspath(os.environ.get("CAMRUN", os.path.join(ROOT, "camrun")))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait crawl on a busy machine
NAMES = ["red disc", "green disc", "square", "square", "tabby, tabby cat", "été", "star"]
MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]
RESIZE, CROP = 72, 64


# ---- networks ----

ALEXNET = {"features.0": (64, 3, 11, 11), "features.3": (192, 64, 5, 5), "features.6": (384, 192, 3, 3),
           "features.8": (256, 384, 3, 3), "features.10": (256, 256, 3, 3), "classifier.1": (4096, 9216),
           "classifier.4": (4096, 4096), "classifier.6": (2, 4096)}


def write_zero_alexnet(path):
    """AlexNet with two classes and nothing but zeros, in a file that takes no room on the disk."""
    shapes = {}
    for name, shape in ALEXNET.items():
        shapes[name + ".weight"], shapes[name + ".bias"] = shape, shape[:1]
    with open(path, "wb") as file:
        size = write_header(file, shapes, {"arch": "alexnet"})
        file.truncate(file.tell() + size)
    return str(path)


METADATA = {"arch": "resnet18", "classes": json.dumps(NAMES), "mean": json.dumps(MEAN), "std": json.dumps(STD),
            "resize": str(RESIZE), "crop": str(CROP)}
STATE = resnet18(len(NAMES))


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with networks and pictures: files("net.bin") is a path in it."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(5)
    write_weights(folder / "net.bin", STATE, **METADATA)
    write_weights(folder / "plain.bin", STATE)
    write_weights(folder / "gray.bin", resnet18(3, channels=1), arch="resnet18")
    write_weights(folder / "four.bin", resnet18(3, channels=4), arch="resnet18")
    write_zero_alexnet(folder / "zeros.bin")
    ramp = np.add.outer(np.arange(90), np.arange(130))[..., None] * [1, 2, 3] % 256
    photo = np.where(rng.random((90, 130, 1)) < 0.5, ramp, rng.integers(0, 256, (90, 130, 3))).astype(np.uint8)
    Image.fromarray(photo).save(folder / "photo.png")
    Image.fromarray(photo[:40]).save(folder / "wide.png")
    (folder / "elsewhere").mkdir()
    os.link(folder / "photo.png", folder / "elsewhere" / "photo.png")
    Image.fromarray(photo[..., 0]).save(folder / "gray.png")
    batch = rng.normal(0, 1, (3, 3, 50, 70)) + np.reshape([0, 4, -4], (3, 1, 1, 1))
    np.save(folder / "batch.npy", batch.astype(np.float32))
    (folder / "labels.txt").write_text("".join(f"name {i}\n" for i in range(len(NAMES))))
    return lambda name: str(folder / name)


@pytest.fixture
def run(tmp_path):
    """Runs camrun in an empty folder: it must succeed, and say nothing on standard error."""
    def call(*arguments):
        done = subprocess.run([CAMRUN, *map(str, arguments)], capture_output=True, cwd=tmp_path, timeout=300)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr
        return done.stdout.decode()
    return call


@pytest.fixture
def run_json(run):
    return lambda *arguments: json.loads(run(*arguments, "--json"))


@pytest.fixture
def refuse(tmp_path):
    """Runs camrun, which must fail with this status, one line with all these words, and no file written."""
    def call(status, words, *arguments, stdout=subprocess.PIPE):
        before = sorted(os.listdir(tmp_path))
        done = subprocess.run([CAMRUN, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, cwd=tmp_path,
                              timeout=300)
        message = done.stderr.decode()
        assert done.returncode == status, message
        assert re.fullmatch(r"camrun: [^\n]+\n", message)
        for word in words:
            assert word in message
        assert len(message) < 520
        assert sorted(os.listdir(tmp_path)) == before
        return message
    return call


# ---- what camrun is to compute ----

def preprocess(path, resize=RESIZE, crop=CROP, mean=MEAN, std=STD, gray=False):
    """torchvision's evaluation transform; resize: the shorter side's length or (W,H); crop: None for none."""
    image = Image.open(path).convert("RGB")
    if gray:
        image = image.convert("L").convert("RGB")
    w, h = image.size
    if isinstance(resize, int):
        resize = (resize, resize * h // w) if w <= h else (resize * w // h, resize)
    image = image.resize(resize, Image.Resampling.BILINEAR)
    if crop:
        left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
        image = image.crop((left, top, left + crop, top + crop))
    x = (np.asarray(image, np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def normalize(raw):
    x = np.maximum(raw, 0)
    x = x - x.min()
    return x / (1e-7 + x.max())


def resize_map(x, h, w):
    """Bilinear, pixel centres at half-integers, clamped at the borders."""
    for axis, size in ((0, h), (1, w)):
        n = x.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, n - 1)
        t = np.expand_dims(at - low, 1 - axis)
        x = np.take(x, low, axis) * (1 - t) + np.take(x, high, axis) * t
    return x


def finish(raws, shape):
    """The map in [0,1] that layers' signed maps make."""
    return normalize(np.mean([resize_map(normalize(raw), *shape) for raw in raws], axis=0))


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


# ---- help ----

def test_help_is_one_screen(run):
    text = run("--help")
    assert run("-h") == text
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    with open(os.path.join(ROOT, "cam", "run", "options.c"), encoding="utf-8") as source:
        options = re.findall(r'^    \{"([a-z-]+)", ', source.read(), re.MULTILINE)
    assert len(options) > 20
    for option in options:
        assert f"--{option}" in text or (option == "output" and "-o" in text), option
    for word in ("gradcam", "--list-methods", "--list-layers", "jet", "viridis", "turbo", "grey", "alexnet", "resnet18", "Exit status"):
        assert word in text


def test_list_methods(run, run_json):
    methods = {line.split()[0]: line.split(maxsplit=1)[1] for line in run("--list-methods").splitlines()}
    assert {"gradcam", "gradcam++", "xgradcam", "hirescam", "gradcam-elementwise", "layercam", "eigencam", "eigengradcam",
            "finercam", "shapleycam", "smoothgradcam++", "fullgrad", "scorecam", "ablationcam", "cam", "fem", "randomcam"} == set(methods)
    assert [(m["name"], m["about"]) for m in run_json("--list-methods")["methods"]] == list(methods.items())
    assert max(map(len, run("--list-methods").splitlines())) <= 100


def test_version(run):
    assert re.fullmatch(r"camrun \d+\.\d+\.\d+\n", run("--version"))


# ---- the report ----

def test_text_report(run, files, tmp_path):
    text = run("--weights", files("net.bin"), files("photo.png"), "--class", "star", "--save-logits", "logits.npy",
               "--save-raw", "raw.npy")
    logits, raw = np.load(tmp_path / "logits.npy"), np.load(tmp_path / "raw.npy")
    lines = text.splitlines()
    assert lines[0] == f"{files('photo.png')} (130x90) through resnet18, input 64x64"
    assert lines[1].split() == ["logit", "probability", "class"]
    order = np.argsort(-logits, kind="stable")
    for line, index in zip(lines[2:7], order):
        assert line == f"  {logits[index]:8.3f}     {100 * softmax(logits)[index]:6.2f} %  {index} {NAMES[index]}"
    assert lines[7].startswith("Grad-CAM for 6 star at layer4.1.relu_1 (2x2), raw map from ")
    assert lines[7].endswith(f"from {raw.min():.4g} to {raw.max():.4g}")
    assert "written to photo_gradcam.png" in text
    assert re.search(r"^time: load \S+ ms, plan \S+ ms, forward \S+ ms, backward \S+ ms, map \S+ ms$", text, re.MULTILINE)
    assert "raw maps written to raw.npy" in text and "logits written to logits.npy" in text
    assert sorted(os.listdir(tmp_path)) == ["logits.npy", "photo_gradcam.png", "raw.npy"]


def test_json_report(run_json, files, tmp_path):
    report = run_json("--weights", files("net.bin"), files("photo.png"), "--save-logits", "l.npy", "--save-raw",
                      "r.npy")
    logits, raw = np.load(tmp_path / "l.npy"), np.load(tmp_path / "r.npy")
    assert report["arch"] == "resnet18" and report["classes"] == len(NAMES) and report["methods"] == ["gradcam"]
    assert report["layers"] == ["layer4.1.relu_1"]
    assert report["preprocessing"] == {"resize": RESIZE, "crop": [CROP, CROP], "gray": False, "mean": MEAN, "std": STD}
    assert (report["saved_map"], report["saved_raw"], report["saved_logits"]) == (None, "r.npy", "l.npy")
    assert report["load_ms"] >= 0 and report["peak_memory_bytes"] > 1e6 and "repeat" not in report
    image, = report["images"]
    assert (image["width"], image["height"], image["input"]) == (130, 90, [3, 64, 64])
    order = np.argsort(-logits, kind="stable")[:5]
    assert [top["class"] for top in image["top"]] == order.tolist()
    for top, index in zip(image["top"], order):
        assert top["name"] == NAMES[index]
        assert np.float32(top["logit"]) == logits[index]
        assert abs(top["probability"] - softmax(logits)[index]) < 1e-6
    one, = image["maps"]
    assert one["method"] == "gradcam"
    assert one["class"] == order[0] and one["picture"] == "photo_gradcam.png" and one["backward_ms"] >= 0
    layer, = one["layers"]
    assert layer["layer"] == "layer4.1.relu_1" and layer["shape"] == [64, 2, 2]
    assert np.float32(layer["min"]) == raw.min() and np.float32(layer["max"]) == raw.max()
    assert one["positive_evidence"] == (raw.max() > 0)


def test_json_escapes(tmp_path, files):
    name = b'a"b\\c\n\x01\xff\xc3\xa9.png'
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(files("photo.png"), "rb") as source, open(path, "wb") as copy:
        copy.write(source.read())
    done = subprocess.run([CAMRUN, "--weights", files("net.bin"), "--json", name], cwd=tmp_path, capture_output=True,
                          check=True)
    assert json.loads(done.stdout.decode())["images"][0]["source"] == 'a"b\\c\n\x01\ufffdé.png'
    assert os.path.exists(path[:-4] + b"_gradcam.png")
    text = subprocess.run([CAMRUN, "--weights", files("net.bin"), name], cwd=tmp_path, capture_output=True, check=True)
    assert text.stdout.startswith(b'a"b\\c??\xff\xc3\xa9.png (130x90)')


def test_timing(run, run_json, files):
    report = run_json("--weights", files("net.bin"), files("photo.png"), "--timing", "--repeat", "3")
    assert report["repeat"] == 3 and report["peak_memory_bytes"] > 1e6
    assert report["images"][0]["forward_ms"] > 0 and report["images"][0]["maps"][0]["backward_ms"] > 0
    assert report["images"][0]["maps"][0]["map_ms"] > 0
    text = run("--weights", files("net.bin"), files("photo.png"), "--timing")
    assert re.search(r"forward \S+ ms, backward \S+ ms, map \S+ ms \(medians of 10 runs\)\n", text)
    assert re.search(r"^peak memory: \S+ MB", text, re.MULTILINE)


def test_full_disk_for_the_report(refuse, files, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        refuse(1, ["standard output", "No space"], "--list-layers", "--arch", "alexnet", stdout=full)


# ---- from picture to input ----

@pytest.mark.parametrize("options, expected", [
    ([], {}),
    (["--size", "48"], {"resize": 54, "crop": 48}),
    (["--size=96"], {"resize": 108, "crop": 96}),
    (["--resize", "100"], {"resize": 100}),
    (["--resize", "80x60"], {"resize": (80, 60), "crop": None}),
    (["--resize", "80x60", "--size", "50"], {"resize": (80, 60), "crop": 50}),
    (["--resize", "90", "--size", "50"], {"resize": 90, "crop": 50}),
    (["--no-crop"], {"crop": None}),
    (["--no-crop", "--size", "32"], {"resize": 36, "crop": None}),
    (["--no-crop", "--resize", "50"], {"resize": 50, "crop": None}),
    (["--gray"], {"gray": True}),
    (["--mean", "0.1,0.2,0.3"], {"mean": [0.1, 0.2, 0.3]}),
    (["--std", "0.7", "--mean=0"], {"mean": [0.0], "std": [0.7]}),
])
@pytest.mark.parametrize("picture", ["photo.png", "gray.png", "wide.png"])
def test_preprocessing(run, files, tmp_path, options, expected, picture):
    """A picture gives the logits and the map of the tensor that Pillow and numpy make of it."""
    save = ["--save-logits", "logits.npy", "--save-map", "map.npy"]
    run("--weights", files("net.bin"), files(picture), *options, *save)
    logits, found = np.load(tmp_path / "logits.npy"), np.load(tmp_path / "map.npy")
    x = preprocess(files(picture), **expected)
    np.save(tmp_path / "x.npy", x)
    run("--weights", files("net.bin"), "--tensor", "x.npy", *save)
    assert found.shape == x.shape[2:]
    np.testing.assert_allclose(logits, np.load(tmp_path / "logits.npy"), rtol=0, atol=1e-4 * abs(logits).max())
    np.testing.assert_allclose(found, np.load(tmp_path / "map.npy"), rtol=0, atol=2e-3)


def test_defaults_without_metadata_are_imagenets(run_json, files):
    report = run_json("--weights", files("plain.bin"), "--arch", "resnet18", files("photo.png"))
    assert report["preprocessing"] == {"resize": 256, "crop": [224, 224], "gray": False,
                                       "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert report["images"][0]["top"][0]["name"] is None


def test_network_for_gray_pictures(run, files, tmp_path):
    run("--weights", files("gray.bin"), files("photo.png"), "--mean", "0.4", "--std", "0.2", "--save-logits", "a.npy")
    x = preprocess(files("photo.png"), resize=256, crop=224, mean=[0.4], std=[0.2], gray=True)
    np.save(tmp_path / "x.npy", np.ascontiguousarray(x[:, :1]))
    run("--weights", files("gray.bin"), "--tensor", "x.npy", "--save-logits", "b.npy")
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * abs(a).max())


# ---- methods, layers, classes ----

def arrays(run, tmp_path, *arguments):
    run(*arguments, "--save-map", "map.npy", "--save-raw", "raw.npy", "--save-logits", "logits.npy")
    return [np.load(tmp_path / name) for name in ("map.npy", "raw.npy", "logits.npy")]


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "xgradcam", "hirescam", "gradcam-elementwise", "layercam",
                                    "cam", "fem", "randomcam", "eigencam", "eigengradcam", "finercam", "shapleycam",
                                    "smoothgradcam++", "scorecam", "ablationcam"])
@pytest.mark.parametrize("layer", ["layer4", "layer2.0.conv1", "conv1"])
def test_finished_map_is_made_of_the_raw_one(run, files, tmp_path, method, layer):
    if method == "cam" and layer != "layer4":
        pytest.skip("cam explains the last layer alone")
    found, raw, logits = arrays(run, tmp_path, "--weights", files("net.bin"), files("photo.png"), "--method", method,
                                "--layer", layer, "--no-crop")
    assert found.dtype == raw.dtype == logits.dtype == np.float32
    assert found.shape == (72, 104) and logits.shape == (len(NAMES),)
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found, finish([raw], found.shape), rtol=0, atol=1e-5)
    assert os.path.exists(tmp_path / f"photo_{method}.png")


def test_cam_and_gradcam_agree_at_the_last_map(run, files, tmp_path):
    common = ["--weights", files("net.bin"), files("photo.png"), "--size", "160", "--class", "4"]
    _, cam, logits = arrays(run, tmp_path, *common, "--method", "cam")
    _, gradcam, _ = arrays(run, tmp_path, *common)
    assert cam.shape == (5, 5)
    np.testing.assert_allclose(gradcam * cam.size, cam, rtol=0, atol=1e-4 * abs(cam).max())
    assert abs(cam.mean() + STATE["fc.bias"][4] - logits[4]) < 1e-4 * abs(logits).max()


def test_several_layers_are_averaged(run, run_json, files, tmp_path):
    layers = ["layer4", "layer2.1.conv1", "layer3"]
    common = ["--weights", files("net.bin"), files("photo.png"), "--method", "layercam"]
    raws = [arrays(run, tmp_path, *common, "--layer", layer)[1] for layer in layers]
    expected = finish(raws, (CROP, CROP))
    for given in (["--layer", ",".join(layers)], ["--layer", layers[0], "--layer", ",".join(layers[1:])]):
        report = run_json(*common, *given, "--save-map", "all.npy")
        np.testing.assert_allclose(np.load(tmp_path / "all.npy"), expected, rtol=0, atol=1e-5)
        assert report["layers"] == ["layer4.1.relu_1", "layer2.1.conv1", "layer3.1.relu_1"]
        assert [layer["shape"][1:] for layer in report["images"][0]["maps"][0]["layers"]] == [[2, 2], [8, 8], [4, 4]]


def test_several_methods_share_a_run(run, run_json, files, tmp_path):
    """Each of them gives what it gives alone; arrays get an axis of methods behind that of classes."""
    methods = ["layercam", "gradcam++", "fem"]
    common = ["--weights", files("net.bin"), files("photo.png"), "--layer", "layer3"]
    found, raw, _ = arrays(run, tmp_path, *common, "--class", "star,4", "--method", ",".join(methods))
    assert found.shape == (2, 3, 64, 64) and raw.shape == (2, 3, 4, 4)
    for k, name in enumerate(("star", "4")):
        for m, method in enumerate(methods):
            one, one_raw, _ = arrays(run, tmp_path, *common, "--class", name, "--method", method)
            assert np.array_equal(found[k, m], one) and np.array_equal(raw[k, m], one_raw)
            label = {"star": "6_star", "4": "4_tabby__tabby_cat"}[name]
            assert Image.open(tmp_path / f"photo_{method}_{label}.png").size == (130, 90)
    report = run_json("--method", "gradcam", "--method", "hirescam,cam", "-o", "x.png", "--weights",
                      files("net.bin"), files("photo.png"))
    assert report["methods"] == ["gradcam", "hirescam", "cam"]
    assert [(m["method"], m["picture"]) for m in report["images"][0]["maps"]] == [
        ("gradcam", "x_gradcam.png"), ("hirescam", "x_hirescam.png"), ("cam", "x_cam.png")]
    text = run(*common, "--method", "gradcam,xgradcam")
    assert "Grad-CAM for" in text and "XGrad-CAM for" in text and "photo_xgradcam.png" in text


def test_eigen_smooth(run, files, tmp_path):
    """Of HiResCAM it is EigenGradCAM; of Grad-CAM something else; and the sign is such that the most is above zero."""
    common = ["--weights", files("net.bin"), files("photo.png"), "--layer", "layer2"]
    _, smooth, _ = arrays(run, tmp_path, *common, "--method", "hirescam", "--eigen-smooth")
    _, eigen, _ = arrays(run, tmp_path, *common, "--method", "eigengradcam")
    assert np.array_equal(smooth, eigen) and eigen.max() >= -eigen.min()
    _, smooth, _ = arrays(run, tmp_path, *common, "--eigen-smooth")
    _, plain, _ = arrays(run, tmp_path, *common)
    assert not np.allclose(smooth, plain) and abs(smooth.mean()) < 1e-6 * smooth.max()


def test_fullgrad(run, run_json, files, tmp_path):
    """One map of all layers, at the input's size: the raw one is a sum without signs."""
    common = ["--weights", files("net.bin"), files("photo.png"), "--method", "fullgrad", "--no-crop"]
    found, raw, _ = arrays(run, tmp_path, *common)
    assert found.shape == raw.shape == (72, 104) and raw.min() >= 0
    np.testing.assert_allclose(found, normalize(raw), rtol=0, atol=1e-6)
    one, = run_json(*common)["images"][0]["maps"]
    assert [(layer["layer"], layer["shape"]) for layer in one["layers"]] == [("input", [3, 72, 104])]
    text = run(*common[:-3], "--method", "fullgrad,gradcam", "--layer", "layer3,layer4", "--save-map", "both.npy")
    assert "FullGrad for" in text and "at input (64x64)" in text and "layer3.1.relu_1 (4x4)" in text
    assert np.load(tmp_path / "both.npy").shape == (2, 64, 64)


def test_ablationcam_of_a_negative_logit_is_said(run, files, tmp_path):
    common = ["--weights", files("net.bin"), "--tensor", files("batch.npy"), "--class", "0,1,2,3,4,5,6"]
    _, _, logits = arrays(run, tmp_path, *common)
    assert (logits < 0).any() and (logits > 0).any()
    assert run(*common, "--method", "ablationcam").count("turns the map over") == (logits < 0).sum()


def test_methods_with_scores_tell_their_time(run, run_json, files):
    common = ["--weights", files("net.bin"), files("photo.png"), "--method", "scorecam,ablationcam"]
    report = run_json(*common, "--layer", "layer3")
    assert report["images"][0]["scores_ms"] > 0 and "backward_ms" not in report["images"][0]["maps"][0]
    assert "all channels" in run(*common) and "all channels" not in run(*common[:-2])


def test_progress_over_channels_is_for_terminals(files, tmp_path):
    ours, theirs = pty.openpty()
    done = subprocess.run([CAMRUN, "--weights", files("net.bin"), files("photo.png"), "--method", "scorecam", "--threads", "2"],
                          cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "32 of 64 channels" in shown and shown.endswith("\r\x1b[K") and b"channels 0" not in done.stdout


def test_finercam_tells_classes_apart(run, files, tmp_path):
    """With two classes left to tell apart, what speaks for the one speaks against the other."""
    state = resnet18(2)
    state["fc.weight"] *= np.float32(0.1)  # or else one class has all the probability
    write_weights(tmp_path / "two.bin", state, arch="resnet18")
    first, second = (arrays(run, tmp_path, "--weights", "two.bin", files("photo.png"), "--method", "finercam",
                            "--class", c)[1] for c in "01")
    np.testing.assert_allclose(first, -second, rtol=0, atol=1e-5 * abs(first).max())


def test_shapleycam_of_a_logit_is_gradcam(run, files, tmp_path):
    first, second = (arrays(run, tmp_path, "--weights", files("net.bin"), files("photo.png"), "--method", method)[1]
                     for method in ("shapleycam", "gradcam"))
    assert np.array_equal(first, second)


def test_aug_smooth(run, files, tmp_path):
    """The mean of six versions' maps; the raw map is that of the picture as it is."""
    common = ["--weights", files("net.bin"), "--class", "5", "--layer", "layer3"]
    batch = np.load(files("batch.npy"))
    smooth, raw, logits = arrays(run, tmp_path, *common, "--tensor", files("batch.npy"), "--aug-smooth")
    _, plain, plain_logits = arrays(run, tmp_path, *common, "--tensor", files("batch.npy"))
    assert np.array_equal(raw, plain) and np.array_equal(logits, plain_logits)
    maps = []
    for flip in (1, -1):
        for factor in (0.9, 1, 1.1):
            np.save(tmp_path / "x.npy", np.ascontiguousarray(np.float32(factor) * batch[..., ::flip]))
            maps.append(arrays(run, tmp_path, *common, "--tensor", "x.npy")[0][..., ::flip])
    np.testing.assert_allclose(smooth, np.mean(maps, axis=0), rtol=0, atol=1e-6)
    assert "Grad-CAM (aug-smooth) for " in run(*common, files("photo.png"), "--aug-smooth")
    assert "Grad-CAM (eigen-smooth, aug-smooth) for " in run(*common, files("photo.png"), "--aug-smooth", "--eigen-smooth")
    several = arrays(run, tmp_path, *common, "--tensor", files("batch.npy"), "--aug-smooth", "--class", "1")[0]
    assert np.array_equal(several[:, 0], smooth)


@pytest.mark.parametrize("method", ["randomcam", "smoothgradcam++"])
def test_random_numbers_are_seeded(run, files, tmp_path, method):
    common = ["--weights", files("net.bin"), files("photo.png"), "--method", method, "--layer", "layer3"]
    first, second, other = (arrays(run, tmp_path, *common, *seed)[1]
                            for seed in ([], ["--seed", "0"], ["--seed", "2"]))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize("given, expected", [
    (["6"], [6]), (["star"], [6]), (["RED_DISC"], [0]), (["gree"], [1]), (["tabby, tabby cat"], [4]), (["été"], [5]),
    (["star,0"], [6, 0]), (["star", "cat"], [6, 4]), (["2, 3"], [2, 3]),
])
def test_classes(run_json, files, given, expected):
    options = [word for name in given for word in ("--class", name)]
    report = run_json("--weights", files("net.bin"), files("photo.png"), *options)
    assert [m["class"] for m in report["images"][0]["maps"]] == expected


def test_ranked_classes(run_json, files, tmp_path):
    report = run_json("--weights", files("net.bin"), files("photo.png"), "--class", "top1,top3", "--class", "top7",
                      "--save-logits", "logits.npy")
    order = np.argsort(-np.load(tmp_path / "logits.npy"), kind="stable")
    assert [m["class"] for m in report["images"][0]["maps"]] == [order[0], order[2], order[6]]


def test_several_classes_give_several_pictures(run, run_json, files, tmp_path):
    found, raw, _ = arrays(run, tmp_path, "--weights", files("net.bin"), files("photo.png"), "--class", "star,4,2")
    assert found.shape == (3, 64, 64) and raw.shape == (3, 2, 2)
    for name in ("photo_gradcam_6_star.png", "photo_gradcam_4_tabby__tabby_cat.png", "photo_gradcam_2_square.png"):
        assert Image.open(tmp_path / name).size == (130, 90)
    for index, expected in zip((6, 4, 2), raw):
        _, one, _ = arrays(run, tmp_path, "--weights", files("net.bin"), files("photo.png"), "--class", index)
        assert np.array_equal(one, expected)
    report = run_json("--weights", files("plain.bin"), files("photo.png"), "--class", "0,1", "-o", "x.png")
    assert [m["picture"] for m in report["images"][0]["maps"]] == ["x_0.png", "x_1.png"]


def test_labels_file(run_json, files):
    report = run_json("--weights", files("net.bin"), files("photo.png"), "--labels", files("labels.txt"), "--class",
                      "NAME 3")
    assert report["images"][0]["maps"][0]["class"] == 3 and report["images"][0]["maps"][0]["name"] == "name 3"


def test_no_evidence_is_said(run, run_json, files, tmp_path):
    text = run("--weights", files("zeros.bin"), files("photo.png"), "--save-map", "map.npy")
    assert "no positive evidence" in text
    assert np.array_equal(np.load(tmp_path / "map.npy"), np.zeros((224, 224)))
    one, = run_json("--weights", files("zeros.bin"), files("photo.png"))["images"][0]["maps"]
    assert one["positive_evidence"] is False and one["empty"] is True and one["layers"][0]["max"] == 0


def test_map_of_one_pixel_is_said(run, files):
    text = run("--weights", files("net.bin"), files("photo.png"), "--size", "32", "--method", "layercam", "--layer",
               "layer4.1.relu")
    assert "(1x1)" in text and ("no place stands out" in text or "no positive evidence" in text)


def test_threads_do_not_change_a_bit(run, files, tmp_path):
    methods = [line.split()[0] for line in run("--list-methods").splitlines()]

    def digits(threads, *options):
        return arrays(run, tmp_path, "--weights", files("net.bin"), files("photo.png"), "--threads", threads, *options)
    for options in (["--layer", "layer1", "--size", "200"], ["--method", "fullgrad"],
                    ["--method", ",".join(m for m in methods if m not in ("fullgrad", "cam")), "--layer", "layer2"]):
        for one, two in zip(digits(1, *options), digits(2, *options)):
            assert one.tobytes() == two.tobytes()


# ---- pictures ----

def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_overlay(run, files, tmp_path):
    photo = pixels(files("photo.png"))
    common = ["--weights", files("net.bin"), files("photo.png"), "--layer", "layer2"]
    run(*common, "--alpha", "0", "-o", "a0.png")
    assert np.array_equal(pixels(tmp_path / "a0.png"), photo)
    run(*common, "--alpha", "1", "--colormap", "grey", "--no-crop", "--save-map", "map.npy", "-o", "a1.png")
    gray = pixels(tmp_path / "a1.png")
    assert np.ptp(gray, axis=2).max() == 0
    expected = resize_map(np.load(tmp_path / "map.npy"), *photo.shape[:2]) * 255
    assert abs(gray[..., 0] - expected).max() <= 1.5
    run(*common, "-o", "half.png")
    run(*common, "--alpha=0.5", "--colormap=jet", "-o", "same.png")
    assert (tmp_path / "half.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    half = pixels(tmp_path / "half.png")
    left, right = (104 - 64) // 2 * 130 // 104, 130 - (104 - 64) // 2 * 130 // 104
    assert np.array_equal(half[:, :left - 1], photo[:, :left - 1])  # the network did not see it
    assert not np.array_equal(half[10:80, left + 1:right - 1], photo[10:80, left + 1:right - 1])


def test_colormaps_differ(run, files, tmp_path):
    pictures = set()
    for name in ("jet", "viridis", "turbo", "grey"):
        run("--weights", files("net.bin"), files("photo.png"), "--colormap", name, "-o", "out.png")
        pictures.add((tmp_path / "out.png").read_bytes())
    assert len(pictures) == 4


def test_panel(run, files, tmp_path):
    run("--weights", files("net.bin"), files("photo.png"), "--panel", "-o", "panel.png")
    width, height = Image.open(tmp_path / "panel.png").size
    assert width > 3 * 130 and height > 90 and width > height


def sheet_cells(picture, rows, columns):
    """The pictures on a sheet of up to three columns of 130x90 photographs, (rows, columns + 1) of them."""
    sheet = np.asarray(Image.open(picture))
    w, h, gap = 336, 233, 21
    tops = np.diff((sheet[:, gap] < 250).any(1).astype(int), prepend=0)
    tops = [y for y in np.flatnonzero(tops > 0) if (sheet[y:y + h, gap] < 250).any(1).all()]
    assert len(tops) == rows
    return np.array([[sheet[y:y + h, gap + i * (w + gap):][:, :w] for i in range(columns + 1)] for y in tops])


def test_sheet_of_layers_has_each_layers_own_map(run, files, tmp_path):
    common = ["--weights", files("net.bin"), files("photo.png"), "--sheet", "--alpha", 0.6]
    run(*common, "--class", "6,3", "--method", "gradcam,layercam,fullgrad", "--layer", "layer1,layer3", "-o", "all.png")
    every = sheet_cells(tmp_path / "all.png", 6, 2)
    assert (every[1:, 0] == every[0, 0]).all()
    for k, index in enumerate((6, 3)):
        for m, method in enumerate(("gradcam", "layercam")):
            for i, layer in enumerate(("layer1", "layer3")):
                run(*common, "--class", index, "--method", method, "--layer", layer, "-o", "one.png")
                one = sheet_cells(tmp_path / "one.png", 1, 1)
                assert np.array_equal(one[0, 1], every[3 * k + m, 1 + i])
        run(*common, "--class", index, "--method", "fullgrad", "-o", "one.png")
        assert np.array_equal(sheet_cells(tmp_path / "one.png", 1, 1)[0, 1], every[3 * k + 2, 1])
        assert (every[3 * k + 2, 2] == 255).all()


def test_all_classes(run, run_json, files, tmp_path):
    maps = run_json("--weights", files("plain.bin"), files("photo.png"), "--class", "all", "--sheet")["images"][0]["maps"]
    assert [m["class"] for m in maps] == list(range(len(NAMES)))
    (tmp_path / "names.txt").write_text("".join(f"n{i}\n" for i in range(len(NAMES) - 1)) + "All\n")
    maps = run_json("--weights", files("plain.bin"), files("photo.png"), "--class", "all", "--labels", "names.txt")["images"][0]["maps"]
    assert [m["class"] for m in maps] == [len(NAMES) - 1]


def test_average_of_classes(run, run_json, files, tmp_path):
    common = ["--weights", files("net.bin"), files("photo.png"), "--method", "cam", "--save-raw", "r.npy", "--save-map", "m.npy"]
    run_json(*common, "--class", "all", "-o", "each.png")
    each = np.load(tmp_path / "r.npy")
    assert each.shape == (len(NAMES), 2, 2)
    report = run_json(*common, "--class", "all", "--average-classes", "-o", "mean.png")
    raw, (one,) = np.load(tmp_path / "r.npy"), report["images"][0]["maps"]
    assert np.allclose(raw, each.mean(0), rtol=1e-5, atol=1e-6)
    assert np.allclose(np.load(tmp_path / "m.npy"), finish([raw], (64, 64)), atol=2e-6)
    assert one["mean_of_classes"] == len(NAMES) and "class" not in one and one["picture"] == "mean.png"
    text = run(*common, "--class", "top1,top2", "--average-classes", "--panel")
    assert "CAM for the mean of 2 classes at layer4.1.relu_1" in text
    run("--weights", files("net.bin"), "--tensor", files("batch.npy"), "--class", "top1,top2", "--average-classes", "--save-raw", "b.npy")
    averaged = np.load(tmp_path / "b.npy")
    run("--weights", files("net.bin"), "--tensor", files("batch.npy"), "--class", "top1,top2", "--save-raw", "b.npy")
    assert np.allclose(averaged, np.load(tmp_path / "b.npy").mean(1), rtol=1e-5, atol=1e-6)


def test_sheet_of_methods(run, run_json, files, tmp_path):
    common = ["--weights", files("net.bin"), files("photo.png"), "--sheet", "--class", "top1,top2"]
    report = run_json(*common, "--method", "gradcam,layercam", "--save-map", "m.npy")
    assert [m["picture"] for m in report["images"][0]["maps"]] == [None] * 4
    assert report["images"][0]["sheet"] == "photo_sheet.png"
    assert sorted(os.listdir(tmp_path)) == ["m.npy", "photo_sheet.png"]
    assert np.load(tmp_path / "m.npy").shape == (2, 2, 64, 64)
    cells = sheet_cells(tmp_path / "photo_sheet.png", 2, 2)
    (tmp_path / "out").mkdir()
    assert len({cell.tobytes() for cell in cells.reshape(6, -1)}) == 5
    text = run(*common, files("wide.png"), "-o", "out/")
    assert "contact sheet written to out/wide_sheet.png" in text and len(os.listdir(tmp_path / "out")) == 2


def test_output_names(run_json, files, tmp_path):
    def picture(*options):
        return run_json("--weights", files("net.bin"), files("photo.png"), *options)["images"][0]["maps"][0]["picture"]
    (tmp_path / "folder").mkdir()
    assert picture() == "photo_gradcam.png"
    assert picture("--method", "layercam") == "photo_layercam.png"
    assert picture("-o", "folder") == "folder/photo_gradcam.png"
    assert picture("-o", "folder/") == "folder/photo_gradcam.png"
    assert picture("--output=folder/a.b.png") == "folder/a.b.png"
    assert picture("-o", "bare") == "bare"
    assert picture("-o", "bare", "--method", "layercam,gradcam") == "bare_layercam.png"
    assert picture("-o", "BIG.PNG") == "BIG.PNG"
    for name in ("photo_gradcam.png", "photo_layercam.png", "folder/photo_gradcam.png", "folder/a.b.png", "bare",
                 "BIG.PNG"):
        assert Image.open(tmp_path / name).size == (130, 90)


def test_picture_to_standard_output(files, tmp_path):
    done = subprocess.run([CAMRUN, "--weights", files("net.bin"), files("photo.png"), "-o", "/dev/stdout"],
                          cwd=tmp_path, capture_output=True, check=True)
    assert b"\x89PNG\r\n" in done.stdout
    assert os.listdir(tmp_path) == []


def test_several_pictures(run_json, files, tmp_path):
    (tmp_path / "out").mkdir()
    report = run_json("--weights", files("net.bin"), files("photo.png"), files("wide.png"), files("gray.png"),
                      "-o", "out", "--save-map", "maps.npy", "--save-raw", "raws.npy", "--save-logits", "logits.npy")
    assert sorted(os.listdir(tmp_path / "out")) == ["gray_gradcam.png", "photo_gradcam.png", "wide_gradcam.png"]
    assert Image.open(tmp_path / "out" / "wide_gradcam.png").size == (130, 40)
    assert ["plan_ms" in image for image in report["images"]] == [True, False, False]  # one plan serves all
    shapes = [np.load(tmp_path / name).shape for name in ("maps.npy", "raws.npy", "logits.npy")]
    assert shapes == [(3, 64, 64), (3, 2, 2), (3, len(NAMES))]
    logits = np.load(tmp_path / "logits.npy")
    for image, row in zip(report["images"], logits):
        assert image["top"][0]["class"] == row.argmax() and np.float32(image["top"][0]["logit"]) == row.max()


# ---- tensors ----

def test_batch_of_tensors(run, run_json, files, tmp_path):
    common = ["--weights", files("net.bin"), "--class", "top1,top2", "--layer", "layer3"]
    report = run_json(*common, "--tensor", files("batch.npy"), "--save-map", "m.npy", "--save-raw", "r.npy",
                      "--save-logits", "l.npy", "-o", "t.png")
    maps, raws, logits = (np.load(tmp_path / name) for name in ("m.npy", "r.npy", "l.npy"))
    assert maps.shape == (3, 2, 50, 70) and raws.shape == (3, 2, 4, 5) and logits.shape == (3, len(NAMES))
    assert len(set(logits.argmax(1))) > 1, "the seed must give images of different classes"
    batch = np.load(files("batch.npy"))
    for i, image in enumerate(report["images"]):
        best = np.argsort(-logits[i], kind="stable")[:2]
        assert image["index"] == i and [m["class"] for m in image["maps"]] == best.tolist()
        for k, (one, index) in enumerate(zip(image["maps"], best)):
            assert one["picture"].startswith(f"t_{i}_{index}_")
            assert Image.open(tmp_path / one["picture"]).size == (70, 50)
            np.save(tmp_path / "one.npy", batch[i:i + 1])
            run("--weights", files("net.bin"), "--tensor", "one.npy", "--class", index, "--layer", "layer3",
                "--save-raw", "one_raw.npy")
            assert np.array_equal(np.load(tmp_path / "one_raw.npy"), raws[i, k])


def test_tensor_writes_pictures_only_where_told(run, files, tmp_path):
    run("--weights", files("net.bin"), "--tensor", files("batch.npy"))
    assert os.listdir(tmp_path) == []
    run("--weights", files("net.bin"), "--tensor", files("batch.npy"), "-o", "t.png", "--colormap", "grey",
        "--save-map", "m.npy")
    assert sorted(os.listdir(tmp_path)) == ["m.npy", "t_0.png", "t_1.png", "t_2.png"]
    for i, expected in enumerate(np.load(tmp_path / "m.npy")):
        assert abs(pixels(tmp_path / f"t_{i}.png")[..., 0] - expected * 255).max() <= 1
    np.save(tmp_path / "double.npy", np.load(files("batch.npy"))[:1].astype(np.float64))
    run("--weights", files("net.bin"), "--tensor", "double.npy", "-o", ".")
    assert Image.open(tmp_path / "double_gradcam.png").size == (70, 50)


# ---- --list-layers ----

@pytest.mark.parametrize("arch, parameters, macs", [
    ("alexnet", 61_100_840, 714_188_480), ("vgg19", 143_667_240, 19_632_062_464),
    ("resnet18", 11_689_512, 1_814_073_344), ("resnet34", 21_797_672, 3_663_761_408),
    ("resnet50", 25_557_032, 4_089_184_256),
])
def test_list_layers(run, run_json, arch, parameters, macs):
    report = run_json("--list-layers", "--arch", arch)
    assert (report["parameters"], report["macs"]) == (parameters, macs)
    assert report["parameters"] == sum(layer["parameters"] for layer in report["layers"])
    assert report["layers"][0] == {"name": "input", "op": "input", "inputs": [], "shape": [3, 224, 224],
                                   "parameters": 0, "macs": 0}
    assert report["layers"][-1]["shape"] == [1000]
    text = run("--list-layers", "--arch", arch)
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}
    assert rows["total"] == [f"{parameters:,}", f"{macs:,}"]
    assert rows["input"] == ["input", "3x224x224", "0", "0"]
    assert f"default: {report['default_layer']}" in text


def test_list_layers_of_a_file(run_json, files):
    report = run_json("--list-layers", "--weights", files("net.bin"))
    assert report["classes"] == len(NAMES) and report["layers"][0]["shape"] == [3, CROP, CROP]
    by_name = {layer["name"]: layer for layer in report["layers"]}
    assert by_name["layer4.1.conv2"]["shape"] == [64, 2, 2] and by_name["fc"]["shape"] == [len(NAMES)]
    for options, shape in ((["--size", "96"], [3, 96, 96]), (["--resize", "120x80"], [3, 80, 120])):
        report = run_json("--list-layers", "--weights", files("net.bin"), *options)
        assert report["layers"][0]["shape"] == shape


# ---- refusals: the command line, status 2 ----

@pytest.mark.parametrize("words, arguments", [
    (["no network", "weights/shapes.bin", "--help"], []),
    (["no network"], ["photo.png"]),
    (["no picture", "--weights NET"], ["--weights", "NET"]),
    (["--arch resnet34", "add --weights"], ["--arch", "resnet34", "PHOTO"]),
    (["'--wieghts'", "did you mean --weights?"], ["--wieghts", "NET", "PHOTO"]),
    (["'--clas'", "--class?"], ["--weights", "NET", "PHOTO", "--clas=3"]),
    (["'--list-layer'", "--list-layers?"], ["--list-layer"]),
    (["'-x'", "--help"], ["-x"]),
    (["--class", "needs a value"], ["--weights", "NET", "PHOTO", "--class"]),
    (["--weights", "needs a value"], ["--weights", "--class", "3", "PHOTO"]),
    (["--weights", "empty"], ["--weights=", "PHOTO"]),
    (["--class", "empty"], ["--weights", "NET", "PHOTO", "--class="]),
    (["--json takes no value", "'yes'"], ["--weights", "NET", "PHOTO", "--json=yes"]),
    (["--help takes no value"], ["--help=all"]),
    (["unknown network 'resnet35'", "resnet34"], ["--arch", "resnet35", "--list-layers"]),
    (["unknown method 'gradcampp'", "gradcam++, xgradcam"], ["--weights", "NET", "PHOTO", "--method", "gradcampp"]),
    (["method is missing", "'gradcam,'"], ["--weights", "NET", "PHOTO", "--method", "gradcam,"]),
    (["layercam is named twice"], ["--weights", "NET", "PHOTO", "--method", "layercam,fem", "--method=layercam"]),
    (["--seed has no effect", "randomcam"], ["--weights", "NET", "PHOTO", "--seed", "3"]),
    (["--eigen-smooth", "fullgrad"],
     ["--weights", "NET", "PHOTO", "--eigen-smooth", "--method", "gradcam,fullgrad"]),
    (["--layer", "fullgrad"], ["--weights", "NET", "PHOTO", "--method", "fullgrad", "--layer", "layer4"]),
    (["--save-raw", "separate"], ["--weights", "NET", "PHOTO", "--method", "fullgrad,fem", "--save-raw", "r.npy"]),
    (["--eigen-smooth", "eigencam"], ["--weights", "NET", "PHOTO", "--eigen-smooth", "--method", "eigencam"]),
    (["--weights", "no effect", "--list-methods"], ["--list-methods", "--weights", "NET"]),
    (["--colormap", "'hot'", "viridis"], ["--weights", "NET", "PHOTO", "--colormap", "hot"]),
    (["--alpha", "from 0 to 1", "'1.5'"], ["--weights", "NET", "PHOTO", "--alpha", "1.5"]),
    (["--alpha", "'nan'"], ["--weights", "NET", "PHOTO", "--alpha", "nan"]),
    (["--alpha", "'-1'"], ["--weights", "NET", "PHOTO", "--alpha", "-1"]),
    (["--size", "'0'"], ["--weights", "NET", "PHOTO", "--size", "0"]),
    (["--size", "'64x64'"], ["--weights", "NET", "PHOTO", "--size", "64x64"]),
    (["--size", "32768", "'99999999999'"], ["--weights", "NET", "PHOTO", "--size", "99999999999"]),
    (["--resize", "WIDTHxHEIGHT", "'64x'"], ["--weights", "NET", "PHOTO", "--resize", "64x"]),
    (["--resize", "'x64'"], ["--weights", "NET", "PHOTO", "--resize", "x64"]),
    (["--resize", "'64x64x3'"], ["--weights", "NET", "PHOTO", "--resize", "64x64x3"]),
    (["--threads", "1024", "'two'"], ["--weights", "NET", "PHOTO", "--threads", "two"]),
    (["--mean", "three numbers", "'0.1,0.2'"], ["--weights", "NET", "PHOTO", "--mean", "0.1,0.2"]),
    (["--mean", "'0.1;0.2;0.3'"], ["--weights", "NET", "PHOTO", "--mean", "0.1;0.2;0.3"]),
    (["--mean", "'0.1,0.2,x'"], ["--weights", "NET", "PHOTO", "--mean", "0.1,0.2,x"]),
    (["--mean", "'0.1,0.2,0.3,0.4'"], ["--weights", "NET", "PHOTO", "--mean", "0.1,0.2,0.3,0.4"]),
    (["--mean", "123.675", "255"], ["--weights", "NET", "PHOTO", "--mean", "123.675,116.28,103.53"]),
    (["--std", "above 0"], ["--weights", "NET", "PHOTO", "--std", "0"]),
    (["--repeat", "add --timing"], ["--weights", "NET", "PHOTO", "--repeat", "3"]),
    (["--save-raw", "--layer"], ["--weights", "NET", "PHOTO", "--save-raw", "r.npy", "--layer", "layer3,layer4"]),
    (["--size", "no effect", "--no-crop"],
     ["--weights", "NET", "PHOTO", "--no-crop", "--resize", "50", "--size", "40"]),
    (["--gray", "no effect", "--tensor"], ["--weights", "NET", "--tensor", "t.npy", "--gray"]),
    (["--panel", "no effect", "--tensor"], ["--weights", "NET", "--tensor", "t.npy", "--panel"]),
    (["--sheet", "no effect", "--tensor"], ["--weights", "NET", "--tensor", "t.npy", "--sheet"]),
    (["--average-classes", "--class all"], ["--weights", "NET", "--average-classes", "PHOTO"]),
    (["--aug-smooth", "--average-classes"], ["--weights", "NET", "--average-classes", "--aug-smooth", "--class", "all", "PHOTO"]),
    (["--panel and --sheet", "leave one"], ["--weights", "NET", "--panel", "--sheet", "PHOTO"]),
    (["--aug-smooth", "--sheet", "one --layer"], ["--weights", "NET", "--aug-smooth", "--sheet", "--layer", "a,b", "PHOTO"]),
    (["--colormap", "-o"], ["--weights", "NET", "--tensor", "t.npy", "--colormap", "jet"]),
    (["--tensor", "no picture", "photo.png"], ["--weights", "NET", "--tensor", "t.npy", "photo.png"]),
    (["--list-layers", "no picture", "photo.png"], ["--weights", "NET", "--list-layers", "photo.png"]),
    (["--class", "no effect", "--list-layers"], ["--weights", "NET", "--list-layers", "--class", "3"]),
    (["--resize 50", "--list-layers", "WxH"], ["--weights", "NET", "--list-layers", "--resize", "50"]),
    (["-o", "PNG", "'out.jpg'"], ["--weights", "NET", "PHOTO", "-o", "out.jpg"]),
    (["-o", "folder", "'out.png'"], ["--weights", "NET", "PHOTO", "WIDE", "-o", "out.png"]),
    (["photo_gradcam.png", "separate runs", "-o FOLDER"], ["--weights", "NET", "PHOTO", "ELSEWHERE"]),
    (["--save-map and --save-raw", "'x.npy'"],
     ["--weights", "NET", "PHOTO", "--save-map", "x.npy", "--save-raw", "x.npy"]),
    (["--save-map and --tensor", "'t.npy'"], ["--weights", "NET", "--tensor", "t.npy", "--save-map", "t.npy"]),
    (["of a folder", "add -o FOLDER"], ["--weights", "NET", "FOLDER"]),
    (["-o", "1 picture needs a folder", "'out.png'"], ["--weights", "NET", "FOLDER", "-o", "out.png"]),
    (["--resume", "add --jsonl"], ["--weights", "NET", "FOLDER", "-o", "out", "--resume"]),
    (["--resume", "leave out --save-map"],
     ["--weights", "NET", "FOLDER", "-o", "out", "--jsonl", "r.jsonl", "--resume", "--save-map", "m.npy"]),
    (["--jsonl", "no effect", "--tensor"], ["--weights", "NET", "--tensor", "t.npy", "--jsonl", "r.jsonl"]),
    (["the picture itself"], ["--weights", "NET", "PHOTO", "-o", "PHOTO"]),
])
def test_usage_errors(refuse, files, words, arguments):
    paths = {"NET": files("net.bin"), "PHOTO": files("photo.png"), "WIDE": files("wide.png"),
             "ELSEWHERE": files("elsewhere/photo.png"), "FOLDER": files("elsewhere")}
    refuse(2, [word.replace("NET", paths["NET"]) for word in words], *[paths.get(a, a) for a in arguments])


# ---- refusals: files and what they hold, status 1 ----

@pytest.mark.parametrize("words, arguments", [
    (["no/such.bin", "No such file"], ["--weights", "no/such.bin", "PHOTO"]),
    (["no/such.png", "No such file"], ["--weights", "NET", "no/such.png"]),
    (["FOLDER"], ["--weights", "FOLDER", "PHOTO"]),
    (["PHOTO"], ["--weights", "PHOTO", "PHOTO"]),
    (["NET"], ["--weights", "NET", "NET"]),
    (["LABELS"], ["--weights", "NET", "LABELS"]),
    (["PHOTO"], ["--weights", "NET", "--tensor", "PHOTO"]),
    (["no/such.npy", "No such file"], ["--weights", "NET", "--tensor", "no/such.npy"]),
    (["resnet34"], ["--weights", "NET", "--arch", "resnet34", "PHOTO"]),
    (["no layer 'layer5'", "layer1, layer2, layer3, layer4"], ["--weights", "NET", "PHOTO", "--layer", "layer5"]),
    (["no layer 'layer4.1.conv9'", "layer4.1.conv2"],
     ["--weights", "NET", "PHOTO", "--layer", "layer3,layer4.1.conv9"]),
    (["layer is missing", "'layer3,'"], ["--weights", "NET", "PHOTO", "--layer", "layer3,"]),
    (["layer fc", "layer4.1.relu_1"], ["--weights", "NET", "PHOTO", "--layer", "fc"]),
    (["cam", "layer3", "try gradcam"], ["--weights", "NET", "PHOTO", "--method", "cam", "--layer", "layer3"]),
    (["cam", "alexnet", "try gradcam"], ["--weights", "ZEROS", "PHOTO", "--method", "cam"]),
    (["no class 7", "0 to 6"], ["--weights", "NET", "PHOTO", "--class", "7"]),
    (["no class top8", "top7"], ["--weights", "NET", "PHOTO", "--class", "top8"]),
    (["no class 'strar'", "6 star"], ["--weights", "NET", "PHOTO", "--class", "strar"]),
    (["'disc'", "0 red disc, 1 green disc"], ["--weights", "NET", "PHOTO", "--class", "disc"]),
    (["'square'", "2 square, 3 square", "index"], ["--weights", "NET", "PHOTO", "--class", "square"]),
    (["class is missing"], ["--weights", "NET", "PHOTO", "--class", "star,"]),
    (["no class 'star'", "--labels"], ["--weights", "PLAIN", "PHOTO", "--class", "star"]),
    (["LABELS", "expected 2", "found 7"], ["--weights", "ZEROS", "PHOTO", "--labels", "LABELS"]),
    (["no/labels.txt", "No such file"], ["--weights", "NET", "PHOTO", "--labels", "no/labels.txt"]),
    (["4 channels", "--tensor"], ["--weights", "FOUR", "PHOTO"]),
    (["BATCH", "(N,1,H,W)", "(3,3,50,70)"], ["--weights", "GRAY", "--tensor", "BATCH"]),
    (["too small", "features"], ["--weights", "ZEROS", "PHOTO", "--size", "20"]),
    (["no/such/out.png", "No such file"], ["--weights", "NET", "PHOTO", "-o", "no/such/out.png"]),
    (["no/such/photo_gradcam.png"], ["--weights", "NET", "PHOTO", "-o", "no/such/"]),
    (["LABELS/out.png"], ["--weights", "NET", "PHOTO", "-o", "LABELS/out.png"]),
])
def test_input_errors(refuse, files, words, arguments):
    paths = {"NET": files("net.bin"), "PLAIN": files("plain.bin"), "GRAY": files("gray.bin"), "FOUR": files("four.bin"),
             "ZEROS": files("zeros.bin"), "PHOTO": files("photo.png"), "LABELS": files("labels.txt"),
             "BATCH": files("batch.npy"), "FOLDER": files("")}

    def expand(text):
        for name, path in paths.items():
            text = re.sub(rf"\b{name}\b", path, text)
        return text
    refuse(1, map(expand, words), *map(expand, arguments))
    refuse(1, [], *map(expand, arguments), "--json")


def test_broken_pictures(refuse, files, tmp_path):
    with open(files("photo.png"), "rb") as file:
        whole = file.read()
    for size in (0, 4, 20, len(whole) // 2):
        (tmp_path / "broken.png").write_bytes(whole[:size])
        refuse(1, ["broken.png"], "--weights", files("net.bin"), "broken.png")


def test_broken_weights(refuse, files, tmp_path):
    with open(files("net.bin"), "rb") as file:
        whole = file.read()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "broken.bin").write_bytes(whole[:size])
        refuse(1, ["broken.bin"], "--weights", "broken.bin", files("photo.png"))


@pytest.mark.parametrize("key, value", [
    ("classes", '["a"]'), ("classes", "a,b"), ("mean", "[0.5, 0.5]"), ("mean", "half"), ("std", "[0]"),
    ("std", "[1e999]"), ("resize", "big"), ("resize", "-1"), ("crop", "0"), ("crop", "99999999999"),
])
def test_wrong_metadata(refuse, files, tmp_path, key, value):
    write_weights(tmp_path / "odd.bin", STATE, **{**METADATA, key: value})
    refuse(1, [f"'{key}'"], "--weights", "odd.bin", files("photo.png"))


def test_non_finite_values_are_named(refuse, files, tmp_path):
    x = np.load(files("batch.npy"))
    x[1, 2, 3, 4] = np.inf
    np.save(tmp_path / "x.npy", x)
    refuse(1, ["input", "inf", "(1,2,3,4)"], "--weights", files("net.bin"), "--tensor", "x.npy", "-o", "t.png")
    state = {name: array.copy() for name, array in STATE.items()}
    state["layer3.0.conv2.weight"][1, 2, 0, 1] = np.nan
    write_weights(tmp_path / "nan.bin", state, **METADATA)
    refuse(1, ["layer3.0.conv2.weight", "nan"], "--weights", "nan.bin", files("photo.png"))
    np.save(tmp_path / "x.npy", np.sign(np.load(files("batch.npy"))) * np.float32(3e38))
    refuse(1, ["float32"], "--weights", files("net.bin"), "--tensor", "x.npy")


@pytest.mark.parametrize("shape, words", [
    ((3, 50, 70), ["(N,3,H,W)", "(3,50,70)", "x[None]"]), ((2, 50, 70, 3), ["(2,50,70,3)"]),
    ((0, 3, 50, 70), ["empty"]), ((), ["()"]), ((3, 50, 70, 1, 1), ["x.npy"]),
])
def test_tensors_of_wrong_shape(refuse, files, tmp_path, shape, words):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
    refuse(1, ["x.npy", *words], "--weights", files("net.bin"), "--tensor", "x.npy")


def test_tensor_of_integers(refuse, files, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 50, 70), np.uint8))
    refuse(1, ["x.npy"], "--weights", files("net.bin"), "--tensor", "x.npy")


def test_arrays_of_different_sizes(refuse, files, tmp_path):
    for name in ("photo", "wide"):  # written before it is seen that they differ
        (tmp_path / f"{name}_gradcam.png").touch()
    refuse(1, ["differ in size", "72"], "--weights", files("net.bin"), files("photo.png"), files("wide.png"),
           "--no-crop", "--save-map", "maps.npy")


def test_control_characters_stay_off_the_terminal(refuse, files):
    message = refuse(1, ["a?b?[31m"], "--weights", files("net.bin"), "a\nb\x1b[31m.png")
    assert message.count("\n") == 1


def test_what_was_there_survives_a_failure(refuse, files, tmp_path):
    (tmp_path / "photo_gradcam.png").write_bytes(b"old")
    (tmp_path / "maps.npy").write_bytes(b"old")
    refuse(1, ["no/such.png"], "--weights", files("net.bin"), "no/such.png", "--save-map", "maps.npy")
    assert (tmp_path / "maps.npy").read_bytes() == b"old"
    assert (tmp_path / "photo_gradcam.png").read_bytes() == b"old"


def test_an_interrupt_leaves_whole_files_only(files, tmp_path):
    (tmp_path / "out").mkdir()
    pictures = []
    for i in range(200):
        pictures.append(str(tmp_path / f"p{i}.png"))
        os.link(files("photo.png"), pictures[-1])
    program = subprocess.Popen([CAMRUN, "--weights", files("net.bin"), *pictures, "-o", str(tmp_path / "out")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not os.listdir(tmp_path / "out") and program.poll() is None:
        time.sleep(0.001)
    program.send_signal(signal.SIGINT)
    _, message = program.communicate()
    assert (program.returncode, message) == (-signal.SIGINT, b"")
    for name in os.listdir(tmp_path / "out"):
        assert name.endswith("_gradcam.png")
        Image.open(tmp_path / "out" / name).load()


# ---- what ships ----

def test_shipped_model_and_picture(run):
    model, picture = (os.path.join(ROOT, *path) for path in (("weights", "shapes.bin"), ("cam", "demo", "shapes.png")))
    assert "shapes_gradcam.png" in run("--weights", model, picture)


def test_unknown_instruction_set(refuse, files, monkeypatch):
    monkeypatch.setenv("CAMRUN_ISA", "sse9")
    refuse(1, ["CAMRUN_ISA", "'sse9'"], "--weights", files("net.bin"), files("photo.png"))


def test_every_instruction_set_gives_the_same_answer(run_json, files, monkeypatch):
    best = run_json("--weights", files("net.bin"), files("photo.png"))
    monkeypatch.setenv("CAMRUN_ISA", "portable")
    portable = run_json("--weights", files("net.bin"), files("photo.png"))
    assert portable["isa"] == "portable"
    for a, b in zip(best["images"][0]["top"], portable["images"][0]["top"]):
        assert a["class"] == b["class"] and abs(a["logit"] - b["logit"]) < 1e-3
