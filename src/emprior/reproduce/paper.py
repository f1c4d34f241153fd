"""What the paper shows and claims, each beside the record of ours that answers it."""

from __future__ import annotations

from collections.abc import Iterator

from emprior.comparison import Claim, Comparison, Key, Statement
from emprior.noise_names import PAPER_NOISES
from emprior.reproduce.denoisers import PAPER_13
from emprior.reproduce.supervised import P1

GAN = "GAN, nz 50"
WITH_BIASES = "UNet, with biases, P(1)"

_RANGE = "As without noise: what the generator cannot draw, and hardly the noise."
_WHY_13 = {
    "none": "Without any noise it is no better: the image is not in the generator's range.",
    "clipped P(1)": "Clipping moves the mean of the data by 0.08, and least squares follows; "
    "clipped counts want another likelihood.",
}
_WHY_ROWS_13 = {
    "paper: supervised": "The paper took weights for real micrographs, resized its input and "
    "shifted its output; ours is trained on these images.",
    "paper: GAN, nz 100": "The paper's notebook read one file for every noise of this row.",
    "paper: GAN, nz 150": "The paper's notebook read one file for every noise of this row.",
}
_OURS_13 = {
    "paper: supervised": P1,
    "paper: GAN, nz 50": GAN,
    "paper: GAN, nz 100": "GAN, nz 100",
    "paper: GAN, nz 150": "GAN, nz 150",
}


def compared() -> Comparison:
    """Return the paper, figure by figure and claim by claim."""
    return Comparison(
        statement=(*_first_figures(), *_figure_13(), *_last_figures()),
        claim=(*_claims_of_figure_13(), *_other_claims()),
    )


def _key(experiment: str, what: str, value: str, /, **where: str) -> Key:
    return Key(experiment=experiment, what=what, where=where, value=value)


def _score(denoiser: str, noise: str, value: str = "psnr_db", experiment: str = "figure-13") -> Key:
    return _key(experiment, "score", value, denoiser=denoiser, noise=noise)


def _first_figures() -> Iterator[Statement]:
    yield Statement(
        place="Figure 1",
        shows="samples of a DCGAN beside its data",
        paper="faces",
        here="natural",
        why="Other people's figure, of faces; ours are small natural images.",
    )
    for place, network, paper in (
        ("Figure 2", "generator", "12.1 million"),
        ("Figure 8", "discriminator", "not told"),
    ):
        yield Statement(
            place=place,
            shows=f"parameters of the {network}, 512 × 512",
            paper=paper,
            here=_key("architectures", "parameters", "ours", network=network),
            digits=0,
            why="The same layers; trainings at the scale cpu use narrower and smaller ones.",
        )
    yield Statement(
        place="Figures 3 and 4",
        shows="images to train on",
        paper="3,000",
        here=_key("data", "set", "ours", quantity="images"),
        digits=0,
        why="Our own multislice simulation of the same kind of specimen; theirs is not ours.",
    )
    yield Statement(
        place="Figure 5",
        shows="the noisy image at P(1), PSNR (range 1)",
        paper="not told",
        here=_key("data", "noise level", "psnr_db", noise="P(1)"),
        why="What denoisers are given; the paper clips it besides.",
    )
    yield Statement(
        place="Figures 6 and 7",
        shows="the first GAN, R",
        paper="draws vacuum alone",
        here=_key("first-gan", "quality", "r_db", variant="first GAN"),
        why="The paper's first discriminator, loss and rates, on a smaller grid.",
    )
    for place, experiment, variant, paper in (
        ("Figures 9 and 10", "redesign", "redesign", "some, in red boxes"),
        ("Figure 11", "ttur", "TTUR", "none is said"),
    ):
        yield Statement(
            place=place,
            shows=f"{variant}, share of samples that repeat",
            paper=paper,
            here=_key(experiment, "quality", "repeated", variant=variant),
            digits=3,
            why="Counted, not seen: a sample repeats where its nearest other is nearer than 1 % of "
            "real images are to theirs.",
        )
    yield Statement(
        place="Section 4.2.3",
        shows="images that the generator made, found again, the worst PSNR (range 1)",
        paper="to arbitrary precision",
        here=_key(
            "optimiser-tests",
            "task",
            "worst_db",
            kind="micrograph, clean",
            task="1: made by the generator",
        ),
        digits=1,
        why="Algorithm 2, then Gauss–Newton.",
    )
    yield Statement(
        place="Figure 12a",
        shows="Adam at 0.01, last step, PSNR (range 1)",
        paper="a curve",
        here=_key(
            "optimisers", "optimiser", "psnr_db", kind="micrograph, P(10)", optimiser="adam 0.01"
        ),
        why="From one start, against the clean images.",
    )
    yield Statement(
        place="Figure 12b",
        shows="Algorithm 2 repeated on one image, PSNR (range 1)",
        paper="two curves",
        here=_key("algorithm-2", "repeat", "psnr_db"),
        why="Repeats differ in their random starts alone.",
    )


