"""What each check asks, in one sentence, for who looks at it in the UI. Light: assets declare checks at load."""

from collections.abc import Mapping

from mlops_assets.domain.check_names import (
    DRIFT_ALARM,
    INPUT_QUALITY,
    KNOWN_VERSIONS,
    LABELS_SOUND,
    NO_REPEATED_ANSWERS,
    QUALITY_HOLDS,
    WHOLE_LOG,
)
from mlops_assets.domain.data.checks import (
    DISTRIBUTION,
    FRESHNESS,
    LEAKAGE,
    NULLS,
    ONLINE,
    QUARANTINE,
    SCHEMA,
    TELLING,
    VOLUME,
)
from mlops_assets.domain.evaluation.gates import Gate
from mlops_assets.domain.release.serving_checks import ServingCheck

ASKS: Mapping[str, str] = {
    "kept_rows": "Does the source still hold the rows it held before?",
    "no_repeats": "Does every partition hold rows of its own, not those of another sent again?",
    "kept_schema": "Are columns and types those of the partitions before it?",
    "every_row_timed": "Does every row have a time that can be read, so that it lies in its partition?",
    SCHEMA: "Are the declared columns there, with types that can be read as declared?",
    VOLUME: "Does each partition hold about as many rows as the recent ones?",
    FRESHNESS: "Is the latest row young enough?",
    QUARANTINE: "Do few enough rows break an expectation?",
    NULLS: "Is the share of missing values within the declared one?",
    DISTRIBUTION: "Do the values look like those of the reference?",
    ONLINE: "Does the online store answer what the offline join gives at the same moment?",
    KNOWN_VERSIONS: "Does the registry or the ledger know every version that answered?",
    NO_REPEATED_ANSWERS: "Does each answer and each outcome stand once?",
    WHOLE_LOG: "Is every row that the endpoint's log holds of the day in the files?",
    TELLING: "Does no column explain the outcome nearly alone, as one does that is written after it?",
    LEAKAGE: "Was every feature of an example known at its moment?",
    Gate.ROWS: "Are there enough test rows to judge on?",
    Gate.FLOOR: "Is the score surely above the declared floor?",
    Gate.CEILING: "Is the score too good to be true, as it is when the outcome leaks into the inputs?",
    Gate.CHAMPION: "Is the candidate surely better than the champion on the same rows?",
    Gate.SLICES: "Is no declared slice served worse than by the champion?",
    Gate.ANCHOR: "Is the candidate not worse than the fixed anchor, so that small losses do not add up?",
    Gate.BASELINES: "Does the network surely beat the simple models trained on the same rows?",
    Gate.CALIBRATION: "Do the predicted probabilities mean what they say?",
    Gate.FAIRNESS: "Are the groups of the protected attributes treated alike, within the declared limits?",
    Gate.ROBUSTNESS: "Does the score hold when values are missing, extreme or unknown?",
    Gate.LATENCY: "Does one row get its answer within the declared time?",
    Gate.PARITY: "Does the graph that is served answer what the trained network answers?",
    Gate.REFIT: "Is the model that learnt every row as sound as the last of those that judged its recipe?",
    ServingCheck.GOLDEN: "Does the started Bento answer the golden requests as expected?",
    ServingCheck.DOORS: "Do JSON and Arrow give the answers that the bundle gives in this process?",
    ServingCheck.PROVIDER: "Did the provider run that was asked for?",
    ServingCheck.LATENCY: "Does a whole request with one row keep the declared time?",
    ServingCheck.REPLAY: "Does it answer logged requests as soundly as the version that answered them?",
    DRIFT_ALARM: "Did too few of the last days drift from the training data to be an alarm?",
    INPUT_QUALITY: "Are missing values, ranges, categories and columns of live rows those of the training data?",
    QUALITY_HOLDS: "Has quality on ripe labels not fallen by more than declared?",
    LABELS_SOUND: "Do labels come, of requests that were answered, and without contradicting each other?",
}
