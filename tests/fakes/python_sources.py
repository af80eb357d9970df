"""Sources as a team would write them, each with three days of rows."""

from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa

from tests.kit.specs import START

_ROWS = pd.DataFrame(
    {"at": [START + timedelta(days=day) for day in range(3)], "n": range(3)}, index=pd.Index([7, 8, 9])
)


class FrameSource:
    def read(self, feed: str, start: datetime | None, end: datetime | None, as_of: datetime) -> pd.DataFrame:
        return _ROWS


class TableSource:
    def read(self, feed: str, start: datetime | None, end: datetime | None, as_of: datetime) -> pa.Table:
        return pa.Table.from_pandas(_ROWS, preserve_index=False)


class TellingSource(TableSource):
    def changed(self, feed: str, since: datetime, as_of: datetime) -> pd.DataFrame:
        return _ROWS.head(1)


class ListSource:
    def read(self, feed: str, start: datetime | None, end: datetime | None, as_of: datetime) -> list:
        return _ROWS.to_dict("records")
