"""Text recognition reads what a console shows: small light letters on black."""
import ocr
from PIL import Image, ImageDraw, ImageFont

TEXT = "Press any key to boot from CD or DVD"


def picture(path, background, ink):
    small = Image.new("RGB", (320, 24), background)
    ImageDraw.Draw(small).text((4, 6), TEXT, fill=ink, font=ImageFont.load_default())
    image = Image.new("RGB", (1280, 800), background)
    image.paste(small.resize((640, 48)), (0, 0))
    image.save(path)
    return path


def test_light_on_dark(tmp_path):
    assert "boot from" in ocr.text_of(picture(tmp_path / "a.png", "black", "white"))


def test_dark_on_light_and_a_part(tmp_path):
    path = picture(tmp_path / "a.png", "white", "navy")
    assert "boot from" in ocr.text_of(path, (0, 0, 700, 100))
    assert ocr.text_of(path, (0, 400, 700, 600)).strip() == ""
