"""
Add a material
==============

A CIF file and a zone axis give a recipe; the recipe gives images to train on. The whole way, to a
denoiser, is in :doc:`/own-material`; here are its first steps, with a look at what is simulated.
"""

import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from emprior.new import new
from emprior.simulate import preview

folder = Path(tempfile.mkdtemp())
(folder / "MgO.cif").write_text(
    """\
data_MgO
_cell_length_a 4.212
_cell_length_b 4.212
_cell_length_c 4.212
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mg1 Mg 0.0 0.0 0.0
O1 O 0.5 0.5 0.5
"""
)

# %%
# The recipe says what each line does. Narrow what you know; let wide what you do not.

recipe = folder / "mgo.toml"
new("MgO", folder / "MgO.cif", (0, 0, 1), recipe)
text = recipe.read_text()
print(text)

# %%
# A contact sheet of a small version of it: would you take these for your micrographs?

small = {"structures": 4, "images": 1, "shape": [128, 128], "grid": 192, "thickness": [8, 24]}
for key, value in small.items():
    text = re.sub(rf"^{key} = [^#\n]*", f"{key} = {value} ", text, flags=re.MULTILINE)
recipe.write_text(text)
found = preview(recipe, folder / "mgo.png", workers=1)
print(f"{found.shown} images; the whole set takes about {found.seconds:.0f} s")
figure, axis = plt.subplots(figsize=(7, 5), layout="constrained")
axis.imshow(plt.imread(found.sheet), cmap="gray")
axis.set_axis_off()
