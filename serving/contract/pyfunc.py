"""Opens a bundle for the tools of a model registry: a table of named fields in, a table of named outputs out.

The registry calls `_load_pyfunc`; nothing here knows whose registry it is. The endpoint does not come this
way.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.contract.bundle import Bundle, open_bundle
from serving.contract.encoding import pack_table

if TYPE_CHECKING:
    import pandas as pd


class BundleModel:
    """A bundle behind `predict(frame)`."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def predict(self, frame: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """One row of outputs for each row of the frame; a field that the frame lacks is missing."""
        import pandas as pd
        import pyarrow as pa

        if params:
            raise ValueError(f"this model takes no parameters, but got {', '.join(sorted(params))}")
        contract = self._bundle.contract
        fields = frame.reindex(columns=[*contract.numbers, *contract.categories])
        rows = pa.Table.from_pandas(fields, preserve_index=False)
        answers = self._bundle.predict(*pack_table(rows, contract.numbers, contract.categories))
        return pd.DataFrame({contract.outputs[0].name: answers.tolist()}, index=frame.index)


def _load_pyfunc(path: str) -> BundleModel:
    return BundleModel(open_bundle(Path(path)))
