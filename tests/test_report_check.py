"""The page of a check: what is on it, that it works in a browser, and that it needs no other."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from strategies import lattice
from test_cli import refused, run

from emprior.io import Signal, write

SHAPE = (48, 56)

_PROBE = """
<script>
window.addEventListener('load', () => {
  const told = {};
  const box = document.querySelector('.pictures');
  const [under, over] = box.querySelectorAll('img.shown');
  const move = (part, value) => { part.value = value; part.dispatchEvent(new Event('input')); };
  told.sizes = [under, over].map(image => [image.naturalWidth, image.naturalHeight]);
  told.names = [...box.querySelector('select').options].map(option => option.text);
  const slider = box.querySelector('input[type=range]');
  told.clips = [10, 90].map(value => { move(slider, value); return over.style.clipPath; });
  const before = under.src;
  move(box.querySelectorAll('select')[1], 2);
  told.changed = under.src !== before;
  const marks = box.querySelector('input[type=checkbox]');
  told.circles = box.querySelectorAll('circle').length;
  marks.checked = false;
  marks.dispatchEvent(new Event('input'));
  told.hidden = box.querySelector('svg').style.display;
  told.requests = performance.getEntriesByType('resource').map(entry => entry.name);
  document.body.innerHTML = '<pre>' + JSON.stringify(told) + '</pre>';
});
</script>
"""


@pytest.fixture
def files(tmp_path, rng):
    """A noisy TIFF, and a denoised one with a blob that is not in it."""
    truth = 10 * lattice(SHAPE, 0.1)
    y, x = np.indices(SHAPE)
    wrong = truth + 5 * np.exp(-((y - 8) ** 2 + (x - 45) ** 2) / (2 * 3.0**2))
    for name, pixels in (("noisy", rng.poisson(truth)), ("wrong", wrong)):
        write(tmp_path / f"{name}.tif", Signal.from_array(np.float32(pixels), 0.1))
    return tmp_path


@pytest.fixture
def page(files):
    out = files / "check.html"
    run("check", files / "noisy.tif", files / "wrong.tif", "--report", out, code=1)
    return out


def test_the_page_says_what_was_found(page):
    text = page.read_text()
    assert "not supported: the data contradict wrong.tif" in text
    for heading in ("pictures", "noise", "tests", "columns"):
        assert f">{heading}</h3>" in text
    assert "Poisson, gain 1" in text
    assert "<circle" in text


def test_the_page_names_no_other_place(page):
    text = re.sub(r"data:image/png;base64,[\w+/=]*", "", page.read_text())
    assert not re.search(r"https?:|src=|href=\"[^#]|url\(|@import", text.replace('src=""', ""))
    assert "default-src 'none'" in text


def test_the_page_works_in_a_browser(page, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium is installed")
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</body>", _PROBE + "</body>"))
    said = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",  # root, as in containers, may not have one
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    told = json.loads(re.search(r"<pre>({.*})</pre>", said)[1].replace("&gt;", ">"))
    assert told["sizes"] == [[SHAPE[1], SHAPE[0]]] * 2
    assert told["names"][:3] == ["noisy", "denoised", "residual"]
    assert "local p" in told["names"]
    assert told["clips"] == ["inset(0px 90% 0px 0px)", "inset(0px 10% 0px 0px)"]
    assert told["changed"]
    assert told["circles"] >= 1
    assert told["hidden"] == "none"
    assert all(name.startswith("data:") for name in told["requests"])


def test_names_are_shown_as_they_are(files):
    shutil.copy(files / "wrong.tif", files / "<b>&wrong.tif")
    out = files / "check.html"
    run("check", files / "noisy.tif", files / "<b>&wrong.tif", "--report", out, code=1)
    assert "<b>&wrong" not in out.read_text()
    assert "&lt;b&gt;&amp;wrong.tif" in out.read_text()


def test_denoising_makes_the_same_page(files):
    out = files / "ours.html"
    said = run(
        "denoise",
        files / "noisy.tif",
        "-o",
        files / "ours.tif",
        "--method",
        "blur",
        "--report",
        out,
    )
    assert f"report → {out}" in said
    text = out.read_text()
    assert "Answered by blur" in text
    assert "ours.tif against noisy.tif" in text


def test_of_a_stack_the_first_frames_are_drawn(files, rng):
    truth = 10 * lattice((16, 20), 0.1)
    np.save(files / "noisy.npy", rng.poisson(truth, (14, 16, 20)))
    np.save(files / "truth.npy", np.broadcast_to(truth, (14, 16, 20)))
    out = files / "check.html"
    options = ("--noise", "poisson:1", "--false-alarm", 0.001, "--report", out)
    run("check", files / "noisy.npy", files / "truth.npy", *options)
    text = out.read_text()
    assert text.count('class="pictures"') == 12
    assert "2 are not drawn" in text


def test_pages_take_no_place_that_is_taken(files, page):
    noisy, wrong = files / "noisy.tif", files / "wrong.tif"
    assert "exists" in refused(files, "check", noisy, wrong, "--report", page)
    assert "another result" in refused(
        files, "check", noisy, wrong, "--report", files / "a", "--json", files / "a"
    )
    assert "never overwritten" in refused(
        files, "check", noisy, wrong, "--report", Path(wrong), "--overwrite"
    )
    assert "another result" in refused(
        files, "denoise", noisy, "-o", files / "o.tif", "--report", files / "o.tif"
    )
