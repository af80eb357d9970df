"""The endpoint's dashboard: what each panel asks and in which unit. `dashboards.py` says how it is drawn."""

from dataclasses import dataclass

_MODEL = '{model=~"$model"}'
_ARM = "{{model}} {{version}} {{arm}}"


@dataclass(frozen=True)
class Panel:
    title: str
    help: str
    unit: str
    queries: tuple[tuple[str, str], ...]  # PromQL, legend
    limit: float | None = None  # drawn red from here on
    kind: str = "timeseries"


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def rate(metric: str, by: str, labels: str = _MODEL) -> str:
    return f"sum by ({by}) (rate({metric}{labels}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "model, version, arm") -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{_MODEL}[$__rate_interval])))"


def quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    return tuple((quantile(share, metric), f"p{share * 100:.0f} {_ARM}") for share in (0.5, 0.95, 0.99))


BOARD = Board(
    "mlops-endpoint",
    "Endpoint",
    (
        (
            "Objectives",
            (
                Panel(
                    "p95", "95 % of answers within 100 ms.", "s",
                    ((f"model:endpoint_request_seconds:p95_5m{_MODEL}", "{{model}}"),), 0.1,
                ),
                Panel(
                    "Share without an answer", "At most 1 % of requests, by the endpoint's fault.", "percentunit",
                    (
                        (f"model:endpoint_failures:ratio_rate5m{_MODEL}", "{{model}} 5 min"),
                        (f"model:endpoint_failures:ratio_rate1h{_MODEL}", "{{model}} 1 h"),
                        (f"model:endpoint_failures:ratio_rate6h{_MODEL}", "{{model}} 6 h"),
                    ), 0.01,
                ),
                Panel(
                    "Share slower than 100 ms", "At most 5 % of answers.", "percentunit",
                    (
                        (f"model:endpoint_slow:ratio_rate5m{_MODEL}", "{{model}} 5 min"),
                        (f"model:endpoint_slow:ratio_rate1h{_MODEL}", "{{model}} 1 h"),
                        (f"model:endpoint_slow:ratio_rate6h{_MODEL}", "{{model}} 6 h"),
                    ), 0.05,
                ),
            ),
        ),
        (
            "Traffic",
            (
                Panel(
                    "Answers", "Answered requests by version and arm.", "reqps",
                    ((rate("endpoint_request_seconds_count", "model, version, arm"), _ARM),),
                ),
                Panel("Time to the answer", "From arrival to answer.", "s", quantiles("endpoint_request_seconds"), 0.1),
                Panel(
                    "Errors", "Requests without a prediction and versions that failed, by kind.", "reqps",
                    ((rate("endpoint_errors_total", "model, version, kind", ""), "{{model}} {{version}} {{kind}}"),),
                ),
                Panel(
                    "Refused by one version", "Requests that another version takes, by reason.", "reqps",
                    ((rate("endpoint_refused_total", "model, version, kind", ""), "{{model}} {{version}} {{kind}}"),),
                ),
                Panel("Rows of a request", "How large requests are.", "short", quantiles("endpoint_rows")),
                Panel(
                    "Rows scored at once", "Where adaptive batching is on.", "short", quantiles("endpoint_batch_rows")
                ),
                Panel(
                    "Requests that wait", "For features or for their batch.", "short",
                    (("sum by (instance) (endpoint_waiting)", "{{instance}}"),), 512,
                ),
            ),
        ),
        (
            "Answers",
            (
                Panel(
                    "Degraded answers", "Not what they should be, by cause.", "reqps",
                    ((rate("endpoint_degraded_total", "model, version, kind"), "{{model}} {{version}} {{kind}}"),),
                ),
                Panel(
                    "Confidence", "Probability of the positive class, or of the likeliest.", "percentunit",
                    quantiles("endpoint_confidence"),
                ),
                Panel(
                    "Outcomes reported", "Feedback by version and arm.", "cps",
                    ((rate("endpoint_feedback_total", "model, version, arm"), _ARM),),
                ),
                Panel(
                    "Age of features", "Of those that were looked up.", "s",
                    tuple(
                        (quantile(share, "endpoint_feature_age_seconds", "model"), f"p{share * 100:.0f} {{{{model}}}}")
                        for share in (0.5, 0.95)
                    ), 86_400,
                ),
                Panel(
                    "Prediction cache", "Looks by outcome; nothing where it is off.", "cps",
                    ((rate("endpoint_cache_total", "model, version, kind"), "{{model}} {{version}} {{kind}}"),),
                ),
                Panel(
                    "Shadow copies dropped", "Not scored, so that users are not slowed down.", "cps",
                    ((rate("endpoint_shadow_dropped_total", "model, version, arm"), _ARM),),
                ),
                Panel(
                    "Messages of streams", "By what became of them; nothing where no stream is read.", "cps",
                    ((rate("endpoint_stream_messages_total", "model, kind"), "{{model}} {{kind}}"),),
                ),
                Panel(
                    "Predictions that were not logged", "By cause.", "cps",
                    (("sum by (instance, kind) (rate(endpoint_log_lost_rows_total[$__rate_interval]))",
                      "{{instance}} {{kind}}"),), 1e-9,
                ),
            ),
        ),
        (
            "Releases and processes",
            (
                Panel(
                    "Generation", "Of the release that is served; the lowest of all workers.", "none",
                    ((f"min by (model, instance) (endpoint_generation{_MODEL})", "{{model}} {{instance}}"),),
                    kind="stat",
                ),
                Panel(
                    "Newest release not served", "1: the one before goes on.", "none",
                    ((f"max by (model) (endpoint_behind{_MODEL})", "{{model}}"),), 1, "stat",
                ),
                Panel(
                    "Served since", "When the generation was taken up.", "dateTimeFromNow",
                    ((f"1000 * min by (model) (endpoint_loaded_unixtime{_MODEL})", "{{model}}"),), kind="stat",
                ),
                Panel(
                    "Circuit open", "1: the version is not asked, as it failed.", "none",
                    ((f"max by (model, version, arm) (endpoint_circuit_open{_MODEL})", _ARM),), 1,
                ),
                Panel("Ready", "1: takes traffic.", "none", (("endpoint_ready", "{{instance}}"),), kind="stat"),
                Panel("Workers", "That answer.", "none", (("endpoint_workers", "{{instance}}"),), kind="stat"),
                Panel(
                    "GPU use", "Share of the time that it computes; nothing where there is none.", "percentunit",
                    (("endpoint_gpu_utilisation", "{{instance}}"),),
                ),
                Panel(
                    "GPU memory", "In use, and all of it.", "bytes",
                    (
                        ("endpoint_gpu_memory_bytes", "{{instance}} in use"),
                        ("endpoint_gpu_memory_total_bytes", "{{instance}} all"),
                    ),
                ),
            ),
        ),
    ),
)  # fmt: skip
