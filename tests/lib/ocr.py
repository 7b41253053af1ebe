"""Reads the text off a screenshot."""
import io
import subprocess

from PIL import Image, ImageOps, ImageStat

ENLARGE = 3  # console fonts are smaller than what the recogniser was trained on


def text_of(path, box=None):
    """The text in a PNG, line by line. box: (left, top, right, bottom) in pixels, for a part of it."""
    image = Image.open(path).convert("L")
    if box:
        image = image.crop(box)
    if ImageStat.Stat(image).mean[0] < 128:
        image = ImageOps.invert(image)
    image = ImageOps.autocontrast(image.resize((image.width * ENLARGE, image.height * ENLARGE), Image.LANCZOS))
    png = io.BytesIO()
    image.save(png, "PNG")
    recognised = subprocess.run(["tesseract", "-", "-", "--psm", "6", "--dpi", "200"], input=png.getvalue(), check=True,
                                capture_output=True)
    return recognised.stdout.decode(errors="replace")
