"""
Denoise your first micrograph
=============================

From a file to a denoised one, and to a judgement whether it can be trusted.

The micrograph is the one that comes with emprior: a platinum particle on ceria along [1-10] at
0.45 electrons a pixel in vacuum, simulated, so that the truth is known. Put your own file in its
place: any of the formats that :doc:`files </files>` lists.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import emprior
from emprior.demo import example
from emprior.io import Signal

folder = Path(tempfile.mkdtemp())
shown = example()
noisy = folder / "noisy.hspy"
emprior.write(noisy, Signal.from_array(shown.noisy.image, pixel_size=shown.noisy.pixel_size))

# %%
# Read it. A `~emprior.io.Signal` knows its axes and metadata; `frames` gives one micrograph after
# another, however many the file holds.

signal = emprior.read(noisy)
index, frame = next(iter(signal.frames()))
print(frame.shape, "pixels of", signal.pixel_size, "Å")

# %%
# Denoise it. Nothing is told of the noise: it is found in the frame.

result = emprior.denoise(frame, pixel_size=signal.pixel_size)
print(f"answered by the {result.method}, under {result.noise}, in {result.seconds:.1f} s")

# %%
# ``method`` says who answered. The prior only does where it predicts a part of the data that was
# held back better than a wavelet denoiser; on a picture that it does not know the wavelet answers.

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
low, high = shown.truth.min(), shown.truth.max()
for axis, image, title, limits in (
    (axes[0], shown.noisy.image, "noisy [electrons]", (0, 3)),
    (axes[1], result.image, "denoised", (low, high)),
    (axes[2], shown.truth, "truth", (low, high)),
):
    drawn = axis.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1])
    axis.set_title(title)
    axis.set_axis_off()
    figure.colorbar(drawn, ax=axis, shrink=0.7)

# %%
# The prior's answer is a specimen: atomic columns with their places, elements and errors, and the
# optics. See :doc:`/how-it-works`.

columns = result.columns
print(len(columns), "columns;", result.optics)

# %%
# Can it be trusted? `emprior.check` asks what in the denoised image the noisy one contradicts. It
# takes anybody's denoised image. See :doc:`/trust`.

checked = emprior.check(frame, result.image, noise=result.noise, pixel_size=signal.pixel_size)
print("supported" if checked.supported else "not supported")
for finding in checked.findings:
    print(f"{finding.name:<20}{finding.says} (p {finding.p:.1g})")

# %%
# Write it, with the axes and metadata of the input. The suffix names the format.

emprior.write(folder / "denoised.tif", signal.with_data(result.image))
print(sorted(path.name for path in folder.iterdir()))
