# One image for every Airflow component, the workers and MLflow: docker-compose.yaml says which does what.
FROM python:3.11-slim-bookworm

RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin sovereign \
    && install -d -o sovereign -g sovereign -m 0700 \
        /opt/airflow /var/lib/sovereign /var/lib/mlflow /var/log/airflow /var/lib/logins

WORKDIR /opt/sovereign
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .

ENV PYTHONPATH=/opt/sovereign PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AIRFLOW_HOME=/opt/airflow
USER sovereign
