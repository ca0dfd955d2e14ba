"""Pictures of simple shapes on textured, cluttered grounds, made of nothing but random numbers: what the small model
that ships with camrun learns from. Needs numpy and Pillow.

A scene is drawn back to front: a ground, clutter of no class (blobs, bars, scribbles), the objects, light and noise.
Colours are float arrays (H, W, 3) in [0, 1]; points are (x, y) in pixels with y downwards."""
import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ["arrow", "circle", "crescent", "cross", "flower", "heart", "ring", "square", "star", "triangle"]
OVERSAMPLING = 3  # masks are drawn this much larger and averaged down: antialiased edges


# ---- outlines: polygons about the origin, no point farther than 1; the second, where there is one, is cut out ----

def polar(radius, angle):
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1)


def regular(corners):
    return polar(np.ones(corners), np.arange(corners) * 2 * np.pi / corners)


def heart():
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2.5], axis=1) / 17


def outlines(name, rng):
    circle = regular(72)
    angle = np.linspace(0, 2 * np.pi, 144, endpoint=False)
    if name == "arrow":
        shaft, head, neck = rng.uniform(0.13, 0.24), rng.uniform(0.5, 0.68), rng.uniform(-0.3, 0.05)
        return [np.array([(0, -1), (head, neck), (shaft, neck), (shaft, 0.95), (-shaft, 0.95), (-shaft, neck),
                          (-head, neck)])]
    if name == "circle":
        return [circle]
    if name == "crescent":
        return [circle, circle * rng.uniform(0.78, 0.92) + [rng.uniform(0.42, 0.55), 0]]
    if name == "cross":
        a = rng.uniform(0.2, 0.33)
        return [np.array([(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a),
                          (-1, -a), (-a, -a)]) * 0.95]
    if name == "flower":
        petals = rng.integers(5, 9)
        depth = rng.uniform(0.38, 0.52)
        return [polar(1 - depth + depth * np.abs(np.cos(petals * angle / 2)), angle)]
    if name == "heart":
        return [heart()]
    if name == "ring":
        return [circle, circle * rng.uniform(0.5, 0.7)]
    if name == "square":
        return [regular(4)]
    if name == "star":
        radius = np.where(np.arange(10) % 2 == 0, 1, rng.uniform(0.36, 0.48))
        return [polar(radius, np.arange(10) * np.pi / 5)]
    if name == "triangle":
        return [regular(3) * [1, rng.uniform(0.85, 1)]]
    if name == "blob":  # of no class: a circle bent by a few waves
        radius = np.ones_like(angle)
        for wave in range(2, 6):
            radius += rng.normal(0, 0.55 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
        radius = np.clip(radius, 0.25, None)
        return [polar(radius / radius.max(), angle)]
    if name == "bar":  # of no class
        a = rng.uniform(0.05, 0.14)
        return [np.array([(-a, -1), (a, -1), (a, 1), (-a, 1)])]
    raise ValueError(name)


def fill_mask(height, width, polygons):
    """Coverage (H, W) in [0, 1] of the first polygon minus the second."""
    canvas = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for polygon, ink in zip(polygons, (255, 0)):
        draw.polygon([tuple(point) for point in polygon * OVERSAMPLING], fill=ink)
    return np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.float32) / 255


def blur(image, radius):
    """Gaussian blur of an array (H, W) in [0, 1]."""
    picture = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


# ---- colours and textures ----

def random_colour(rng):
    saturation = rng.beta(2, 1.2)
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.15, 1)), dtype=np.float32)


def colour_unlike(rng, other):
    """A colour that stands out from the other."""
    best = random_colour(rng)
    for _ in range(8):
        if np.abs(best - other).max() > 0.35:
            break
        candidate = random_colour(rng)
        if np.abs(candidate - other).max() > np.abs(best - other).max():
            best = candidate
    return best


def smooth_noise(rng, height, width, cells):
    """Values about [-1, 1] that vary over 1/cells of the longer side."""
    rows, columns = (max(2, round(cells * side / max(height, width)) + 1) for side in (height, width))
    grid = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(grid.resize((width, height), Image.BICUBIC))


def clouds(rng, height, width, cells):
    """Smooth noise in four octaves, about [-1, 1]."""
    return sum(smooth_noise(rng, height, width, cells * 2 ** octave) / 2 ** octave for octave in range(4)) / 1.5


