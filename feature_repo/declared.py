"""What `feast apply` finds besides the hand-written modules: every service that the pipeline declared.

Feast deletes from its registry what it does not find in the repository. Read by Feast's command line only,
which nothing but the environment can tell where they are.
"""

import json
import os
from pathlib import Path

from feature_repo.tabular import tabular_objects


def _folder() -> Path:
    home = os.environ.get("MLOPS_HOME", "")
    if not Path(home).is_absolute():
        raise ValueError(f"MLOPS_HOME is {home!r}. Set it to the absolute path of the folder that holds the lake.")
    folder = Path(home, "feast", "declared")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


for _file in sorted(_folder().glob("*.json")):
    for _object in tabular_objects(json.loads(_file.read_text())):
        globals()[f"{_file.stem}_{type(_object).__name__}_{_object.name}"] = _object
