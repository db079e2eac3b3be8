"""Run the notebooks and keep what they print: ``python notebooks/execute.py``."""

import base64
import io
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

HERE = Path(__file__).parent


def executed(path: Path, *, prelude: str = "") -> NotebookNode:
    """Run a notebook from its own folder and return it with its outputs.

    Parameters
    ----------
    path : pathlib.Path
        The notebook; the file is not changed.
    prelude : str, optional
        Python to run before the first cell.

    Returns
    -------
    nbformat.NotebookNode

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        When a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    if prelude:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(prelude))
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    # Pictures appear in the notebook whatever backend the caller has chosen.
    client.execute(env={k: v for k, v in os.environ.items() if k != "MPLBACKEND"})
    return notebook


def smaller(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook with its pictures in 64 colours, without notes of a run."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _few_colours(output.data["image/png"])
    notebook.metadata = {
        "kernelspec": notebook.metadata["kernelspec"],
        "language_info": {"name": "python"},
    }
    return notebook


def _few_colours(picture: str) -> str:
    """Return a picture with 64 colours."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    shown = io.BytesIO()
    few = image.quantize(64, dither=Image.Dither.NONE)
    few.save(shown, format="PNG", optimize=True)
    return base64.b64encode(shown.getvalue()).decode("ascii")


def main() -> None:
    """Run all notebooks of this folder in place."""
    for path in sorted(HERE.glob("*.ipynb")):
        nbformat.write(smaller(executed(path)), path)


if __name__ == "__main__":
    main()