def waves(rng, height, width, period):
    """Stripes across the picture, bent a little, in [-1, 1]."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    direction = rng.uniform(0, np.pi)
    phase = (x * np.cos(direction) + y * np.sin(direction)) * 2 * np.pi / period
    return np.sin(phase + rng.uniform(0, 3) * smooth_noise(rng, height, width, 3))


def texture(rng, height, width, scale):
    kind = rng.integers(4)
    if kind == 0:
        return clouds(rng, height, width, rng.uniform(2, 8))
    if kind == 1:
        return waves(rng, height, width, scale * rng.uniform(0.06, 0.5))
    if kind == 2:  # grain, drawn out along one side
        grain = smooth_noise(rng, height, width, scale / rng.uniform(1.5, 4))
        return 0.6 * grain + 0.6 * clouds(rng, height, width, 3)
    return np.zeros((height, width), np.float32)


def mix(a, b, weight):
    return a + (b - a) * weight[..., None]


def ground(rng, height, width):
    first = random_colour(rng)
    second = np.clip(first + rng.normal(0, 0.18, 3), 0, 1).astype(np.float32)
    image = mix(first, second, 0.5 + 0.5 * texture(rng, height, width, max(height, width)))
    if rng.random() < 0.4:  # two materials that meet along a line, as a table and a wall do
        third = random_colour(rng)
        fourth = np.clip(third + rng.normal(0, 0.15, 3), 0, 1).astype(np.float32)
        other = mix(third, fourth, 0.5 + 0.5 * texture(rng, height, width, max(height, width)))
        y, x = np.mgrid[:height, :width].astype(np.float32)
        direction = rng.uniform(0, 2 * np.pi)
        distance = (x - width * rng.uniform(0.2, 0.8)) * np.cos(direction) + \
                   (y - height * rng.uniform(0.2, 0.8)) * np.sin(direction)
        image = mix(image, other, np.clip(distance + 0.5, 0, 1))
    return image


# ---- drawing ----

def draw_object(rng, image, name, centre, radius, angle, squeeze=1.0, colour=None):
    """Paints a shape with its texture, rounded edges and shadow into the image; returns its coverage (H, W)."""
    height, width = image.shape[:2]
    margin = int(radius * 1.4) + 4
    x0, y0 = (max(0, int(c) - margin) for c in centre)
    x1, y1 = min(width, int(centre[0]) + margin), min(height, int(centre[1]) + margin)
    mask = np.zeros((height, width), np.float32)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return mask
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lean = rng.uniform(0, np.pi)  # the direction in which the shape is squeezed, as if seen at a slant
    axes = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
    place = radius * turn @ axes.T @ np.diag([1, squeeze]) @ axes
    polygons = [polygon @ place + [centre[0] - x0, centre[1] - y0] for polygon in outlines(name, rng)]
    patch = image[y0:y1, x0:x1]
    h, w = patch.shape[:2]
    cover = fill_mask(h, w, polygons)
    mask[y0:y1, x0:x1] = cover

    light = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.7:  # a shadow on the ground
        drop = radius * rng.uniform(0.04, 0.16)
        offset = [-drop * np.cos(light), -drop * np.sin(light)]
        shadow = blur(fill_mask(h, w, [polygon + offset for polygon in polygons]), radius * rng.uniform(0.03, 0.12))
        patch *= 1 - rng.uniform(0.25, 0.7) * shadow[..., None]

    around = patch.mean(axis=(0, 1))
    if colour is None:
        colour = colour_unlike(rng, around)
    second = np.clip(colour + rng.normal(0, 0.15, 3), 0, 1).astype(np.float32)
    paint = mix(np.asarray(colour, np.float32), second, 0.5 + 0.5 * texture(rng, h, w, 2 * radius))
    relief = np.gradient(blur(cover, max(1.0, radius * rng.uniform(0.03, 0.12))))
    slope = -(relief[1] * np.cos(light) + relief[0] * np.sin(light)) * radius * rng.uniform(0, 0.12)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    slant = (np.cos(light) * (x - w / 2) + np.sin(light) * (y - h / 2)) / radius * rng.uniform(0, 0.2)
    paint = np.clip(paint * (1 + slant[..., None]) + slope[..., None] * 2, 0, 1)
    if rng.random() < 0.25:  # an outline
        inner = blur(cover, max(1.0, radius * 0.06)) > 0.85
        paint = np.where(inner[..., None], paint, colour_unlike(rng, colour))
    patch[:] = mix(patch, paint, cover)
    return mask


def scribble(rng, image, size):
    """A wandering pen stroke."""
    height, width = image.shape[:2]
    points = np.cumsum(rng.normal(0, size, (rng.integers(3, 9), 2)), axis=0) + rng.uniform(0, 1, 2) * [width, height]
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).line([tuple(point) for point in points], fill=255, width=int(rng.integers(1, 4)))
    image[:] = mix(image, random_colour(rng), np.asarray(canvas, np.float32) / 255 * rng.uniform(0.4, 1))


def develop(rng, image):
    """Uneven light, blur, noise: from what is there to what a camera gives. Returns (H, W, 3) bytes."""
    height, width = image.shape[:2]
    image = image * (1 + 0.25 * smooth_noise(rng, height, width, 2)[..., None]) * rng.uniform(0.75, 1.15)
    image = (image - 0.5) * rng.uniform(0.75, 1.1) + 0.5 + rng.normal(0, 0.02, 3)
    picture = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1)))
    noisy = np.asarray(picture, np.float32) + rng.normal(0, rng.uniform(0, 9), (height, width, 1))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def random_scene(rng, size, n_objects, difficulty=1.0):
    """A picture (size, size, 3) of bytes with up to n_objects of different classes (fewer where there is no room);
    returns it with [(class index, mask (size, size))]. A difficulty of 0 means large objects and little else."""
    image = ground(rng, size, size)
    largest = {1: 0.42, 2: 0.3, 3: 0.24}[n_objects] * size
    smallest = largest * (0.8 - 0.45 * difficulty)
    taken = []  # (x, y, radius) of what has been placed

    def free_place(radius):
        for _ in range(20):
            x, y = rng.uniform(0.85 * radius, size - 0.85 * radius, 2)
            if all(np.hypot(x - px, y - py) > 0.95 * (radius + r) for px, py, r in taken):
                taken.append((x, y, radius))
                return x, y
        return None

    wanted = []
    for label in rng.permutation(len(CLASSES))[:n_objects]:
        radius = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
        place = free_place(radius)
        if place:
            wanted.append((int(label), place, radius))
    for _ in range(round(difficulty * rng.integers(0, 5))):
        radius = rng.uniform(0.06, 0.22) * size
        place = free_place(radius)
        if place:
            draw_object(rng, image, "blob" if rng.random() < 0.65 else "bar", place, radius, rng.uniform(0, 2 * np.pi))
    for _ in range(round(difficulty * rng.integers(0, 4))):
        scribble(rng, image, 0.15 * size)
    objects = []
    for label, place, radius in wanted:
        mask = draw_object(rng, image, CLASSES[label], place, radius, rng.uniform(0, 2 * np.pi),
                           squeeze=rng.uniform(0.78, 1))
        objects.append((label, mask > 0.5))
    if rng.random() < 0.3 * difficulty:
        scribble(rng, image, 0.15 * size)
    return develop(rng, image), objects


def demo_scene(width=480, height=360):
    """The picture of the demo: a star, a heart and a ring among odds and ends on a wooden table. Bytes (H, W, 3)."""
    rng = np.random.default_rng(12)
    # Planks: a grain drawn out along the table, and a dark joint between every two.
    rows = np.arange(height) / 60 % 1
    grain = 0.55 * smooth_noise(rng, height, width, 1) + 0.35 * np.sin(np.arange(height) // 60 * 2.4)[:, None]
    lines = Image.fromarray(rng.uniform(-1, 1, (height // 2, 7)).astype(np.float32))
    grain = grain + 0.5 * np.asarray(lines.resize((width, height), Image.BICUBIC))
    dark, light = np.array([0.42, 0.27, 0.16], np.float32), np.array([0.72, 0.52, 0.34], np.float32)
    image = mix(dark, light, np.clip(0.5 + 0.35 * grain, 0, 1))
    image *= np.where((rows < 0.035)[:, None, None], 0.55, 1).astype(np.float32)

    for name, centre, radius, angle, colour in [
            ("blob", (70, 60), 38, 0.4, (0.35, 0.45, 0.30)),
            ("bar", (66, 270), 62, 0.5, (0.85, 0.75, 0.25)),
            ("blob", (424, 290), 44, 2.0, (0.30, 0.42, 0.55)),
            ("bar", (428, 110), 58, -0.35, (0.25, 0.25, 0.30)),
            ("star", (168, 118), 66, 0.25, (0.95, 0.78, 0.12)),
            ("heart", (318, 132), 62, -0.3, (0.85, 0.12, 0.18)),
            ("ring", (232, 268), 60, 0.0, (0.16, 0.62, 0.62))]:
        draw_object(rng, image, name, centre, radius, angle, squeeze=0.95, colour=np.array(colour, np.float32))
    return develop(rng, image)
