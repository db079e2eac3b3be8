"""The notebooks run without error or warning, and print what they show."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[1] / "notebooks"
sys.path.insert(0, str(FOLDER))

from execute import executed, smaller  # noqa: E402 - a script beside the notebooks

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
RENEW = "run: python notebooks/execute.py"

# ibis 12 asks pandas 3 for an option that pandas 4 will not have.
STRICT = """
import warnings
warnings.filterwarnings("error")
warnings.filterwarnings("ignore", "The 'future.infer_string' option")
"""


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words(cell):
    """What a cell prints, without pictures and tables in HTML."""
    found = []
    for output in cell.outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        found.append((output.output_type, output.get("name", ""), str(text).strip()))
    return found


def has_picture(cell):
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def is_drawing(cell):
    return "sl.plot(" in cell.source or "\nplot_" in "\n" + cell.source


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == [
        "01_first_look.ipynb",
        "02_lifetime_value.ipynb",
        "03_referrals_and_social_value.ipynb",
        "04_does_the_loop_sustain_itself.ipynb",
        "05_funnel_and_repurchase.ipynb",
    ]


def check_no_noise(notebook):
    for cell in code_cells(notebook):
        noise = [o for o in cell.outputs if o.get("name") == "stderr"]
        assert not noise, cell.source


def check_same_words(stored, fresh):
    for old, new in zip(code_cells(stored), code_cells(fresh), strict=True):
        assert words(old) == words(new), f"{RENEW}\n{old.source}"


def check_pictures(notebook):
    drawings = [cell for cell in code_cells(notebook) if is_drawing(cell)]
    assert len(drawings) >= 7
    for cell in drawings:
        assert has_picture(cell), f"{RENEW}\n{cell.source}"


# One test, because running a notebook takes long.
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_is_stored(path):
    stored = nbformat.read(path, as_version=4)
    fresh = executed(path, prelude=STRICT)
    del fresh.cells[0]
    check_no_noise(fresh)
    check_same_words(stored, fresh)
    check_pictures(fresh)
    check_pictures(stored)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_is_small_and_names_no_folder_of_a_machine(path):
    text = path.read_text("utf-8")
    assert len(text) < 400_000
    for place in ("/home/", "/tmp/", "/Users/", "C:\\\\", str(FOLDER.parent)):
        assert place not in text, place


def made(folder, source):
    path = folder / "small.ipynb"
    cells = [nbformat.v4.new_code_cell(source)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


def test_a_warning_in_a_notebook_is_an_error(tmp_path):
    path = made(tmp_path, "import warnings\nwarnings.warn('few rows')")
    with pytest.raises(CellExecutionError, match="few rows"):
        executed(path, prelude=STRICT)


def test_pictures_are_kept_in_few_colours(tmp_path):
    source = """
%matplotlib inline
import matplotlib.pyplot as plt
plt.plot([1, 2]);
"""
    notebook = executed(made(tmp_path, source))
    before = len(notebook.cells[0].outputs[0].data["image/png"])
    after = len(smaller(notebook).cells[0].outputs[0].data["image/png"])
    assert 0 < after < before
