"""camrun report: the page it writes, taken apart (test_report_browser.py looks at it in a browser)."""
import json
import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from report_page import CLASSES, NAMES, Page, make_files, picture_of
from test_program import CAMRUN, files as program_files  # noqa: F401 (a fixture)

MARKUP = "<img src=x onerror=alert(1)>&.png"


@pytest.fixture
def folder(tmp_path):
    make_files(tmp_path)
    return tmp_path


def run(folder, *arguments):
    done = subprocess.run([CAMRUN, *map(str, arguments)], cwd=folder, capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    return done.stdout.decode()


def report(folder, *arguments):
    run(folder, "report", "--weights", "net.bin", *arguments)
    return Page(folder / "report.html").root


def test_page_reads_nothing_and_escapes_all(folder):
    page = report(folder, "photo.png", MARKUP, "--class", "0,1,2,3,4,5")
    scripts = page.find("script")
    assert len(scripts) == 1 and "alert" not in scripts[0].text and len(page.find("style")) == 1
    for element in page.all():
        for name, value in element.attributes.items():
            assert name not in ("href", "srcset", "action", "onerror", "onload")
            assert name != "src" or value.startswith("data:image/")
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp", scripts[0].text + page.find("style")[0].text)
    assert page.find("meta")[1].attributes["content"].startswith("default-src 'none'; img-src data:;")
    assert [s.find("h2")[0].text.strip() for s in page.find("section")] == ["photo.png", MARKUP]
    for section in page.find("section"):
        choices = section.find("form")[0].find("span")
        assert [c.text.strip() for c in choices] == [f"{i} {name}" for i, name in enumerate(NAMES)]


def test_numbers_are_camruns(folder):
    page = report(folder, "photo.png")
    image = json.loads(run(folder, "--weights", "net.bin", "photo.png", "--json"))["images"][0]
    section = page.find("section")[0]
    rows = section.find("table")[0].find("tr")[1:]
    assert len(rows) == min(5, CLASSES)
    for row, top in zip(rows, image["top"]):
        assert row.find("th")[0].text == f"{top['class']} {top['name']}"
        percent = f"{100 * top['probability']:.2f}"
        assert [cell.text for cell in row.find("td")[1:]] == [f"{percent} %", f"{top['logit']:.3f}"]
        assert row.find("div")[0].attributes["style"] == f"width: {percent}%"
    assert [c.text.split()[0] for c in section.find("form")[0].find("span")] == [str(t["class"]) for t in image["top"][:3]]
    words = page.find("footer")[0].words()
    for fact in ("resnet18", "net.bin", "shorter side resized to 72", "64×64", "0.5", "0.25", "sum_k max(g_k, 0) A_k"):
        assert fact in words


@pytest.mark.parametrize("method", ["gradcam", "layercam", "fullgrad"])
def test_maps_are_camruns(folder, method):
    """Every map is the one --save-map gives for its class, method and layer, and so is the average."""
    methods, layers, classes = ["gradcam", "layercam", "fullgrad"], ["layer1", "layer3"], ["5", "1"]
    page = report(folder, "photo.png", "--method", ",".join(methods), "--layer", ",".join(layers), "--class", ",".join(classes))
    maps = {img.attributes["data-map"]: img for img in page.find("section")[0].find("img") if "data-map" in img.attributes}
    assert len(maps) == 2 * (3 + 3 + 1)
    m = methods.index(method)
    for k, index in enumerate(classes):
        for i, layer in enumerate([*layers, ",".join(layers)]):
            if method == "fullgrad" and i:
                continue
            layer_option = [] if method == "fullgrad" else ["--layer", layer]
            done = json.loads(run(folder, "--weights", "net.bin", "photo.png", "--class", index, "--method", method,
                                  *layer_option, "--save-map", "map.npy", "--json"))
            img = maps[f"{k} {m}" if method == "fullgrad" else f"{k} {m} {i}"]
            found = np.asarray(picture_of(img.attributes["src"]))
            expected = np.floor(np.minimum(np.load(folder / "map.npy"), 1) * np.float32(255))
            assert found.shape == (64, 64) and np.array_equal(found, expected)
            words = img.attributes["alt"]
            assert f" for {index} {NAMES[int(index)]}" in words
            for raw in done["images"][0]["maps"][0]["layers"]:
                assert f"{raw['layer']} " in words and f"raw map from {raw['min']:.4g} to {raw['max']:.4g}" in words
            one = done["images"][0]["maps"][0]
            assert ("No positive evidence" in img.attributes["data-remark"]) == (not one["positive_evidence"])
            assert (img.attributes["data-remark"] != "") == one["empty"]


def test_photo_and_where_the_map_lies(folder):
    Image.fromarray(np.asarray(Image.open(folder / "photo.png")).repeat(12, 0).repeat(12, 1)).save(folder / "large.png")
    page = report(folder, "photo.png", "large.png", "--no-crop", "--size", "200")
    for section, (w, h), shown in zip(page.find("section"), [(130, 90), (1560, 1080)], [(130, 90), (1024, 709)]):
        photo = picture_of(section.find("img")[0].attributes["src"])
        assert photo.format == "JPEG" and photo.size == shown and f"{w}×{h}, input" in section.words()
        assert "left: 0.0000%; top: 0.0000%; width: 100.0000%" in section.find("canvas")[0].attributes["style"]
        sizes = {picture_of(img.attributes["src"]).size for img in section.find("img") if "data-map" in img.attributes}
        assert sizes == {(160, 111)}
    page = report(folder, "photo.png")  # 130x90 to 104x72, of which the middle 64x64
    style = page.find("section")[0].find("canvas")[0].attributes["style"]
    assert style == f"left: {100 * 20 / 104:.4f}%; top: {100 * 4 / 72:.4f}%; width: {100 * 64 / 104:.4f}%; height: {100 * 64 / 72:.4f}%"


def test_first_choices(folder):
    page = report(folder, "photo.png", "--alpha", "0.3", "--colormap", "turbo", "--method", "fullgrad")
    form = page.find("form")[0]
    assert form.find("input", type="range")[0].attributes["value"] == "30"
    options = form.find("option")
    assert [o.text for o in options][:4] == ["jet", "viridis", "turbo", "grey"]
    assert [o.text for o in options if "selected" in o.attributes] == ["turbo"]
    assert [s.text for s in form.find("span")][-2:] == ["all layers together", "0  1"]


def test_smoothed_maps(folder):
    page = report(folder, "photo.png", "--aug-smooth", "--layer", "layer1,layer3", "--method", "gradcam", "--class", "5")
    maps = [img for img in page.find("img") if "data-map" in img.attributes]
    assert [img.attributes["data-map"] for img in maps] == ["0 0"]
    run(folder, "--weights", "net.bin", "photo.png", "--class", "5", "--aug-smooth", "--layer", "layer1,layer3", "--save-map", "m.npy")
    expected = np.floor(np.minimum(np.load(folder / "m.npy"), 1) * np.float32(255))
    assert np.array_equal(np.asarray(picture_of(maps[0].attributes["src"])), expected)


def test_empty_maps_are_said_to_be_so(folder, program_files):  # noqa: F811
    run(folder, "report", "--weights", program_files("zeros.bin"), "photo.png", "--method", "gradcam")
    maps = [img for img in Page(folder / "report.html").root.find("img") if "data-map" in img.attributes]
    assert len(maps) == 2 and all("No positive evidence" in img.attributes["data-remark"] for img in maps)


@pytest.mark.parametrize("status, words, arguments", [
    (2, ["no picture given"], []),
    (2, ["-o", ".html", "out.png"], ["photo.png", "-o", "out.png"]),
    (2, ["--layer has no effect", "fullgrad"], ["photo.png", "--method", "fullgrad", "--layer", "layer1"]),
    (2, ["--seed has no effect"], ["photo.png", "--seed", "3"]),
    (2, ["unknown option"], ["photo.png", "--panel"]),
    (1, ["no/such.png", "No such file"], ["no/such.png"]),
    (1, ["net.bin"], ["net.bin"]),
    (1, ["no/such/r.html"], ["photo.png", "-o", "no/such/r.html"]),
    (1, ["no class 'cat'"], ["photo.png", "--class", "cat"]),
    (1, ["layer fc"], ["photo.png", "--layer", "fc"]),
])
def test_errors_leave_nothing(folder, status, words, arguments):
    before = sorted(os.listdir(folder))
    done = subprocess.run([CAMRUN, "report", "--weights", "net.bin", *arguments], cwd=folder, capture_output=True, timeout=300)
    message = done.stderr.decode()
    assert done.returncode == status and re.fullmatch(r"camrun report: [^\n]+\n", message), message
    assert all(word in message for word in words), message
    assert sorted(os.listdir(folder)) == before


def test_help_is_one_screen(folder):
    lines = run(folder, "report", "--help").splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100


def test_broken_pictures_are_passed_over(folder):
    def call(*pictures):
        done = subprocess.run([CAMRUN, "report", "--weights", "net.bin", *pictures], cwd=folder, capture_output=True, text=True,
                              timeout=300)
        return done.returncode, done.stdout, done.stderr.splitlines()
    status, text, messages = call("no/such.png", "photo.png", "net.bin", MARKUP)
    assert status == 3 and text == "report of 2 pictures written to report.html\n"
    assert messages[0].startswith("camrun report: no/such.png: cannot open") and messages[1].startswith("camrun report: net.bin: not a")
    assert messages[2:] == ["camrun report: 2 of 4 pictures failed"]
    both = (folder / "report.html").read_bytes()
    assert call("photo.png", MARKUP)[0] == 0 and (folder / "report.html").read_bytes() == both
    os.remove(folder / "report.html")
    before = sorted(os.listdir(folder))
    status, text, messages = call("no/such.png", "net.bin")
    assert status == 1 and text == "" and "all 2 pictures failed" in messages[2] and sorted(os.listdir(folder)) == before


def test_a_signal_leaves_nothing(folder):
    (folder / "many").mkdir()
    for i in range(200):
        os.link(folder / "photo.png", folder / "many" / f"{i}.png")
    before = sorted(os.listdir(folder))
    running = subprocess.Popen([CAMRUN, "report", "--weights", "net.bin", "many"], cwd=folder, stdout=subprocess.PIPE)
    while not any(name.endswith(".tmp") for name in os.listdir(folder)):
        time.sleep(0.01)
        assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=300)
    assert running.returncode == -signal.SIGTERM and sorted(os.listdir(folder)) == before
