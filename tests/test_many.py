"""camrun with many pictures, as a user runs it: folders, patterns and lists, files in the same sub-folders, results as lines of
JSON, broken pictures, interrupted runs and --resume, memory that does not grow.

Needs numpy and Pillow. CAMRUN in the environment names another binary."""
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

from networks import resnet18, write_weights

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CAMRUN = os.path.abspath(os.environ.get("CAMRUN", os.path.join(ROOT, "camrun")))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
NET = {"arch": "resnet18", "resize": "72", "crop": "64", "mean": "[0.5, 0.4, 0.3]", "std": "[0.25, 0.2, 0.3]"}


def draw(path, width, height, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    small.resize((width, height), Image.BICUBIC).save(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """net.bin and other.bin, and pets/: pictures, two of them broken, and a text."""
    folder = tmp_path_factory.mktemp("many")
    write_weights(folder / "net.bin", resnet18(5, seed=4), **NET)
    write_weights(folder / "other.bin", resnet18(5, seed=5), **NET)
    for i in range(12):
        draw(folder / "pets" / ("cat", "dog", "dog/puppy")[i % 3] / f"{i // 3}.png", 60 + i % 4, 50, i)
    draw(folder / "pets" / "cat" / "0.jpg", 60, 50, 20)
    (folder / "pets" / "cat" / "notes.txt").write_text("no picture")
    (folder / "pets" / "dog" / "broken.png").write_bytes((folder / "pets" / "dog" / "0.png").read_bytes()[:200])
    (folder / "pets" / "dog" / "gone.png").symlink_to("nowhere.png")
    return folder


GOOD = sorted([f"cat/{i}" for i in (1, 2, 3)] + ["cat/0.jpg", "cat/0.png"] + [f"dog/{i}" for i in range(4)] +
              [f"dog/puppy/{i}" for i in range(4)])


@pytest.fixture
def camrun(world, tmp_path):
    """Runs camrun in the world's folder; OUT becomes a folder that is empty at first. Returns the text and the messages."""
    def call(status, *arguments, net="net.bin"):
        command = [CAMRUN, "--weights", net, *[str(a).replace("OUT", str(tmp_path)) for a in arguments]]
        done = subprocess.run(command, cwd=world, capture_output=True, text=True, timeout=300)
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr.splitlines()
    return call


def tree(folder):
    """The pictures below a folder, without _gradcam.png."""
    return sorted(str(p.relative_to(folder)).removesuffix("_gradcam.png") for p in folder.rglob("*") if p.is_file())


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}


# ---- what is explained ----

def test_a_folder_is_mirrored(camrun, tmp_path):
    text, messages = camrun(3, "pets", "-o", "OUT/maps")
    assert tree(tmp_path / "maps") == GOOD
    assert len(text.splitlines()) == 14 and re.match(r"pets/cat/0\.jpg  \d+\.\d %  class \d\n", text)
    assert re.search(r"^13 of 15 pictures explained in \d+ s \(.* a second\), 2 failed$", text, re.MULTILINE)
    assert messages[0].startswith("camrun: pets/dog/broken.png: ") and "gone.png: cannot open" in messages[1]
    assert messages[2:] == ["camrun: 2 of 15 pictures failed"]


@pytest.mark.parametrize("arguments, expected", [
    (["pets/*/1.png"], ["cat/1", "dog/1"]),
    (["pets/**/1.png"], ["cat/1", "dog/1", "dog/puppy/1"]),
    (["pets/dog/puppy"], ["0", "1", "2", "3"]),
    (["pets/cat/1.png", "pets/dog/puppy/1.png"], ["cat/1", "dog/puppy/1"]),
    (["pets/cat/1.png", "pets/cat/2.png", "pets/cat/1.png"], ["1", "2"]),
    (["@OUT/list.txt"], ["cat/3", "dog/puppy/0", "dog/puppy/1", "dog/puppy/2", "dog/puppy/3"]),
    (["pets/dog/2.png", "--list", "OUT/list.txt"],
     ["cat/3", "dog/2", "dog/puppy/0", "dog/puppy/1", "dog/puppy/2", "dog/puppy/3"]),
])
def test_what_stands_for_pictures(camrun, tmp_path, arguments, expected):
    (tmp_path / "list.txt").write_text("pets/cat/3.png\npets/dog/puppy\n")
    camrun(0, *arguments, "-o", "OUT/maps")
    assert tree(tmp_path / "maps") == expected


def test_a_list_on_standard_input(world, tmp_path):
    done = subprocess.run([CAMRUN, "--weights", "net.bin", "@-", "-o", str(tmp_path)], cwd=world, text=True,
                          input="pets/cat/1.png\npets/dog/1.png\n", capture_output=True, timeout=60)
    assert done.returncode == 0 and tree(tmp_path) == ["cat/1", "dog/1"]


def test_each_picture_is_as_alone(camrun, world, tmp_path):
    """Whatever runs beside it, and whatever input came before it."""
    camrun(3, "pets", "-o", "OUT/maps", "--no-crop", "--jsonl", "OUT/r.jsonl")
    for line in lines(tmp_path / "r.jsonl"):
        if "error" not in line:
            text, _ = camrun(0, line["source"], "-o", "OUT/one.png", "--no-crop", "--json")
            alone, = json.loads(text)["images"]
            assert (tmp_path / "one.png").read_bytes() == open(line["pictures"][0], "rb").read()
            assert alone["top"] == line["top"] and alone["input"] == line["input"]


@pytest.mark.parametrize("words, arguments", [
    (["'pets/*.gif'"], ["pets/*.gif", "-o", "OUT"]),
    (["pets/cat", "folder of the pictures"], ["pets/cat", "-o", "pets/cat"]),
    (["no/list: cannot open"], ["@no/list", "-o", "OUT"]),
    (["OUT: no pictures", ".png .jpg"], ["OUT", "-o", "OUT/maps"]),
    (["all 2 pictures failed"], ["pets/dog/gone.png", "pets/dog/broken.png", "-o", "OUT"]),
    (["no layer 'layer7'"], ["pets", "-o", "OUT", "--layer", "layer7"]),
    (["no/such/r.jsonl: cannot write"], ["pets", "-o", "OUT", "--jsonl", "no/such/r.jsonl"]),
])
def test_nothing_to_do(camrun, tmp_path, words, arguments):
    text, messages = camrun(1, *arguments)
    assert all(w.replace("OUT", str(tmp_path)) in messages[-1] for w in words) and tree(tmp_path) == []


@pytest.mark.parametrize("command, kinds, shape", [
    (["features", "--layer", "layer1"], ["layer1.1.relu_1"], (8, 16, 16)),
    (["saliency", "--method", "guided,vanilla", "--class", "0,1"], ["guided_0", "guided_1", "vanilla_0", "vanilla_1"],
     (2, 2, 3, 64, 64)),
    (["dream", "--layer", "layer2", "--steps", "1", "--octaves", "1"], ["dream"], None),
])
def test_other_commands_mirror_a_folder(world, tmp_path, command, kinds, shape):
    """What each makes of a picture is what it makes of it alone; arrays have a row for each that worked."""
    def call(status, *arguments):
        done = subprocess.run([CAMRUN, *command, "--weights", "net.bin", *map(str, arguments)], cwd=world, capture_output=True,
                              text=True, timeout=300)
        assert done.returncode == status, done.stderr
        return done.stderr.splitlines()
    raw = lambda name: ["--save-raw", tmp_path / name] if shape else []
    name = f"camrun {command[0]}: "
    messages = call(3, "pets", "-o", tmp_path / "all", *raw("all.npy"))
    assert messages[0].startswith(name + "pets/dog/broken.png: ") and "gone.png: cannot open" in messages[1]
    assert messages[2:] == [name + "2 of 15 pictures failed"]
    assert set(contents(tmp_path / "all")) == {f"{stem}_{kind}.png" for stem in GOOD for kind in kinds}
    call(0, "pets/dog/1.png", "-o", f"{tmp_path}/", *raw("one.npy"))
    for kind in kinds:
        assert (tmp_path / f"1_{kind}.png").read_bytes() == (tmp_path / "all" / "dog" / f"1_{kind}.png").read_bytes()
    if shape:
        rows, one = np.load(tmp_path / "all.npy"), np.load(tmp_path / "one.npy")
        assert rows.shape == (13, *shape) and np.array_equal(rows[GOOD.index("dog/1")], one)
    assert "all 2 pictures failed" in call(1, "pets/dog/gone.png", "pets/dog/broken.png", "-o", tmp_path / "no")[2]
    assert "add -o FOLDER" in call(2, "pets")[0]


def test_output_inside_of_the_folder_is_no_input(camrun, world):
    camrun(3, "pets", "-o", "pets/maps")
    text, _ = camrun(3, "pets", "-o", "pets/maps")
    assert "13 of 15 pictures" in text
    subprocess.run(["rm", "-r", str(world / "pets" / "maps")], check=True)


def test_arrays_have_a_row_for_each_picture_that_worked(camrun, tmp_path):
    camrun(3, "pets/dog", "-o", "OUT/maps", "--save-map", "OUT/map.npy", "--save-logits", "OUT/logits.npy", "--method",
           "gradcam,fem", "--jsonl", "OUT/r.jsonl")
    good = [line for line in lines(tmp_path / "r.jsonl") if "error" not in line]
    maps, logits = np.load(tmp_path / "map.npy"), np.load(tmp_path / "logits.npy")
    assert maps.shape == (8, 2, 64, 64) and maps.dtype == np.float32 and logits.shape == (8, 5)
    for line, row in zip(good, logits):
        assert np.allclose([top["logit"] for top in line["top"]], sorted(row, reverse=True), rtol=1e-6)


# ---- results ----

def test_lines_and_manifest(camrun, world, tmp_path):
    camrun(3, "pets", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl", "--method", "gradcam,layercam", "--class", "1,2")
    found = lines(tmp_path / "r.jsonl")
    assert len(found) == 15 and [line["source"] for line in found if "error" in line] == ["pets/dog/broken.png",
                                                                                          "pets/dog/gone.png"]
    first = found[0]
    assert first["source"] == "pets/cat/0.jpg" and first["bytes"] == (world / "pets" / "cat" / "0.jpg").stat().st_size
    assert [os.path.basename(p) for p in first["pictures"]] == [
        f"0.jpg_{m}_{c}.png" for c in (1, 2) for m in ("gradcam", "layercam")]
    assert first["pictures"] == [m["picture"] for m in first["maps"]] and all(map(os.path.exists, first["pictures"]))
    assert not any("_ms" in key for key in first)
    manifest = json.loads((tmp_path / "r.manifest.json").read_text())
    assert manifest["settings"]["methods"] == ["gradcam", "layercam"] and manifest["settings"]["classes"] == ["1,2"]
    assert (manifest["pictures"], manifest["done"], manifest["failed"], manifest["complete"]) == (15, 13, 2, True)
    assert re.fullmatch("[0-9a-f]{16}", manifest["settings"]["weights_fingerprint"])
    assert manifest["results"] == str(tmp_path / "r.jsonl") and manifest["settings"]["arch"] == "resnet18"


def test_json_of_many(camrun):
    text, _ = camrun(3, "pets", "-o", "OUT", "--json")
    report = json.loads(text)
    assert len(report["images"]) == 15 and sum("error" in image for image in report["images"]) == 2
    assert (report["pictures"], report["done"], report["failed"], report["done_before"]) == (15, 13, 2, 0)


def test_results_are_not_overwritten(camrun, tmp_path):
    camrun(0, "pets/cat", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl")
    before = (tmp_path / "r.jsonl").read_bytes()
    _, messages = camrun(1, "pets/cat", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl")
    assert "add --resume" in messages[0] and (tmp_path / "r.jsonl").read_bytes() == before


@pytest.mark.parametrize("words, net, arguments", [
    (["expected alpha 0.5", "0.25"], "net.bin", ["--alpha", "0.25"]),
    (["expected methods \"gradcam\"", "\"layercam\""], "net.bin", ["--method", "layercam"]),
    (["expected resize 72", "45"], "net.bin", ["--size", "40"]),
    (["expected weights_fingerprint"], "other.bin", []),
])
def test_other_settings_are_refused(camrun, tmp_path, words, net, arguments):
    camrun(0, "pets/cat", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl")
    before = (tmp_path / "r.jsonl").read_bytes()
    _, messages = camrun(1, "pets/cat", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl", "--resume", *arguments, net=net)
    assert "r.manifest.json: --resume" in messages[0] and all(word in messages[0] for word in words), messages
    assert (tmp_path / "r.jsonl").read_bytes() == before


def test_what_is_no_result_is_refused(camrun, tmp_path):
    camrun(0, "pets/cat", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl")
    whole = (tmp_path / "r.jsonl").read_text()
    (tmp_path / "r.jsonl").write_text(whole + "{\"source\": 3}\n")
    _, messages = camrun(1, "pets/cat", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl", "--resume")
    assert "r.jsonl: line 6" in messages[0]
    (tmp_path / "r.manifest.json").unlink()
    _, messages = camrun(1, "pets/cat", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl", "--resume")
    assert "r.manifest.json: cannot open" in messages[0]


# ---- resuming ----

RUN = ["pets", "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl"]


def test_resume_does_what_is_missing(camrun, tmp_path):
    camrun(3, *RUN)
    maps, whole = contents(tmp_path / "maps"), lines(tmp_path / "r.jsonl")
    (tmp_path / "maps" / "cat" / "1_gradcam.png").unlink()
    (tmp_path / "maps" / "dog" / "0_gradcam.png.999999999-0.tmp").write_text("left behind by one that was killed")
    text, _ = camrun(3, *RUN, "--resume")
    assert "1 of 15 pictures explained" in text and "2 failed, 12 were done before" in text
    assert contents(tmp_path / "maps") == maps
    assert sorted(map(str, lines(tmp_path / "r.jsonl"))) == sorted(map(str, whole))
    with open(tmp_path / "r.jsonl", "r+b") as file:  # as a kill in the middle of writing leaves it
        file.truncate(file.seek(0, 2) - 30)
    camrun(3, *RUN, "--resume")
    assert sorted(map(str, lines(tmp_path / "r.jsonl"))) == sorted(map(str, whole))


def test_resume_takes_new_and_changed_pictures(camrun, tmp_path):
    draw(tmp_path / "set" / "a.png", 40, 40, 1)
    command = [str(tmp_path / "set"), "-o", "OUT/maps", "--jsonl", "OUT/r.jsonl", "--resume"]
    camrun(0, *command)
    draw(tmp_path / "set" / "b.png", 40, 40, 2)
    assert "1 of 2 pictures explained" in camrun(0, *command)[0]
    draw(tmp_path / "set" / "a.png", 80, 40, 3)
    assert "1 of 2 pictures explained" in camrun(0, *command)[0]
    assert "0 of 2 pictures explained" in camrun(0, *command)[0]
    assert sorted(line["width"] for line in lines(tmp_path / "r.jsonl")) == [40, 80]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed_is_as_never_stopped(world, tmp_path, number):
    def command(name):
        return [CAMRUN, "--weights", "net.bin", str(tmp_path / "set"), "-o", str(tmp_path / name / "maps"), "--jsonl",
                str(tmp_path / name / "r.jsonl")]
    for i in range(40):
        draw(tmp_path / "set" / str(i % 3) / f"{i}.png", 200, 150, i)
    for name in ("whole", "torn"):
        (tmp_path / name).mkdir()
    subprocess.run(command("whole"), cwd=world, check=True, capture_output=True, timeout=300)
    program = subprocess.Popen(command("torn"), cwd=world, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    results = tmp_path / "torn" / "r.jsonl"
    while program.poll() is None and not (results.exists() and results.stat().st_size):
        time.sleep(0.001)
    program.send_signal(number)
    text, message = program.communicate(timeout=60)
    assert program.returncode == -number and message == b""
    before = len(lines(results)) if number == signal.SIGINT else None
    if number == signal.SIGINT:
        manifest = json.loads((tmp_path / "torn" / "r.manifest.json").read_text())
        assert manifest["done"] == before < 40 and not manifest["complete"]
        assert f"{40 - before} are left" in text.decode() and len(contents(tmp_path / "torn" / "maps")) == before
    resumed = subprocess.run([*command("torn"), "--resume"], cwd=world, check=True, capture_output=True, timeout=300)
    assert b"were done before" in resumed.stdout
    assert tree(tmp_path / "torn" / "maps") == tree(tmp_path / "whole" / "maps")
    assert contents(tmp_path / "torn" / "maps") == contents(tmp_path / "whole" / "maps")
    assert results.read_text().replace("/torn/", "/whole/") == (tmp_path / "whole" / "r.jsonl").read_text()


# ---- on a terminal, and at length ----

def test_progress_is_for_terminals(world, tmp_path):
    main, other = pty.openpty()
    command = [CAMRUN, "--weights", "net.bin", "pets", "-o", str(tmp_path), "--method", "ablationcam"]
    done = subprocess.run(command, cwd=world, stdout=other, stderr=other, timeout=120)
    os.close(other)
    said = b""
    try:
        while piece := os.read(main, 65536):
            said += piece
    except OSError:
        pass
    os.close(main)
    shown = said.decode().replace("\r\n", "\n")
    assert done.returncode == 3
    assert re.search(r"\r\x1b\[K\[=* *\] \d+/15", shown) and "pets/cat/1.png  " not in shown
    assert all(len(line) < 80 for line in re.findall(r"\r\x1b\[K(\[[^\r\n]*)", shown))
    assert "13 of 15 pictures explained" in shown and "pets/dog/broken.png: " in shown


def test_memory_does_not_grow(world, tmp_path):
    """With 20 pictures and with 400 of many sizes: the difference is what their names take."""
    def peak(n):
        for i in range(n):
            draw(tmp_path / str(n) / f"{i}.ppm", 90 + i % 40, 120 - i % 30, i)
        command = [CAMRUN, "--weights", "net.bin", str(tmp_path / str(n)), "-o", str(tmp_path / "maps"), "--json",
                   "--save-map", str(tmp_path / "map.npy"), "--jsonl", str(tmp_path / f"{n}.jsonl")]
        done = subprocess.run(command, cwd=world, check=True, capture_output=True, timeout=300)
        return json.loads(done.stdout)["peak_memory_bytes"]
    assert peak(400) - peak(20) < 1 << 20
