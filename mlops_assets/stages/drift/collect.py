"""Brings a live day together: counts of its rows, its labels, the versions that answered. Imported only in bodies.

Each row of a day is read once: what was counted is kept beside the day's report, and a later window adds it up.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.drift.days.compare import TrainingPast
from mlops_assets.domain.drift.joint_test import MOST_ROWS
from mlops_assets.domain.drift.live_day import (
    ANSWERED_BY,
    COUNTED_COLUMNS,
    AnswerCounts,
    BundleReference,
    LiveDay,
    RowSampler,
    count_day,
    sketch_labels,
)
from mlops_assets.domain.drift.reference import ProfileError, read_profile
from mlops_assets.domain.names import CREATED_TIME, Layer, Stage
from mlops_assets.domain.partitions import Window
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.traffic.compaction import ANSWERS, OUTCOMES, REFUSALS
from mlops_assets.domain.traffic.outcomes import FEEDBACK, first_outcomes
from mlops_assets.domain.traffic.refused import count_by_kind
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.traffic.source_labels import source_labels
from serving.contract.bundle import Bundle

_COUNTS, _SAMPLE = "counts.json", "sample.parquet"
_FORMAT = 1  # of the counts


class UnjudgeableDayError(Exception):
    """Why a day cannot be judged."""

    def __init__(self, why: str, outcome: Outcome = Outcome.INCONCLUSIVE, *, is_open: bool = False) -> None:
        super().__init__(why)
        self.why, self.outcome, self.is_open = why, outcome, is_open
        self.version, self.bundle, self.rows = "", "", 0

    def about(self, version: str, bundle: str, rows: int) -> "UnjudgeableDayError":
        """The same, of the version that answered."""
        self.version, self.bundle, self.rows = version, bundle, rows
        return self


@dataclass(frozen=True, eq=False)
class OpenedVersion:
    """A version that answered."""

    bundle: Bundle
    against: BundleReference

    @property
    def features(self) -> tuple[str, ...]:
        return self.bundle.contract.numbers + self.bundle.contract.categories


@dataclass(frozen=True, eq=False)
class CollectedDay:
    """What is known of a day's rows."""

    live: LiveDay
    sample: pa.Table  # of the rows of the version that answered most
    answered: AnswerCounts
    opened: Mapping[str, OpenedVersion]
    problems: Mapping[str, UnjudgeableDayError]  # bundle → why its rows are not counted
    labels: int
    labels_from: str
    refused: Mapping[str, int]  # kind → requests without an answer


