"""The switches that keep every dependency from calling home; imports nothing, so anything may read them."""

from __future__ import annotations

OFFLINE: dict[str, str] = {
    # Respected by several packages at once (mlflow wants the word "true", huggingface_hub takes it too).
    "DO_NOT_TRACK": "true",
    "DISABLE_TELEMETRY": "true",
    "SCARF_NO_ANALYTICS": "true",
    "SCARF_ANALYTICS": "false",
    # Airflow: no usage data, metrics, traces or crash reports; no reverse DNS look-up for its own host name;
    # no API explorer, whose page loads its scripts from a public CDN.
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__METRICS__STATSD_ON": "False",
    "AIRFLOW__METRICS__OTEL_ON": "False",
    "AIRFLOW__TRACES__OTEL_ON": "False",
    "AIRFLOW__SENTRY__SENTRY_ON": "False",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__API__ENABLE_SWAGGER_UI": "False",
    # MLflow: no telemetry, no gateway to outside models; without job execution it needs 2 processes, not 10.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    # Great Expectations.
    "GX_ANALYTICS_ENABLED": "False",
    # Hugging Face: files that are on this machine, or none.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    # PRAW asks PyPI for a newer version of itself unless told not to.
    "praw_check_for_updates": "false",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
"""Environment variables for every process of the platform; safe to set beside a user's own environment."""