def _figure_13() -> Iterator[Statement]:
    for row, values in PAPER_13.items():
        for noise, value in zip(PAPER_NOISES, values, strict=True):
            if value is not None:
                yield Statement(
                    place="Figure 13",
                    shows=f"{row.removeprefix('paper: ')}, {noise}, PSNR (range 1)",
                    paper=f"{value:.2f} dB",
                    here=_score(_OURS_13[row], noise),
                    why=_WHY_ROWS_13.get(row) or _WHY_13.get(noise, _RANGE),
                )
    for noise in PAPER_NOISES:
        yield Statement(
            place="Figure 13",
            shows=f"a constant image, {noise}, PSNR (range 1)",
            paper="not shown",
            here=_score("constant", noise),
            why="What every other row is to be read beside.",
        )


def _last_figures() -> Iterator[Statement]:
    yield Statement(
        place="Section 4.3.1",
        shows="the supervised network by its own authors, P(1), PSNR (range 1)",
        paper="38.05 dB",
        here=_score(P1, "P(1)"),
        why="70 million parameters and long training there, two cores here.",
    )
    yield Statement(
        place="Figure 14",
        shows="real micrographs",
        paper="pictures",
        here="figure-14",
        why="Their video is not published; ours is another, and held-out electrons judge.",
    )
    for nz, paper in ((50, "27.66 dB"), (100, "24.60 dB"), (150, "23.65 dB")):
        yield Statement(
            place="Section 4.4",
            shows=f"R of the best state, nz {nz}",
            paper=paper,
            here=_key("latent", "best", "r_db", variant=f"nz {nz}"),
            why="The paper's is of one image; ours has seen fewer crops, of a smaller grid.",
        )
    for place, kind in (("Figures 15 and 16", "grey"), ("Figures 17 and 18", "colour")):
        yield Statement(
            place=place,
            shows=f"natural images never seen, {kind}, found by Algorithm 2, PSNR (range 1)",
            paper="pictures",
            here=_key("natural", "reconstructions", "psnr_db", row=f"{kind}: Algorithm 2"),
            why="Which images is told in the table of the experiment.",
        )


def _claims_of_figure_13() -> Iterator[Claim]:
    for noise in ("P(10)", "P(1)", "G(0.5)"):
        yield Claim(
            place="Section 4.3.1",
            says=f"the GAN's images are sharper than the supervised network's, {noise}",
            more=_score(GAN, noise, "spectrum_ratio"),
            less=_score(P1, noise, "spectrum_ratio"),
            why="Fine detail over the truth's. Sharp is not right, and left noise is sharp too.",
        )
    for noise in ("P(10)", "P(1)"):
        yield Claim(
            place="Section 4.4",
            says=f"the GAN keeps the contrast of atoms and vacuum better, {noise}",
            more=_score(GAN, noise, "contrast_ratio"),
            less=_score(P1, noise, "contrast_ratio"),
            ideal=1.0,
            why="Contrast over the truth's, the nearer to 1 the better.",
        )
    for noise in ("P(25)", "P(10)", "G(0.1)", "G(0.5)", "G(1)"):
        yield Claim(
            place="Section 4.3.1",
            says=f"the GAN denoises better than the supervised network, {noise}",
            more=_score(GAN, noise),
            less=_score(P1, noise),
            why="The paper's network was not trained for these images; ours is, at P(1) alone.",
        )
    yield Claim(
        place="Section 4.3.1",
        says="the supervised network denoises better at clipped P(1)",
        more=_score(P1, "clipped P(1)"),
        less=_score(GAN, "clipped P(1)"),
        why="Neither is told that the data are clipped.",
    )
    for nz in (100, 150):
        for noise in ("none", "P(10)", "P(1)"):
            yield Claim(
                place="Section 4.4",
                says=f"nz 50 denoises better than nz {nz}, {noise}",
                more=_score(GAN, noise),
                less=_score(f"GAN, nz {nz}", noise),
                why="Of one training each: the spread over seeds is not in the interval.",
            )


def _other_claims() -> Iterator[Claim]:
    for noise in PAPER_NOISES[1:]:
        yield Claim(
            place="Sections 3.1 and 4.3.1",
            says=f"the image found from {noise} is that found from the clean frame",
            more=_key("hypothesis", "same image", "same_db", noise=noise),
            less=_key("hypothesis", "same image", "psnr_db", noise=noise),
            why="Nearer to that image than to the truth, in dB.",
        )
    yield Claim(
        place="Section 4.2.2",
        says="two time scales end the repetition of images",
        more=_key("retraining", "spread", "repeated", variant="redesign"),
        less=_key("retraining", "spread", "repeated", variant="TTUR"),
        by="number",
        why="Share of samples that repeat, over trainings from other seeds: too few to tell.",
    )
    for noise in ("P(25)", "P(10)", "G(0.1)", "G(0.5)", "G(1)"):
        yield Claim(
            place="Sections 2.2 and 5",
            says=f"a network without biases generalises to noise it has not seen, {noise}",
            more=_score(P1, noise, experiment="supervised"),
            less=_score(WITH_BIASES, noise, experiment="supervised"),
            why="Both trained at P(1) alone, on the same images; the difference in PSNR.",
        )