@dataclass(frozen=True)
class DriftCollector:
    """Reads the days of one run."""

    spec: ModelSpec
    days: tuple[Window, ...]
    now: datetime
    lake: Lake
    monitoring: Monitoring
    bundles: Bundles
    workspace: Workspace

    def day(self, day: Window) -> CollectedDay:
        """Counts of a day that is over and whole, or UnjudgeableDayError."""
        snapshot = self._snapshot(day)
        with _readable(day.partition):
            table = self.lake.table(self.spec.model, Layer.PREDICTIONS, ANSWERS)
            known = self._kept(day.partition, snapshot.digest)
            answered = known[0].answered if known else AnswerCounts.of(table.read_pieces(snapshot, ANSWERED_BY))
            opened, problems = self._opened(answered)
            against = {name: each.against for name, each in opened.items()}
            if known is None or set(known[0].bundles) != set(against):
                rows = next(iter(answered.bundles.values()), ("", 0))[1]
                sampler = RowSampler(rows, MOST_ROWS, digest_seed(snapshot.digest))
                known = count_day(table.read_pieces(snapshot, COUNTED_COLUMNS), answered, against, sampler)
            texts, origin = self._outcomes(day)
        live, sample = known
        live = replace(live, labels={name: sketch_labels(texts, each) for name, each in against.items()})
        self._keep(day.partition, snapshot.digest, live, sample)
        refused = self._refused(day.partition)
        return CollectedDay(live, sample, answered, opened, problems, len(texts), origin, refused)

    def earlier(self, day: str) -> tuple[LiveDay, pa.Table] | None:
        """What was counted of a day before; None where it is not there any more."""
        return self._kept(day, None)

    def _snapshot(self, day: Window) -> Snapshot:
        table = self.lake.table(self.spec.model, Layer.PREDICTIONS, ANSWERS)
        snapshot = table.snapshot(day.partition)
        if snapshot is None:
            raise UnjudgeableDayError(
                f"the answers of {day.partition} are not in the lake: materialise predictions for that day"
            )
        if day.end is not None and self.now < day.end:
            raise UnjudgeableDayError(f"the day is not over, {snapshot.rows:,} rows so far; it is judged whole")
        if not table.is_sound(snapshot):
            why = f"{snapshot.file} is gone, cut or not of {snapshot.rows:,} rows: materialise predictions for it again"
            raise UnjudgeableDayError(why, Outcome.ERROR)
        if missing := [
            name for name in COUNTED_COLUMNS if name != "role" and snapshot.rows and name not in snapshot.columns
        ]:
            raise UnjudgeableDayError(
                f"the log's rows have no {', '.join(missing)}: another program wrote them", Outcome.ERROR
            )
        return snapshot

    def _refused(self, day: str) -> Mapping[str, int]:
        table = self.lake.table(self.spec.model, Layer.PREDICTIONS, REFUSALS)
        return count_by_kind(table.read([day]).to_batches()) if table.snapshot(day) is not None else {}

    def _opened(self, answered: AnswerCounts) -> tuple[dict[str, OpenedVersion], dict[str, UnjudgeableDayError]]:
        opened, problems = {}, {}
        for digest, (version, _) in answered.bundles.items():
            try:
                bundle = self.bundles.open(digest)
                against = BundleReference(read_profile(bundle.profile), LabelSpace.of(bundle.contract, bundle.profile))
                opened[digest] = OpenedVersion(bundle, against)
            except ProfileError as err:
                problems[digest] = UnjudgeableDayError(f"version {version}: {err}")
            except (FileNotFoundError, ValueError) as err:  # unknown, damaged, or a contract of another format
                why = f"version {version} answered, and its bundle is no help: {err}"
                problems[digest] = UnjudgeableDayError(why, Outcome.ERROR)
        return opened, problems

    def _outcomes(self, day: Window) -> tuple[pa.Array | pa.ChunkedArray, str]:
        """Those that became known on the day, as JSON texts: of feedback or of the source, whichever has more."""
        feedback = self.lake.table(self.spec.model, Layer.PREDICTIONS, OUTCOMES).read([day.partition])
        texts = first_outcomes(feedback.select(FEEDBACK.names)).texts if len(feedback) else pa.array([], pa.string())
        labels = self._source_labels
        known = labels[CREATED_TIME]
        within = pc.and_(
            pc.greater_equal(known, pa.scalar(day.start, known.type)), pc.less(known, pa.scalar(day.end, known.type))
        )
        brought = pc.cast(labels.filter(within)[self.spec.target.column], pa.string())
        return (brought, "the source") if len(brought) > len(texts) else (texts, "feedback")

    @cached_property
    def pasts(self) -> dict[str, TrainingPast | None]:
        """Bundle → its training days, as `training_rows` has fitted them in this run."""
        return {}

    @cached_property
    def _source_labels(self) -> pa.Table:
        start, end = self.days[0].start, self.days[-1].end
        assert start is not None
        assert end is not None
        return source_labels(self.spec, self.lake, since=start, now=min(end, self.now))

    def _kept(self, day: str, digest: str | None) -> tuple[LiveDay, pa.Table] | None:
        """Counts of before, if they are of these answers."""
        counts = self.monitoring.get(self.spec.model, Stage.DRIFT_REPORT, day, _COUNTS)
        sample = self.monitoring.get(self.spec.model, Stage.DRIFT_REPORT, day, _SAMPLE)
        plain = json.loads(counts) if counts and sample else {}
        if not sample or plain.get("format") != _FORMAT or (digest is not None and plain["answers"] != digest):
            return None
        return LiveDay.from_plain(plain), pq.read_table(io.BytesIO(sample))

    def _keep(self, day: str, digest: str, live: LiveDay, sample: pa.Table) -> None:
        """The sample first: counts without it are none."""
        sink = pa.BufferOutputStream()
        pq.write_table(sample, sink, compression="zstd")
        plain = {"format": _FORMAT, "answers": digest, **live.to_plain()}
        put = self.monitoring.put
        put(self.spec.model, Stage.DRIFT_REPORT, day, _SAMPLE, content=sink.getvalue().to_pybytes())
        put(self.spec.model, Stage.DRIFT_REPORT, day, _COUNTS, content=json.dumps(plain).encode())


def digest_seed(digest: str) -> int:
    """Rows are drawn by what they are, so that the same day gives the same verdict."""
    return int(digest[:8], 16)


@contextmanager
def _readable(day: str) -> Iterator[None]:
    """A damaged file is a finding; a store that cannot be reached is not, and is tried again."""
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except (pa.ArrowException, OSError) as err:
        raise UnjudgeableDayError(f"{day} cannot be read: {err}", Outcome.ERROR) from err
