"""The exercise by hand with the AWS CLI, as its reader types it: `aws … ` against AWS_ENDPOINT_URL, JSON read back."""

import json
import subprocess
import sys
from pathlib import Path

from exercise import EXECUTION_POLICY, PORTS, TRUST, ask_the_container, eventually, nobody_listens
from oci_push import ECS_ARCH, Registry
from sandbox_process import ACCOUNT, REGION

NAME = "admission-cli"


class Cli:
    def __init__(self, environment: dict[str, str]):
        self.environment = environment
        self.program = Path(sys.executable).with_name("aws")

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.program, *arguments, "--output", "json"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def __call__(self, *arguments: str):
        done = self.run(*arguments)
        assert done.returncode == 0, f"aws {' '.join(arguments)}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, code: str, *arguments: str) -> None:
        done = self.run(*arguments)
        assert done.returncode != 0, f"aws {' '.join(arguments)} was not refused: {done.stdout}"
        assert f"({code})" in done.stderr, done.stderr

    def once_allowed(self, codes: tuple[str, ...], what: str, *arguments: str):
        def ask():
            done = self.run(*arguments)
            if done.returncode != 0:
                assert any(f"({code})" in done.stderr for code in codes), done.stderr
            return done

        done = eventually(ask, lambda it: it.returncode == 0, what)
        return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_exercise_runs_and_is_taken_away_in_order(sandbox, image, tmp_path):
    aws = Cli(sandbox.environment())
    assert aws("sts", "get-caller-identity")["Account"] == ACCOUNT

    uri = aws("ecr", "create-repository", "--repository-name", NAME)["repository"]["repositoryUri"]
    data = aws("ecr", "get-authorization-token")["authorizationData"][0]
    pushed = Registry(data["proxyEndpoint"], NAME, data["authorizationToken"]).push(image, "v1")
    assert aws("ecr", "list-images", "--repository-name", NAME)["imageIds"] == [{"imageDigest": pushed, "imageTag": "v1"}]

    aws("ecs", "create-cluster", "--cluster-name", NAME, "--settings", "name=containerInsights,value=disabled")
    role = aws("iam", "create-role", "--role-name", NAME, "--assume-role-policy-document", TRUST)["Role"]["Arn"]
    aws("iam", "attach-role-policy", "--role-name", NAME, "--policy-arn", EXECUTION_POLICY)
    aws("logs", "create-log-group", "--log-group-name", f"/labguard/{NAME}")
    definition_file = tmp_path / "task-definition.json"
    options = {"awslogs-group": f"/labguard/{NAME}", "awslogs-region": REGION, "awslogs-stream-prefix": "lab"}
    definition_file.write_text(
        json.dumps(
            {
                "family": NAME,
                "requiresCompatibilities": ["FARGATE"],
                "networkMode": "awsvpc",
                "cpu": "256",
                "memory": "512",
                "executionRoleArn": role,
                "runtimePlatform": {"cpuArchitecture": ECS_ARCH, "operatingSystemFamily": "LINUX"},
                "containerDefinitions": [
                    {
                        "name": "admission",
                        "image": f"{uri}:v1",
                        "portMappings": [{"containerPort": port} for port in PORTS],
                        "logConfiguration": {"logDriver": "awslogs", "options": options},
                    }
                ],
            }
        )
    )
    definition = aws("ecs", "register-task-definition", "--cli-input-json", f"file://{definition_file}")
    definition = definition["taskDefinition"]["taskDefinitionArn"]
    vpc = aws("ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true")["Vpcs"][0]["VpcId"]
    subnet = aws("ec2", "describe-subnets", "--filters", f"Name=vpc-id,Values={vpc}")["Subnets"][0]["SubnetId"]
    group = aws("ec2", "create-security-group", "--group-name", NAME, "--description", "the exercise", "--vpc-id", vpc)
    group = group["GroupId"]
    for port in PORTS:
        aws(
            "ec2", "authorize-security-group-ingress", "--group-id", group,
            "--protocol", "tcp", "--port", str(port), "--cidr", "0.0.0.0/0",
        )
    network = f"awsvpcConfiguration={{subnets=[{subnet}],securityGroups=[{group}],assignPublicIp=ENABLED}}"
    ran = aws.once_allowed(
        ("ClientException",), "the role's propagation",
        "ecs", "run-task", "--cluster", NAME, "--task-definition", NAME, "--launch-type", "FARGATE",
        "--network-configuration", network,
    )
    assert ran["failures"] == []
    task = ran["tasks"][0]["taskArn"]

    def seen():
        found = aws("ecs", "describe-tasks", "--cluster", NAME, "--tasks", task)["tasks"]
        return found[0] if found else None

    running = eventually(seen, lambda it: it and it["lastStatus"] in ("RUNNING", "STOPPED"), "the task running")
    assert running["lastStatus"] == "RUNNING", running.get("stoppedReason")
    interface = next(it["value"] for it in running["attachments"][0]["details"] if it["name"] == "networkInterfaceId")

    def address():
        found = aws("ec2", "describe-network-interfaces", "--network-interface-ids", interface)["NetworkInterfaces"]
        return found[0].get("Association", {}).get("PublicIp")

    address = eventually(address, bool, "a public address", patience=30)
    ask_the_container(address)

    aws.refused("ClusterContainsTasksException", "ecs", "delete-cluster", "--cluster", NAME)
    aws.refused("DependencyViolation", "ec2", "delete-security-group", "--group-id", group)
    aws.refused("RepositoryNotEmptyException", "ecr", "delete-repository", "--repository-name", NAME)
    aws.refused("DeleteConflict", "iam", "delete-role", "--role-name", NAME)

    aws("ecs", "stop-task", "--cluster", NAME, "--task", task)
    eventually(seen, lambda it: it and it["lastStatus"] == "STOPPED", "the task stopping")
    assert nobody_listens(address), "the container outlived its task"
    aws.once_allowed(("ClusterContainsTasksException",), "the cluster's end", "ecs", "delete-cluster", "--cluster", NAME)
    aws("ecs", "deregister-task-definition", "--task-definition", definition)
    aws("ecs", "delete-task-definitions", "--task-definitions", definition)
    aws("ecr", "delete-repository", "--repository-name", NAME, "--force")
    aws.once_allowed(("DependencyViolation",), "the interface's release", "ec2", "delete-security-group", "--group-id", group)
    aws("logs", "delete-log-group", "--log-group-name", f"/labguard/{NAME}")
    aws("iam", "detach-role-policy", "--role-name", NAME, "--policy-arn", EXECUTION_POLICY)
    aws("iam", "delete-role", "--role-name", NAME)

    assert aws("ecs", "list-clusters")["clusterArns"] == []
    assert aws("ecs", "list-task-definitions")["taskDefinitionArns"] == []
    assert aws("ecr", "describe-repositories")["repositories"] == []
    assert aws("logs", "describe-log-groups")["logGroups"] == []
    groups = aws("ec2", "describe-security-groups")["SecurityGroups"]
    assert [it["GroupName"] for it in groups] == ["default"]


def test_the_cli_is_told_what_the_sandbox_is_when_given_real_looking_keys(sandbox):
    environment = sandbox.environment()
    environment |= {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not a secret"}
    aws = Cli(environment)
    aws.refused("UnrecognizedClientException", "sts", "get-caller-identity")
    assert "AWS_ACCESS_KEY_ID=labguard-sandbox" in aws.run("sts", "get-caller-identity").stderr
