"""The exercise by hand with boto3: every step a person does, in order, each checked, then taken away again.

The sandbox must answer as AWS documents it (docs/sandbox.md); where it refuses, the code is AWS's.
"""

import json

import botocore.exceptions
import pytest

from exercise import EXECUTION_POLICY, PORTS, TRUST, ask_the_container, eventually, nobody_listens
from oci_push import ECS_ARCH, Registry
from sandbox_process import ACCOUNT, REGION

NAME = "admission-by-hand"


def refusal(call, **arguments) -> str:
    """The code that a call is refused with."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def once_allowed(call, codes: tuple[str, ...], what: str, **arguments):
    """Calls again while AWS answers with one of `codes`: propagation, interfaces that linger."""

    def ask():
        try:
            return call(**arguments)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in codes:
                return error
            raise

    return eventually(ask, lambda answer: not isinstance(answer, Exception), what)


def test_the_exercise_runs_and_is_taken_away_in_order(client, image):
    sts, ecr, ecs, ec2, iam, logs = (client(name) for name in ("sts", "ecr", "ecs", "ec2", "iam", "logs"))
    assert sts.get_caller_identity()["Account"] == ACCOUNT

    # repository and image
    repository = ecr.create_repository(repositoryName=NAME)["repository"]
    assert refusal(ecr.create_repository, repositoryName=NAME) == "RepositoryAlreadyExistsException"
    data = ecr.get_authorization_token()["authorizationData"][0]
    pushed = Registry(data["proxyEndpoint"], NAME, data["authorizationToken"]).push(image, "v1")
    details = ecr.describe_images(repositoryName=NAME)["imageDetails"]
    assert [(it["imageDigest"], it["imageTags"]) for it in details] == [(pushed, ["v1"])]

    # cluster, role, logs, definition, security group
    cluster = ecs.create_cluster(clusterName=NAME, settings=[{"name": "containerInsights", "value": "disabled"}])["cluster"]
    assert cluster["status"] == "ACTIVE"
    role = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=TRUST)["Role"]
    iam.attach_role_policy(RoleName=NAME, PolicyArn=EXECUTION_POLICY)
    logs.create_log_group(logGroupName=f"/labguard/{NAME}")
    logs.put_retention_policy(logGroupName=f"/labguard/{NAME}", retentionInDays=1)
    shape = {
        "family": NAME,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "executionRoleArn": role["Arn"],
        "runtimePlatform": {"cpuArchitecture": ECS_ARCH, "operatingSystemFamily": "LINUX"},
        "containerDefinitions": [
            {
                "name": "admission",
                "image": f"{repository['repositoryUri']}@{pushed}",
                "essential": True,
                "portMappings": [{"containerPort": port, "protocol": "tcp"} for port in PORTS],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": f"/labguard/{NAME}",
                        "awslogs-region": REGION,
                        "awslogs-stream-prefix": "lab",
                    },
                },
            }
        ],
    }
    assert refusal(ecs.register_task_definition, **shape, memory="8192") == "ClientException"
    definition = once_allowed(ecs.register_task_definition, ("ClientException",), "the role's propagation", **shape, memory="512")
    definition = definition["taskDefinition"]
    assert definition["status"] == "ACTIVE" and definition["revision"] == 1
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    subnets = [subnet["SubnetId"] for subnet in subnets]
    group = ec2.create_security_group(GroupName=NAME, Description="the exercise", VpcId=vpc)["GroupId"]
    assert refusal(ec2.create_security_group, GroupName=NAME, Description="again", VpcId=vpc) == "InvalidGroup.Duplicate"
    rules = [
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]} for port in PORTS
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)
    assert refusal(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=rules) == "InvalidPermission.Duplicate"

    # the task, its address, its answer
    start = {
        "cluster": NAME,
        "taskDefinition": definition["taskDefinitionArn"],
        "launchType": "FARGATE",
        "count": 1,
        "clientToken": f"{NAME}-1",
        "networkConfiguration": {
            "awsvpcConfiguration": {"subnets": subnets[:2], "securityGroups": [group], "assignPublicIp": "ENABLED"}
        },
    }
    ran = once_allowed(ecs.run_task, ("ClientException",), "the role's propagation", **start)
    assert ran["failures"] == []
    task = ran["tasks"][0]["taskArn"]
    assert ecs.run_task(**start)["tasks"][0]["taskArn"] == task, "the same clientToken started a second task"
    assert refusal(ecs.run_task, **(start | {"count": 2})) == "ConflictException"

    def seen():
        found = ecs.describe_tasks(cluster=NAME, tasks=[task])["tasks"]
        return found[0] if found else None

    running = eventually(seen, lambda it: it and it["lastStatus"] in ("RUNNING", "STOPPED"), "the task running")
    assert running["lastStatus"] == "RUNNING", running.get("stoppedReason")
    interface = next(it["value"] for it in running["attachments"][0]["details"] if it["name"] == "networkInterfaceId")

    def address():
        found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
        return found[0].get("Association", {}).get("PublicIp")

    address = eventually(address, bool, "a public address", patience=30)
    ask_the_container(address)
    lines = logs.describe_log_streams(logGroupName=f"/labguard/{NAME}")["logStreams"]
    assert [it["logStreamName"] for it in lines] == [f"lab/admission/{task.rsplit('/', 1)[1]}"]

    # the wrong order: each refused as AWS refuses it
    assert refusal(ecs.delete_cluster, cluster=NAME) == "ClusterContainsTasksException"
    assert refusal(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    assert refusal(ecr.delete_repository, repositoryName=NAME) == "RepositoryNotEmptyException"
    assert refusal(iam.delete_role, RoleName=NAME) == "DeleteConflict"
    early = ecs.delete_task_definitions(taskDefinitions=[definition["taskDefinitionArn"]])
    assert early["failures"] and not early["taskDefinitions"], "an ACTIVE definition was deleted"
    # One that is slow is not away.
    eventually(lambda: nobody_listens(address), lambda gone: not gone, "an answer after refused deletes")

    # the right order
    ecs.stop_task(cluster=NAME, task=task, reason="the exercise is over")
    stopped = eventually(seen, lambda it: it and it["lastStatus"] == "STOPPED", "the task stopping")
    assert stopped["stopCode"] == "UserInitiated" and stopped["stoppedReason"] == "the exercise is over"
    assert nobody_listens(address), "the container outlived its task"
    once_allowed(ecs.delete_cluster, ("ClusterContainsTasksException",), "the cluster's end", cluster=NAME)
    ecs.deregister_task_definition(taskDefinition=definition["taskDefinitionArn"])
    gone = ecs.delete_task_definitions(taskDefinitions=[definition["taskDefinitionArn"]])["taskDefinitions"]
    assert gone[0]["status"] == "DELETE_IN_PROGRESS"
    ecr.delete_repository(repositoryName=NAME, force=True)
    once_allowed(ec2.delete_security_group, ("DependencyViolation",), "the interface's release", GroupId=group)
    logs.delete_log_group(logGroupName=f"/labguard/{NAME}")
    iam.detach_role_policy(RoleName=NAME, PolicyArn=EXECUTION_POLICY)
    iam.delete_role(RoleName=NAME)

    # nothing is left, by the sandbox's own listings
    assert ecs.list_clusters()["clusterArns"] == []
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []
    assert ecs.list_task_definitions(status="INACTIVE")["taskDefinitionArns"] == []
    assert ecr.describe_repositories()["repositories"] == []
    assert [it["GroupName"] for it in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert logs.describe_log_groups()["logGroups"] == []
    assert refusal(iam.get_role, RoleName=NAME) == "NoSuchEntity"


def test_metrics_and_tags_are_kept_and_given_back(client):
    cloudwatch, ecs, tagging = client("cloudwatch"), client("ecs"), client("resourcegroupstaggingapi")
    cloudwatch.put_metric_data(
        Namespace="Labguard",
        MetricData=[{"MetricName": "Healthy", "Value": 1.0, "Unit": "None", "Dimensions": [{"Name": "Session", "Value": "x"}]}],
    )
    listed = eventually(
        lambda: cloudwatch.list_metrics(Namespace="Labguard")["Metrics"], bool, "the metric in ListMetrics", patience=30
    )
    assert [(it["MetricName"], it["Dimensions"]) for it in listed] == [("Healthy", [{"Name": "Session", "Value": "x"}])]

    arn = ecs.create_cluster(clusterName="tagged", tags=[{"key": "labguard:session", "value": "x-1"}])["cluster"]["clusterArn"]
    found = eventually(
        lambda: tagging.get_resources(TagFilters=[{"Key": "labguard:session"}])["ResourceTagMappingList"],
        bool,
        "the cluster among tagged resources",
        patience=60,
    )
    assert found == [{"ResourceARN": arn, "Tags": [{"Key": "labguard:session", "Value": "x-1"}]}]


def test_the_price_list_is_read_page_by_page(client):
    pricing = client("pricing")
    wanted = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": REGION}]
    pages = pricing.get_paginator("get_products").paginate(
        ServiceCode="AmazonECS", Filters=wanted, PaginationConfig={"PageSize": 3}
    )
    products = [json.loads(text) for page in pages for text in page["PriceList"]]
    usage = {it["product"]["attributes"]["usagetype"]: it for it in products}
    assert len(products) == len(usage) == 7
    (term,) = usage["USE1-Fargate-vCPU-Hours:perCPU"]["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    assert dimension["pricePerUnit"] == {"USD": "0.0404800000"}
    assert refusal(pricing.get_products, ServiceCode="AmazonNothing") == "InvalidParameterException"


def test_schedules_are_kept_moved_and_refused_as_the_scheduler_does(client):
    scheduler, iam = client("scheduler"), client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    role = iam.create_role(RoleName="fuse", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    tags = [{"Key": "labguard:session", "Value": "x-1"}]
    arn = scheduler.create_schedule_group(Name="labguard-x-1", Tags=tags)["ScheduleGroupArn"]
    assert refusal(scheduler.create_schedule_group, Name="labguard-x-1") == "ConflictException"
    assert scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == tags
    assert scheduler.get_schedule_group(Name="labguard-x-1")["State"] == "ACTIVE"
    assert [it["Name"] for it in scheduler.list_schedule_groups(NamePrefix="labguard-")["ScheduleGroups"]] == ["labguard-x-1"]
    schedule = {
        "Name": "cluster-delete",
        "GroupName": "labguard-x-1",
        "ScheduleExpression": "at(2099-01-01T00:00:00)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": "arn:aws:scheduler:::aws-sdk:ecs:deleteCluster",
            "RoleArn": role,
            "Input": json.dumps({"Cluster": "x"}),
            "RetryPolicy": {"MaximumRetryAttempts": 30, "MaximumEventAgeInSeconds": 3600},
        },
    }
    once_allowed(scheduler.create_schedule, ("ValidationException",), "the role's propagation", **schedule)
    assert refusal(scheduler.create_schedule, **schedule) == "ConflictException"
    past = {**schedule, "ScheduleExpression": "at(2020-01-01T00:00:00)"}
    assert refusal(scheduler.update_schedule, **past) == "ValidationException"
    scheduler.update_schedule(**{**schedule, "ScheduleExpression": "at(2098-01-01T00:00:00)"})
    kept = scheduler.get_schedule(Name="cluster-delete", GroupName="labguard-x-1")
    assert (kept["ScheduleExpression"], kept["Target"]) == ("at(2098-01-01T00:00:00)", schedule["Target"])
    reads = {**schedule, "Name": "reads", "Target": {**schedule["Target"], "Arn": "arn:aws:scheduler:::aws-sdk:ecs:listTasks"}}
    assert refusal(scheduler.create_schedule, **reads) == "ValidationException"
    assert refusal(scheduler.create_schedule, **{**schedule, "GroupName": "nobody"}) == "ResourceNotFoundException"
    scheduler.delete_schedule_group(Name="labguard-x-1")
    assert refusal(scheduler.get_schedule_group, Name="labguard-x-1") == "ResourceNotFoundException"
    assert refusal(scheduler.get_schedule, Name="cluster-delete", GroupName="labguard-x-1") == "ResourceNotFoundException"
    iam.delete_role(RoleName="fuse")
