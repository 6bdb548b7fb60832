"""README's Python is executed, block after block in one namespace, as a reader would; and typed as strictly as can be."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_every_block_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(BLOCKS) >= 5
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    for number, block in enumerate(BLOCKS, 1):
        exec(compile(block, f"README.md, block {number}", "exec"), module.__dict__)
    assert "payment-for-reservation-of-order-123" in capsys.readouterr().out


def test_the_quick_start_runs_on_its_own(tmp_path: Path) -> None:
    (quick,) = [block for block in BLOCKS if '@saga("create_order")' in block]
    (tmp_path / "quick.py").write_text(quick, encoding="utf-8")
    told = subprocess.run([sys.executable, tmp_path / "quick.py"], capture_output=True, text=True, check=False)
    assert "payment-for-reservation-of-order-123" in told.stdout, told.stderr


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """All blocks in one file, in a folder that knows nothing of this project's settings."""
    file = tmp_path / "program.py"
    file.write_text("\n\n".join(BLOCKS), encoding="utf-8")
    return file


def test_mypy_accepts_it_all(program: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", program.name]
    told = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    assert told.stdout.startswith("Success"), told.stdout + told.stderr


def test_pyright_accepts_it_all(program: Path) -> None:
    # The quick start stands on its own, so that its imports are repeated.
    settings = '{"typeCheckingMode": "strict", "reportDuplicateImport": "none"}'
    (program.parent / "pyrightconfig.json").write_text(settings, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("basedpyright")), "--pythonpath", sys.executable]
    told = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    assert told.stdout.startswith("0 errors"), told.stdout + told.stderr
