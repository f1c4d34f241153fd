from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_dataset import write_dataset

from emprior import demo, metrics
from emprior.errors import FileError, OutputError
from emprior.identify import identify
from emprior.io import read
from emprior.noise import Poisson

ROWS = {
    "noisy": {"method": "identity"},
    "constant": {"method": "constant"},
    "pooled wavelet": {"method": "pooled-wavelet"},
}


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(demo, "ROWS", ROWS)
    monkeypatch.setattr(demo, "RESULT", "pooled wavelet")


# --------------------------------------------------------------------------- the bundled micrograph


def test_the_bundled_micrograph_is_counts_of_its_truth():
    shown = demo.example()
    counts, truth = shown.noisy.image.astype(float), shown.truth.astype(float)
    assert counts.shape == truth.shape == (512, 512)
    assert shown.noisy.pixel_size == pytest.approx(0.0489)
    np.testing.assert_array_equal(counts, np.round(counts))
    n = counts.size
    # The sum of counts, and Pearson's chi² with its variance 2 + 1/rate for each pixel.
    assert abs(counts.sum() - truth.sum()) < 4 * truth.sum() ** 0.5
    chi2 = ((counts - truth) ** 2 / truth).sum()
    assert abs(chi2 - n) < 4 * (2 * n + (1 / truth).sum()) ** 0.5
    assert np.median(truth[:60]) == pytest.approx(0.45, abs=0.01)  # vacuum lies at the top
    assert identify(shown.noisy.image).noise == Poisson(1.0)


def test_the_bundled_file_is_small():
    assert (Path(demo.__file__).parent / "data" / "demo.npz").stat().st_size < 300_000


def test_the_bundled_file_can_be_made_again(tmp_path, monkeypatch):
    waves = 0.45 + 0.1 * np.sin(np.arange(144) / 5)[:, None] * np.cos(np.arange(144) / 7)
    images = np.stack([waves.astype(np.float32)] * 2)
    place = write_dataset(tmp_path / "demo-data", [images], 0.1956)
    made = [demo.bundle(place, tmp_path / name).read_bytes() for name in ("1.npz", "2.npz")]
    assert made[0] == made[1]
    stored = np.load(tmp_path / "1.npz", allow_pickle=False)
    np.testing.assert_allclose(stored["clean"], waves, atol=5e-4)
    truth = demo._interpolate(stored["clean"])
    # Fine pixels 4i + 1 and 4i + 2 lie on either side of stored pixel i.
    middle = truth.reshape(128, 4, 128, 4)[:, 1:3, :, 1:3].mean((1, 3))
    np.testing.assert_allclose(middle[20:-20, 20:-20], waves[28:-28, 28:-28], atol=2e-3)
    assert stored["counts"].mean() == pytest.approx(truth.mean(), abs=4 * (0.45 / 512**2) ** 0.5)


def test_bundling_needs_a_data_set(tmp_path):
    with pytest.raises(FileError, match="no data set"):
        demo.bundle(tmp_path, tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_of_the_micrograph_shares_no_seed(request):
    import tomllib

    folder = request.config.rootpath / "recipes"
    seeds = {
        path.name: recipe.get("seed")
        for path in folder.glob("*.toml")
        if "view" in (recipe := tomllib.loads(path.read_text()))
    }
    assert seeds.pop("demo.toml") == demo.SEED
    assert demo.SEED not in seeds.values()


# ----------------------------------------------------------------------------------------- the demo


def test_the_demo_writes_what_it_says(few_rows, tmp_path):
    said, shares = [], []
    lines = demo.run(tmp_path / "new", echo=said.append, progress=shares.append)
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3, 1])
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(demo.FILES)
    truth, denoised, noisy = (
        read(tmp_path / "new" / f"{name}.hspy") for name in ("truth", "denoised", "noisy")
    )
    assert denoised.pixel_size == pytest.approx(0.0489)
    scores = {line.row: line for line in lines}
    for row, signal in (("pooled wavelet", denoised), ("noisy", noisy)):
        psnr = metrics.psnr(signal.data, truth.data, data_range=1.0)
        assert scores[row].psnr_db == pytest.approx(psnr, abs=1e-3)
    assert denoised.provenance["method"] == "pooled-wavelet"
    assert scores["pooled wavelet"].psnr_db > scores["constant"].psnr_db + 2
    for line in lines:
        assert any(text.startswith(line.row) and f"{line.psnr_db:.2f} dB" in text for text in said)
        assert f"| {line.psnr_db:.2f} |" in (tmp_path / "new" / "table.md").read_text()


def test_the_picture_has_four_panels(few_rows, tmp_path):
    demo.run(tmp_path, echo=lambda text: None)
    grey = np.asarray(Image.open(tmp_path / "picture.png"), float)
    assert grey.shape == (536, 4 * 512 + 3 * 8)
    noisy, denoised, truth, error = (grey[24:, i * 520 : i * 520 + 512] for i in range(4))
    assert np.corrcoef(denoised.ravel(), truth.ravel())[0, 1] > 0.7
    assert np.corrcoef(noisy.ravel(), truth.ravel())[0, 1] > 0.05
    assert error.mean() == pytest.approx(127, abs=5)
    assert grey[:24].min() == 0  # titles


def test_results_are_not_overwritten_unasked(few_rows, tmp_path):
    (tmp_path / "table.md").write_text("mine")
    with pytest.raises(OutputError, match=r"table\.md exists"):
        demo.run(tmp_path, echo=lambda text: None)
    assert [p.name for p in tmp_path.iterdir()] == ["table.md"]
    demo.run(tmp_path, overwrite=True, echo=lambda text: None)
    assert "mine" not in (tmp_path / "table.md").read_text()


def test_an_output_that_is_a_file_is_refused(few_rows, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot be made"):
        demo.run(tmp_path / "out", echo=lambda text: None)


def test_a_line_says_when_another_method_answered():
    assert "wavelet" in str(demo.Line("prior", "pooled-wavelet", 30.0, 1.0))
    assert "answer" not in str(demo.Line("prior", "prior", 30.0, 1.0))
