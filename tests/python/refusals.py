"""What the sandbox must refuse: credentials that could be real, no credentials, calls that AWS would refuse."""

import botocore.exceptions
import pytest
import requests

from boto3_by_hand import refusal
from oci_push import Registry, digest

# Twenty characters as AWS issues them, made up here; AKIA is a long-lived key, ASIA a session's.
REAL_LOOKING = ("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE")


@pytest.mark.parametrize("service, operation", [
    ("sts", "get_caller_identity"), ("ecs", "list_clusters"), ("ecr", "describe_repositories"), ("ec2", "describe_vpcs"),
    ("iam", "list_roles"), ("logs", "describe_log_groups"), ("cloudwatch", "list_metrics"),
    ("resourcegroupstaggingapi", "get_resources"),
])
@pytest.mark.parametrize("key", REAL_LOOKING)
def test_real_looking_credentials_are_refused_by_every_service(client, service, operation, key):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(client(service, key), operation)()
    answer = refused.value.response
    assert answer["Error"]["Code"] == "UnrecognizedClientException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "sandbox" in answer["Error"]["Message"] and key not in answer["Error"]["Message"]


def test_an_unsigned_call_is_refused(sandbox):
    answer = requests.post(
        sandbox.endpoint,
        data="{}",
        headers={
            "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
            "Content-Type": "application/x-amz-json-1.1",
        },
        timeout=5,
    )
    assert answer.status_code in (400, 403)
    assert "MissingAuthenticationToken" in answer.text


def test_calls_are_refused_in_the_words_of_aws(client):
    ecs, ecr, ec2, logs = client("ecs"), client("ecr"), client("ec2"), client("logs")
    assert refusal(ecs.list_tasks, cluster="nowhere") == "ClusterNotFoundException"
    assert refusal(ecs.delete_cluster, cluster="nowhere") == "ClusterNotFoundException"
    assert refusal(ecr.describe_images, repositoryName="nowhere") == "RepositoryNotFoundException"
    assert refusal(ecr.delete_repository, repositoryName="nowhere") == "RepositoryNotFoundException"
    assert refusal(ec2.delete_security_group, GroupId="sg-0123456789abcdef0") == "InvalidGroup.NotFound"
    assert refusal(logs.delete_log_group, logGroupName="/nowhere") == "ResourceNotFoundException"
    missing = ecs.describe_clusters(clusters=["nowhere"])
    assert missing["clusters"] == [] and missing["failures"][0]["reason"] == "MISSING"


def test_the_registry_refuses_strangers_and_false_digests(client):
    ecr = client("ecr")
    ecr.create_repository(repositoryName="lab/guarded")
    data = ecr.get_authorization_token()["authorizationData"][0]
    endpoint, token = data["proxyEndpoint"], data["authorizationToken"]
    stranger = Registry(endpoint, "lab/guarded", "bm9ib2R5Om5vdGhpbmc=")
    assert stranger.session.get(stranger.root).status_code == 401
    registry = Registry(endpoint, "lab/guarded", token)
    assert registry.session.get(registry.root).status_code == 200
    lie = registry.upload(b"one thing", claimed=digest(b"another thing"))
    assert lie.status_code == 400 and "DIGEST_INVALID" in lie.text
    assert not registry.has_blob(digest(b"another thing")) and not registry.has_blob(digest(b"one thing"))
    absent = Registry(endpoint, "lab/never-made", token)
    begun = absent.session.post(f"{absent.base}/blobs/uploads/")
    assert begun.status_code == 404 and "NAME_UNKNOWN" in begun.text
