"""The exercise's own figures, and what both suites do alike: wait, ask the container, name the parts.

The request is the one in config/admission.toml, so that the exercise's text stands in one place.
"""

import time
import tomllib
from pathlib import Path

import requests

PROJECT = Path(__file__).resolve().parents[2]
ANSWER = 0.7335
TOLERANCE = 0.0005
PORTS = (80, 5000)
EXECUTION_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}]}'
)
# AWS gives no bound for these; the sandbox's are seconds (aws-facts: role propagation, ENI release).
PATIENCE = 120.0


def _first(table: dict, key: str):
    if key in table:
        return table[key]
    for value in table.values():
        if isinstance(value, dict) and (found := _first(value, key)) is not None:
            return found
    return None


def prediction_request() -> dict:
    with (PROJECT / "config" / "admission.toml").open("rb") as file:
        predict = _first(tomllib.load(file), "predict")
    assert predict and predict.get("body"), "config/admission.toml has no predict.body"
    body = predict["body"]
    if isinstance(body, str):
        import json

        return json.loads(body)
    return body


def eventually(ask, good, what: str, patience: float = PATIENCE, every: float = 0.25):
    """Asks until `good(answer)`; the last answer is in the failure."""
    deadline = time.monotonic() + patience
    while True:
        answer = ask()
        if good(answer):
            return answer
        assert time.monotonic() < deadline, f"{what} did not come about within {patience:.0f} s; last: {answer!r}"
        time.sleep(every)


def numbers_in(value) -> list[float]:
    if isinstance(value, bool):
        return []
    if isinstance(value, (int, float)):
        return [float(value)]
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers_in(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in numbers_in(inner)]
    return []


def ask_the_container(address: str) -> None:
    """What the exercise's reader does in the browser and with curl: ping, then predict."""
    base = f"http://{address}:5000"

    def ping():
        try:
            return requests.get(f"{base}/ping", timeout=5).status_code
        except requests.RequestException as error:
            return error

    eventually(ping, lambda status: status == 200, f"{base}/ping answering 200", patience=30)
    page = requests.get(f"{base}/", timeout=5)
    assert page.status_code == 200 and "<form" in page.text, "the page with a form is not there"
    answer = requests.post(f"{base}/predict", json=prediction_request(), timeout=5)
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    close = [number for number in numbers_in(answer.json()) if abs(number - ANSWER) <= TOLERANCE]
    assert close, f"expected {ANSWER} ± {TOLERANCE} in {answer.text}"
    bad = requests.post(f"{base}/predict", json={}, timeout=5)
    assert bad.status_code == 422, f"an empty request was answered with {bad.status_code}"


def nobody_listens(address: str) -> bool:
    try:
        requests.get(f"http://{address}:5000/ping", timeout=2)
    except requests.RequestException:
        return True
    return False
