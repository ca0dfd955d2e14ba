"""camrun report in a headless Chromium (scripts/install_packages.sh browser): what a reader sees and can do."""
import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from report_page import NAMES, make_files
from test_program import CAMRUN

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: scripts/install_packages.sh browser")
if not shutil.which("chromium") or not shutil.which("chromedriver"):
    pytest.skip("no chromium: scripts/install_packages.sh browser", allow_module_level=True)

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

LAYERS = ["layer1", "layer3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    make_files(folder)
    subprocess.run([CAMRUN, "report", "--weights", "net.bin", "photo.png", "<img src=x onerror=alert(1)>&.png", "--class",
                    "5,1", "--method", "gradcam,layercam,fullgrad", "--layer", ",".join(LAYERS)], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    return folder


def start(*flags):
    options = webdriver.ChromeOptions()
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1300,1200", *flags):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


@pytest.fixture(scope="module")
def browser():
    browser = start()
    yield browser
    browser.quit()


def opened(browser, folder):
    browser.get(f"file://{folder}/report.html")
    wait(browser, "document.body.dataset.ready == 'yes'")
    return browser


def wait(browser, condition):
    assert browser.execute_async_script(f"""
        const done = arguments[0], end = Date.now() + 60000;
        (function look() {{ const ok = {condition}; if (ok || Date.now() > end) done(ok); else setTimeout(look, 20); }})()""")


@pytest.fixture
def page(browser, folder):
    browser.set_script_timeout(120)
    yield opened(browser, folder)
    assert browser.get_log("browser") == []  # no script failed, nothing was refused


def choose(page, name, value, picture=None):
    where = "document.querySelector('.controls')" if picture is None else f"document.querySelectorAll('.picture')[{picture}]"
    page.execute_script(f"{where}.querySelector('input[name={name}][value=\"{value}\"]').click()")


def captions(page):
    return [c.text for c in page.find_elements("css selector", "figcaption")]


def pixels(page, picture=0):
    """What the picture's map looks like, (h, w, 3)."""
    w, h, data = page.execute_script(f"""
        const canvas = document.querySelectorAll('.picture canvas')[{picture}];
        const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.width, canvas.height, Array.from(all.data)];""")
    return np.reshape(data, (h, w, 4))[..., :3]


def test_begins_with_the_first_of_all(page):
    first, second = captions(page)
    assert first.startswith("Grad-CAM for 5 ring at layer1.1.relu_1 (16×16), raw map from ")
    assert second.startswith("Grad-CAM for 5 ring at layer1.1.relu_1")
    assert "sum_k w_k A_k, w_k = mean(g_k)" in page.find_element("css selector", ".formula").text
    assert page.execute_script("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:'))") == []


def test_names_are_text(page):
    assert page.find_elements("css selector", "h2")[1].text.startswith("<img src=x onerror=alert(1)>&.png")
    spans = page.find_elements("css selector", ".picture form span")
    assert [s.text.rsplit(" ", 2)[0] for s in spans[:2]] == [f"5 {NAMES[5]}", f"1 {NAMES[1]}"]
    assert len(page.find_elements("css selector", "script")) == 1


def test_switches(page):
    seen = [pixels(page)]
    choose(page, "class", 1, picture=0)
    wait(page, "document.querySelector('figcaption').textContent.includes('for 1 <script>')")
    assert "for 5 ring" in captions(page)[1]  # each picture has a class of its own
    seen.append(pixels(page))
    choose(page, "method", 1)
    wait(page, "Array.from(document.querySelectorAll('figcaption')).every(c => c.textContent.startsWith('LayerCAM'))")
    assert "max(g_k, 0)" in page.find_element("css selector", ".formula").text
    seen.append(pixels(page))
    choose(page, "layer", 1)
    wait(page, "document.querySelector('figcaption').textContent.includes(' at layer3.1.relu_1 (4×4)')")
    seen.append(pixels(page))
    choose(page, "layer", 2)
    wait(page, "document.querySelector('figcaption').textContent.includes('average of 2 layers')")
    seen.append(pixels(page))
    choose(page, "method", 2)
    wait(page, "document.querySelector('figcaption').textContent.startsWith('FullGrad')")
    seen.append(pixels(page))
    assert len({array.tobytes() for array in seen}) == len(seen)
    choose(page, "layer", 0)  # FullGrad's map is of all layers
    choose(page, "class", 1, picture=0)
    assert np.array_equal(pixels(page), seen[-1])


def test_colours(page):
    page.execute_script("""const s = document.querySelector('select'); s.selectedIndex = 3;
                           s.dispatchEvent(new Event('input', {bubbles: true}))""")
    first = "Array.from(document.querySelector('.picture canvas').getContext('2d').getImageData(0, 0, 1, 1).data)"
    wait(page, f"new Set({first}.slice(0, 3)).size == 1")
    grey = pixels(page)
    assert (grey == grey[..., :1]).all() and grey.min() == 0 and grey.max() >= 250
    scale = page.execute_script("return Array.from(document.querySelector('.scale canvas').getContext('2d').getImageData(0,0,256,1).data)")
    assert [scale[4 * i] for i in (0, 100, 255)] == [0, 100, 255]


def test_keyboard(page):
    """Tab and the arrows reach everything: radio buttons and the slider."""
    page.execute_script("document.activeElement.blur()")
    keys = webdriver.ActionChains(page)
    keys.send_keys(Keys.TAB, Keys.ARROW_RIGHT).perform()
    wait(page, "document.querySelector('figcaption').textContent.startsWith('LayerCAM')")
    webdriver.ActionChains(page).send_keys(Keys.TAB, Keys.ARROW_RIGHT).perform()
    wait(page, "document.querySelector('figcaption').textContent.includes('layer3')")
    webdriver.ActionChains(page).send_keys(Keys.TAB, Keys.END).perform()
    assert page.find_element("css selector", "output").text == "100 %"
    assert page.execute_script("return getComputedStyle(document.querySelector('.stack canvas')).opacity") == "1"
    webdriver.ActionChains(page).send_keys(Keys.HOME, Keys.ARROW_RIGHT).perform()
    assert page.execute_script("return getComputedStyle(document.querySelector('.stack canvas')).opacity") == "0.01"


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_looks_like_camruns_overlay(page, folder, alpha):
    """The picture on the screen is the overlay that camrun draws: same place, same colours."""
    subprocess.run([CAMRUN, "--weights", "net.bin", "photo.png", "--class", "5", "--layer", "layer1", "--alpha", str(alpha),
                    "-o", "overlay.png"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    page.execute_script(f"""const r = document.querySelector('input[type=range]'); r.value = {100 * alpha};
                            r.dispatchEvent(new Event('input', {{bubbles: true}}));
                            document.querySelector('.controls').style.position = 'static'""")
    stack = page.find_element("css selector", ".stack")
    screen = Image.open(io.BytesIO(stack.screenshot_as_png)).convert("RGB")
    expected = Image.open(folder / "overlay.png").resize(screen.size, Image.Resampling.BILINEAR)
    distance = np.abs(np.asarray(screen, float) - np.asarray(expected, float))
    assert distance.mean() < 8, distance.mean()
    moved = np.abs(np.roll(np.asarray(screen, float), 20, 1) - np.asarray(expected, float)).mean()
    assert moved > 3 * distance.mean()


@pytest.mark.parametrize("width", [380, 1300])
@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_wide_and_narrow(folder, width, dark):
    browser = start(f"--window-size={width},1000", *(["--blink-settings=preferredColorScheme=0"] if dark else []))
    try:
        page = opened(browser, folder)
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(v) for v in ground[4:-1].split(", "))
        assert brightness < 100 if dark else brightness > 700
        photo, side = (page.execute_script(f"return document.querySelector('{s}').getBoundingClientRect().toJSON()")
                       for s in ("figure", ".picture form"))
        assert side["left"] > photo["right"] if width == 1300 else side["top"] >= photo["bottom"]
    finally:
        browser.quit()
