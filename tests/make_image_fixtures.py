#!/usr/bin/env python3
"""Makes tests/data/images/: pictures in every format with what Pillow reads from them, torchvision's transforms of
pictures of awkward sizes, maps resized by PyTorch, and .npy files good and bad.

Needs numpy, Pillow, torch and torchvision. Run from the repository's root; the files are committed, and the C tests
read them without Python.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms as T

OUT = Path("tests/data/images")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
rng = np.random.default_rng(1)


def scene(h, w):
    """Gradients with noise: smooth enough for JPEG, and no two channels alike."""
    y, x = np.mgrid[0:h, 0:w]
    smooth = np.stack([255 * x / w, 255 * y / h, 127 + 127 * np.sin(x / 5 + y / 9)], -1)
    return np.clip(smooth + rng.normal(0, 12, (h, w, 3)), 0, 255).astype(np.uint8)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png16(path, samples):
    """16-bit PNG from (h, w, channels); Pillow cannot write those of several channels."""
    h, w, channels = samples.shape
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", w, h, 16, color_type, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows))
                     + png_chunk(b"IEND", b""))


def write_decoded(name, rgb):
    """What reading OUT/name must give, as a PPM beside it."""
    Image.fromarray(rgb).save(OUT / (name + ".ppm"))


def make_pictures():
    rgb = Image.fromarray(scene(7, 13))
    alpha = Image.fromarray(rng.integers(0, 256, (7, 13), dtype=np.uint8))
    rgba = rgb.convert("RGBA")
    rgba.putalpha(alpha)
    gray, palette = rgb.convert("L"), rgb.quantize(13)
    large = Image.fromarray(scene(45, 60))

    for name, image, options in [
        ("rgb.png", rgb, {}),
        ("rgba.png", rgba, {}),
        ("gray.png", gray, {}),
        ("gray_alpha.png", rgba.convert("LA"), {}),
        ("bits1.png", rgb.convert("1"), {}),
        ("palette4.png", palette, {"bits": 4}),
        ("palette_alpha.png", rgb.quantize(40), {"transparency": bytes(range(40))}),
        ("one.png", Image.fromarray(np.array([[[200, 100, 7]]], np.uint8)), {}),
        ("wide.png", Image.fromarray(scene(1, 500)), {}),
        ("rgb.bmp", rgb, {}),
        ("palette.bmp", palette, {}),
        ("rgba.tga", rgba, {"compression": "tga_rle"}),
        ("palette.tga", palette, {}),
        ("palette.gif", palette, {}),
        ("two_frames.gif", palette, {"save_all": True, "append_images": [rgb.rotate(180).quantize(9)]}),
        ("bits1.pbm", rgb.convert("1"), {}),
        ("gray.pgm", gray, {}),
        ("photo.jpg", large, {"quality": 90}),
        ("progressive.jpg", large, {"quality": 90, "progressive": True}),
        ("gray.jpg", large.convert("L"), {"quality": 90}),
        ("cmyk.jpg", large.convert("CMYK"), {"quality": 90}),
    ]:
        image.save(OUT / name, **options)
        write_decoded(name, np.asarray(Image.open(OUT / name).convert("RGB")))

    rotated = Image.Exif()
    rotated[0x0112] = 6  # orientation: to be turned by 90 degrees, which convert("RGB") does not do
    large.save(OUT / "exif_rotated.jpg", quality=90, exif=rotated)
    write_decoded("exif_rotated.jpg", np.asarray(Image.open(OUT / "exif_rotated.jpg").convert("RGB")))

    # 16 bits: the high byte. For grey that differs from Pillow, which clips at 255 and turns such pictures white.
    for name, channels in [("gray16.png", 1), ("gray_alpha16.png", 2), ("rgb16.png", 3), ("rgba16.png", 4)]:
        samples = rng.integers(0, 65536, (5, 6, channels))
        write_png16(OUT / name, samples)
        color = samples[..., :3] if channels > 2 else samples[..., :1].repeat(3, -1)
        write_decoded(name, (color >> 8).astype(np.uint8))


class Jpeg:
    """A picture encoded by Pillow, taken apart to make of it what Pillow does not write."""

    SOF, SOS, DHT, DRI, APP0, APP14 = 0xC0, 0xDA, 0xC4, 0xDD, 0xE0, 0xEE

    def __init__(self, image, **options):
        file = io.BytesIO()
        image.save(file, "jpeg", **options)
        data, at = file.getvalue(), 2
        self.segments = []  # (marker, payload)
        while not self.segments or self.segments[-1][0] != self.SOS:
            marker, length = struct.unpack_from(">xBH", data, at)
            self.segments.append((marker, data[at + 4:at + 2 + length]))
            at += 2 + length
        self.scan = data[at:-2]

    def edit(self, marker, change):
        self.segments = [(m, change(payload) if m == marker else payload) for m, payload in self.segments]

    def remove(self, marker):
        self.segments = [(m, payload) for m, payload in self.segments if m != marker]

    def reshape(self, w, h, sampling):
        """Another size and sampling of the first component, with as many blocks: they change places."""
        self.edit(self.SOF, lambda p: p[:1] + struct.pack(">HH", h, w) + p[5:7] + bytes([sampling]) + p[8:])

    def write(self, name):
        parts = [struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload for marker, payload in self.segments]
        (OUT / name).write_bytes(b"\xff\xd8" + b"".join(parts) + self.scan + b"\xff\xd9")


def make_jpegs():
    """Every sampling, color space and edge of a JPEG picture; tests/test_image.c lists the same."""
    for name, (h, w), options in [
        ("q1", (23, 37), {"quality": 1}),
        ("444", (23, 37), {"quality": 95, "subsampling": "4:4:4"}),
        ("422", (23, 37), {"quality": 80, "subsampling": "4:2:2"}),
        ("422_progressive", (23, 37), {"quality": 80, "subsampling": "4:2:2", "progressive": True}),
        ("one", (1, 1), {}),
        ("narrow", (19, 3), {"quality": 100}),
        ("edges", (22, 5), {"quality": 50}),
    ]:
        Image.fromarray(scene(h, w)).save(OUT / f"jpeg_{name}.jpg", **options)

    for name, subsampling, (h, w), sampling in [
        ("440", "4:2:2", (45, 18), 0x12),
        ("411", "4:2:0", (11, 74), 0x41),
        ("141", "4:2:0", (45, 19), 0x14),
    ]:
        jpeg = Jpeg(Image.fromarray(scene(23, 37)), quality=85, subsampling=subsampling)
        jpeg.reshape(w, h, sampling)
        jpeg.write(f"jpeg_{name}.jpg")

    jpeg = Jpeg(Image.fromarray(scene(13, 11)), quality=90, subsampling="4:4:4")
    jpeg.remove(Jpeg.APP0)
    jpeg.segments.insert(0, (Jpeg.APP14, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0)))
    jpeg.write("jpeg_rgb_adobe.jpg")
    jpeg.remove(Jpeg.APP14)
    jpeg.edit(Jpeg.SOF, lambda p: p[:6] + b"R" + p[7:9] + b"G" + p[10:12] + b"B" + p[13:])
    jpeg.edit(Jpeg.SOS, lambda p: p[:1] + b"R" + p[2:3] + b"G" + p[4:5] + b"B" + p[6:])
    jpeg.write("jpeg_rgb_named.jpg")

    jpeg = Jpeg(Image.fromarray(np.dstack([scene(13, 11), scene(13, 11)[..., 0]]), "CMYK"), quality=90)
    jpeg.edit(Jpeg.APP14, lambda p: p[:-1] + bytes([2]))
    jpeg.write("jpeg_ycck.jpg")
    jpeg.remove(Jpeg.APP14)
    jpeg.write("jpeg_cmyk_unmarked.jpg")

    whole = scene(35, 37)
    strips = [Jpeg(Image.fromarray(whole[y:y + 16]), quality=85).scan for y in (0, 16, 32)]  # one row of blocks each
    jpeg = Jpeg(Image.fromarray(whole), quality=85)
    jpeg.scan = strips[0] + b"\xff\xd0" + strips[1] + b"\xff\xd1" + strips[2]
    jpeg.segments.insert(-1, (Jpeg.DRI, struct.pack(">H", 3)))
    jpeg.write("jpeg_restart.jpg")

    for path in OUT.glob("jpeg_*.jpg"):
        write_decoded(path.name, np.asarray(Image.open(path).convert("RGB")))

    # A table of 256 codes of 8 and 9 bits, and a block that uses the last. stb_image 2.27 asserts that nobody does.
    jpeg = Jpeg(Image.fromarray(scene(8, 8)[..., 0]))
    jpeg.segments = [(m, p) for m, p in jpeg.segments if m != Jpeg.DHT or p[0] == 0]
    jpeg.segments.insert(-1, (Jpeg.DHT, b"\x10" + bytes([0] * 7 + [254, 2] + [0] * 7) + bytes(range(256))))
    jpeg.scan = bytes([0b00111111, 0b10100000]) + bytes(40)
    jpeg.write("last_code.jpg")


def transform_cases():
    """(name, (h, w) of the photo, transform up to ToTensor, mean, std); tests/test_image.c lists the same."""
    gray1, gray3 = T.Grayscale(1), T.Grayscale(3)
    return [
        ("wider", (37, 61), [T.Resize(32), T.CenterCrop(28)], MEAN, STD),
        ("higher", (61, 37), [T.Resize(32), T.CenterCrop((20, 28))], MEAN, STD),
        ("enlarged", (9, 14), [T.Resize(30), T.CenterCrop(25)], MEAN, STD),
        ("padded", (20, 33), [T.Resize(16), T.CenterCrop((23, 21))], MEAN, STD),
        ("squashed", (37, 61), [T.Resize((24, 17))], MEAN, STD),
        ("whole", (37, 61), [T.Resize(19)], MEAN, STD),
        ("unresized", (37, 61), [T.CenterCrop((30, 20))], MEAN, STD),
        ("gray3", (37, 61), [gray3, T.Resize(20), T.CenterCrop(16)], MEAN, STD),
        ("gray1", (37, 61), [gray1, T.Resize(20), T.CenterCrop(16)], [0.5], [0.25]),
        ("one", (1, 1), [T.Resize(12), T.CenterCrop(10)], MEAN, STD),
        ("line", (1, 300), [T.Resize(12), T.CenterCrop(10)], MEAN, STD),
        ("column", (300, 2), [T.Resize(12), T.CenterCrop(10)], MEAN, STD),
    ]


def make_transforms():
    for name, (h, w), steps, mean, std in transform_cases():
        photo = Image.fromarray(scene(h, w))
        photo.save(OUT / f"transform_{name}.png")
        x = T.Compose([*steps, T.ToTensor(), T.Normalize(mean, std)])(photo)
        np.save(OUT / f"transform_{name}.npy", x.numpy())


def normalize(maps):
    """Positive part, minimum to 0, maximum to 1, for each of (n, h, w)."""
    maps = maps.clamp(min=0)
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (1e-7 + maps.amax((1, 2), keepdim=True))


def make_maps():
    raw = torch.from_numpy(rng.normal(0.2, 1, (3, 5, 7)))
    raw[2] -= 10  # nothing above zero
    shares = F.interpolate(normalize(raw)[None], (24, 33), mode="bilinear", align_corners=False)[0]
    finished = normalize(shares.clamp(min=0).mean(0, keepdim=True))[0]
    for name, values in [("raw", raw), ("shares", shares), ("finished", finished)]:
        np.save(OUT / f"map_{name}.npy", values.float().numpy())


def make_npy():
    values = np.arange(6).reshape(2, 3) / 8 - 0.25
    for name, array, version in [
        ("f4", values.astype("<f4"), (1, 0)),
        ("f8_version2", values.astype("<f8"), (2, 0)),
        ("f4_version3", values.astype("<f4"), (3, 0)),
        ("scalar", np.array(0.5, "<f4"), (1, 0)),
        ("bad_order", np.asfortranarray(values.astype("<f4")), (1, 0)),
        ("bad_endian", values.astype(">f4"), (1, 0)),
        ("bad_type", np.arange(6), (1, 0)),
        ("bad_dims", np.zeros((1, 1, 1, 1, 1, 1, 2), "<f4"), (1, 0)),
        ("bad_empty", np.zeros((2, 0), "<f4"), (1, 0)),
        ("bad_struct", np.zeros(2, [("a", "<f4")]), (1, 0)),
    ]:
        with open(OUT / f"npy_{name}.npy", "wb") as f:
            np.lib.format.write_array(f, array, version)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    make_pictures()
    make_transforms()
    make_maps()
    make_npy()
    make_jpegs()
