"""
Choose a denoiser
=================

Take the prior where it knows your material, and a pooled wavelet or BM3D where it does not:
``method="prior"``, the default, makes that choice for you. The others are there to compare with,
and because each is the best at something:

===================== =============================================================================
``prior``             knows what such specimens look like; tells columns, optics and errors. Slow
                      (seconds a frame), and wrong on anything else if it is forced
``pooled-bm3d``       the best without training; BM3D's licence allows non-commercial use only
``pooled-wavelet``    fast, makes nothing up, answers where the prior does not know the frame
``blur``, ``tv``      nothing to explain to a referee: one width, or flat regions with edges
``supervised``        one pass of a network, for the material and the noise of its training
``supervised-mixed``  its answer in the share that unseen data confirm, and Wiener's filter
``algorithm-2``       the search of Chen & Stanley in their GAN: to compare with their paper
``identity``,         the rows that every table needs: what is a number worth without denoising, and
``constant``          without any structure?
===================== =============================================================================

*Pooled* methods average counts until the pixels are as large as the structures allow, and come back
to the frame's own grid: at low dose that helps all but the blur, which chooses its own band.

Measured on 24 structures and eight noises: :doc:`the board </results/README>`. Here, one frame.
"""

import matplotlib.pyplot as plt

import emprior
from emprior.demo import example
from emprior.metrics import contrast_psnr, psnr

shown = example()
methods = ["identity", "constant", "blur", "wiener", "wavelet", "pooled-wavelet", "prior"]
results = {m: emprior.denoise(shown.noisy, method=m) for m in methods}

print(f"{'':<16}{'PSNR':>8}{'contrast':>10}{'seconds':>9}")
for name, result in results.items():
    quality = psnr(result.image, shown.truth, data_range=1.0)
    contrast = contrast_psnr(result.image, shown.truth)
    print(f"{name:<16}{quality:8.2f}{contrast:10.2f}{result.seconds:9.1f}")

# %%
# PSNR has range 1 [dB]. The constant row is half of the way: in these images most of a high PSNR is
# having the mean right, so read differences, never the number alone.

figure, axes = plt.subplots(2, 4, figsize=(9, 5), layout="constrained")
low, high = shown.truth.min(), shown.truth.max()
for axis, (name, image) in zip(
    axes.flat, [*((m, r.image) for m, r in results.items()), ("truth", shown.truth)], strict=True
):
    axis.imshow(image[150:350, 150:350], cmap="gray", vmin=low, vmax=high)
    axis.set_title(name)
    axis.set_axis_off()

# %%
# Without a truth, ask the data: `emprior.check` finds what an estimate has wrong, and cannot find
# what it has left out below the noise. A frame's own noise is the yardstick of both.

for name in ("blur", "pooled-wavelet", "prior"):
    found = emprior.check(shown.noisy, results[name].image)
    against = [finding.name for finding in found.findings if finding.p < found.false_alarm]
    print(f"{name:<16}{'supported' if found.supported else 'not supported'}", *against, sep="  ")
