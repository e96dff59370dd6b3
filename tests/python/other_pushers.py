"""What skopeo and Docker push into the sandbox's registry, the sandbox runs.

skopeo comes from `./test` (target/debian); Docker is asked only where an engine answers. Without them these tests say why
they were skipped.
"""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from exercise import EXECUTION_POLICY, TRUST, ask_the_container, eventually
from oci_push import ECS_ARCH, MANIFEST, digest

NAME = "pushed-by-others"


def debian() -> Path:
    folder = Path(os.environ["LABGUARD_BIN"]).parents[1] / "debian"
    skipped = folder / "skipped"
    if skipped.exists():
        pytest.skip(skipped.read_text().strip())
    assert (folder / "usr/bin/skopeo").exists(), f"{folder} is missing: run ./test --prepare first"
    return folder


def skopeo(home: Path, *arguments: str) -> None:
    folder = debian()
    libraries = ":".join(str(path) for path in (folder / "usr/lib").iterdir())
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "LD_LIBRARY_PATH": libraries}
    done = subprocess.run(
        [folder / "usr/bin/skopeo", "--insecure-policy", *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"skopeo {arguments[0]}: {done.stderr}"


def layout_of(image, at: Path) -> str:
    """The image as an OCI layout folder, for skopeo."""
    blobs = at / "blobs/sha256"
    blobs.mkdir(parents=True)
    for blob in (image.config, image.layer, image.manifest):
        (blobs / digest(blob).removeprefix("sha256:")).write_bytes(blob)
    top = {"mediaType": MANIFEST, "digest": image.digest, "size": len(image.manifest)}
    (at / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    (at / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return f"oci:{at}"


def repository(client) -> tuple[str, str, str]:
    """A new repository: where to push, the password for the user AWS, and what ECS calls it."""
    ecr = client("ecr")
    uri = ecr.create_repository(repositoryName=NAME)["repository"]["repositoryUri"]
    data = ecr.get_authorization_token()["authorizationData"][0]
    user, password = b64decode(data["authorizationToken"]).decode().split(":", 1)
    assert user == "AWS"
    host = data["proxyEndpoint"].split("://", 1)[1]
    return f"{host}/{NAME}", password, uri


def run(client, uri: str) -> None:
    """The shortest way from an image to a container that answers."""
    ecs, ec2, iam = client("ecs"), client("ec2"), client("iam")
    ecs.create_cluster(clusterName=NAME)
    role = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=NAME, PolicyArn=EXECUTION_POLICY)
    definition = ecs.register_task_definition(
        family=NAME,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        executionRoleArn=role,
        runtimePlatform={"cpuArchitecture": ECS_ARCH, "operatingSystemFamily": "LINUX"},
        containerDefinitions=[{"name": "app", "image": uri, "portMappings": [{"containerPort": 5000}]}],
    )["taskDefinition"]["taskDefinitionArn"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "assignPublicIp": "ENABLED"}}

    def start():
        try:
            return ecs.run_task(cluster=NAME, taskDefinition=definition, launchType="FARGATE", networkConfiguration=network)
        except ecs.exceptions.ClientException as error:
            # The new role is not known everywhere yet.
            return error

    task = eventually(start, lambda it: not isinstance(it, Exception), "the role's propagation")["tasks"][0]["taskArn"]

    def seen():
        found = ecs.describe_tasks(cluster=NAME, tasks=[task])["tasks"]
        return found[0] if found else None

    running = eventually(seen, lambda it: it and it["lastStatus"] in ("RUNNING", "STOPPED"), "the task running")
    assert running["lastStatus"] == "RUNNING", running.get("stoppedReason")
    interface = next(it["value"] for it in running["attachments"][0]["details"] if it["name"] == "networkInterfaceId")
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    ask_the_container(found["Association"]["PublicIp"])
    ecs.stop_task(cluster=NAME, task=task)
    eventually(seen, lambda it: it and it["lastStatus"] == "STOPPED", "the task stopping")


def test_skopeo_copies_an_image_in_and_out_and_the_sandbox_runs_it(client, image, tmp_path):
    debian()
    place, password, uri = repository(client)
    login = ("--dest-creds", f"AWS:{password}", "--dest-tls-verify=false")
    skopeo(tmp_path, "copy", "--preserve-digests", *login, layout_of(image, tmp_path / "layout"), f"docker://{place}:v1")
    details = client("ecr").describe_images(repositoryName=NAME)["imageDetails"]
    assert [(it["imageDigest"], it["imageTags"]) for it in details] == [(image.digest, ["v1"])]
    back = ("--src-creds", f"AWS:{password}", "--src-tls-verify=false")
    skopeo(tmp_path, "copy", *back, f"docker://{place}@{image.digest}", f"dir:{tmp_path}/back")
    assert (tmp_path / "back/manifest.json").read_bytes() == image.manifest
    for blob in (image.config, image.layer):
        assert (tmp_path / "back" / digest(blob).removeprefix("sha256:")).read_bytes() == blob
    run(client, f"{uri}@{image.digest}")


def test_docker_pushes_an_image_and_the_sandbox_runs_it(client, image, tmp_path):
    if not shutil.which("docker"):
        pytest.skip("there is no docker command")
    environment = os.environ | {"DOCKER_CONFIG": str(tmp_path / "docker")}

    def docker(*arguments: str, text: str | None = None) -> str:
        done = subprocess.run(["docker", *arguments], env=environment, input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"docker {arguments[0]}: {done.stdout}{done.stderr}"
        return done.stdout

    if subprocess.run(["docker", "version"], env=environment, capture_output=True).returncode != 0:
        pytest.skip("no Docker engine answers")
    debian()
    place, password, uri = repository(client)
    tag = f"{place}:v1"
    skopeo(tmp_path, "copy", layout_of(image, tmp_path / "layout"), f"docker-archive:{tmp_path}/image.tar:{tag}")
    try:
        docker("load", "--input", str(tmp_path / "image.tar"))
        docker("login", "--username", "AWS", "--password-stdin", place.split("/", 1)[0], text=password)
        docker("push", tag)
    finally:
        subprocess.run(["docker", "image", "rm", "--force", tag], env=environment, capture_output=True)
    details = client("ecr").describe_images(repositoryName=NAME)["imageDetails"]
    assert [it["imageTags"] for it in details] == [["v1"]]
    run(client, f"{uri}@{details[0]['imageDigest']}")
