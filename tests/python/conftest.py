"""Fixtures: one sandbox process for each test, one image for all of them, clients that can reach nothing else."""

import boto3
import botocore.config
import pytest

from oci_push import Image, image_of
from sandbox_process import KEY, REGION, Sandbox, binary


@pytest.fixture
def sandbox(tmp_path):
    running = Sandbox(tmp_path)
    yield running
    ended = running.stop()
    assert ended == 0, f"labguard sandbox ended with {ended} on SIGTERM:\n{running.said()}"


@pytest.fixture
def client(sandbox):
    """A function that makes a boto3 client of the sandbox, without retries that would hide a refusal."""

    def make(service: str, key: str = KEY):
        return boto3.client(
            service,
            endpoint_url=sandbox.endpoint,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=key,
            config=botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
        )

    return make


@pytest.fixture(scope="session")
def image() -> Image:
    """The reference prediction service: the labguard binary itself as `predictor serve`."""
    return image_of(binary(), ["predictor", "serve"], 5000)
