"""A DAG bundle with one file per model, and one for all: a YAML in config/ is DAGs, and a broken one breaks none.

Airflow keeps import errors by file. With one file per model, a mistake in a model's YAML is an import error of
that model alone, and the code that Airflow shows for a DAG is its YAML.
"""

from __future__ import annotations

from pathlib import Path

from airflow.dag_processing.bundles.base import BaseDagBundle

from sovereign_tasks.config import config_folder, model_files

# Airflow skips a file that does not hold the words airflow and dag.
_MAINTENANCE = '''"""The Airflow DAG that looks after what all models leave behind."""

from dags.maintenance import maintenance

maintenance_dag = maintenance({folder!r})
'''
_FILE = '''"""The Airflow DAGs of {path}.

{text}
"""

from dags.base import base
from dags.build_dataset import build_dataset
from dags.erase import erase
from dags.retrain import retrain
from dags.rollback import rollback
from dags.watch import watch

build_dag = build_dataset({path!r})
retrain_dag = retrain({path!r})
erase_dag = erase({path!r})
rollback_dag = rollback({path!r})
watch_dag = watch({path!r})
base_dag = base({path!r})  # None unless the base is to be made here
'''


class ModelBundle(BaseDagBundle):
    """Writes one small DAG file per model file, again at every refresh; files that did not change stay."""

    supports_versioning = False

    @property
    def path(self) -> Path:
        """Where the written files are."""
        return self.base_dir

    def initialize(self) -> None:
        """Write the files before their first use."""
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Bring the files in line with the YAML of the config folder."""
        with self.lock():
            self.path.mkdir(parents=True, exist_ok=True)
            wanted = {self.path / f"{path.stem}.py": _render(path) for path in model_files()}
            wanted[self.path / "_maintenance.py"] = _MAINTENANCE.format(folder=str(config_folder()))
            for stale in set(self.path.glob("*.py")) - wanted.keys():
                stale.unlink()
            for file, text in wanted.items():
                if not file.exists() or file.read_text(encoding="utf-8") != text:
                    part = file.with_suffix(".part")
                    part.write_text(text, encoding="utf-8")
                    part.rename(file)

    def get_current_version(self) -> None:
        """Model files are the owner's to version."""
        return


def _render(path: Path) -> str:
    try:
        yaml = path.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        yaml = f"can't be read: {e.strerror}"  # an import error of its own once the file below loads it
    quoted = yaml.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return _FILE.format(path=str(path), text=quoted)
