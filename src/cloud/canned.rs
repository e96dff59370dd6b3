//! The adapter against canned answers: what AWS's rarer words make it do. Tests only.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;

use super::{CallOutcome, Cloud, CloudConfig, Owner};
use crate::{
    clock::Clock,
    domain::model::{
        Effect, FaultClass, Removal, ResourceKey, ResourceKind, SessionId, Spec, TaskSize, TaskSpec, Timestamp,
    },
};

/// What was asked: target or action, and the whole body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Gives prepared answers in order; an unexpected call gets a 400 that no test expects.
#[derive(Clone, Debug)]
struct Canned {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Asked,
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        assert!(request.headers().get("authorization").is_some_and(|value| value.contains("/us-east-1/")), "signed");
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push((target, body));
        let answer = self.answers.lock().unwrap().pop_front();
        let (status, text) = answer.unwrap_or((400, r#"{"__type":"Unprepared"}"#.to_owned()));
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(text));
        response.headers_mut().insert("x-amzn-requestid", "request-1");
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl HttpClient for Canned {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

async fn cloud(answers: &[(u16, &str)]) -> (Cloud, Asked, Arc<Mutex<Vec<(String, CallOutcome)>>>) {
    let answers = answers.iter().map(|(status, text)| (*status, (*text).to_owned())).collect();
    let canned = Canned { answers: Arc::new(Mutex::new(answers)), asked: Asked::default() };
    let asked = canned.asked.clone();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let mut config = CloudConfig::new("us-east-1", Clock::simulated(Timestamp::from_millis(1_790_000_000_000)));
    config.http_client = Some(SharedHttpClient::new(canned));
    config.static_credentials = Some(("labguard-sandbox".into(), "secret".into()));
    config.endpoint_url = Some("http://127.0.0.1:1".into());
    config.max_attempts = 3;
    let told = reports.clone();
    config.on_call =
        Some(Arc::new(move |report| told.lock().unwrap().push((report.operation.clone(), report.outcome))));
    (Cloud::connect(config).await, asked, reports)
}

fn session() -> SessionId {
    "lab-1".parse().unwrap()
}

fn task() -> Spec {
    Spec::Task(TaskSpec {
        cluster: "lab-1".into(),
        task_definition: "lab-1:1".into(),
        subnets: vec!["subnet-1".into()],
        security_groups: vec!["sg-1".into()],
        token: "lab-1-task-1".into(),
        spot: false,
        public_ip: true,
        size: TaskSize::SMALLEST,
        sentinel: None,
    })
}

fn removal(name: &str) -> Removal {
    Removal {
        name: name.into(),
        id: None,
        cluster: None,
        vpc: Some("vpc-1".into()),
        reason: "labguard: test".into(),
        mark: None,
        address: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_ec2_call_is_tried_again_and_reported_once() {
    let throttled = "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.\
        </Message></Error></Errors><RequestID>ec2-1</RequestID></Response>";
    let empty = "<DescribeSecurityGroupsResponse><securityGroupInfo/></DescribeSecurityGroupsResponse>";
    let (cloud, asked, reports) = cloud(&[(503, throttled), (200, empty)]).await;
    let (session, removal) = (session(), removal("lab-1"));
    let owner = Owner { session: &session, owner: "me" };
    let effect = cloud.remove(owner, ResourceKind::SecurityGroup, &removal).await.unwrap();
    assert_eq!(effect, Effect::AlreadyGone);
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert!(asked.lock().unwrap()[0].1.contains("Action=DescribeSecurityGroups&Version=2016-11-15"));
    assert_eq!(*reports.lock().unwrap(), [("ec2:DescribeSecurityGroups".to_owned(), CallOutcome::Ok)]);
    assert!(cloud.actions().contains("ec2:DescribeSecurityGroups"));
}

#[tokio::test(start_paused = true)]
async fn a_held_security_group_names_its_holders_and_a_foreign_one_is_left() {
    let group = |session: &str| {
        format!(
            "<R><securityGroupInfo><item><groupId>sg-1</groupId><tagSet><item><key>labguard:session</key>\
            <value>{session}</value></item></tagSet></item></securityGroupInfo></R>"
        )
    };
    let held = "<Response><Errors><Error><Code>DependencyViolation</Code><Message>resource sg-1 has a dependent \
        object</Message></Error></Errors><RequestID>ec2-7</RequestID></Response>";
    let interfaces = "<R><networkInterfaceSet><item><networkInterfaceId>eni-9</networkInterfaceId>\
        <status>in-use</status></item></networkInterfaceSet></R>";
    let (ours, foreign) = (group("lab-1"), group("other-1"));
    let (cloud, asked, _) = cloud(&[(200, &ours), (400, held), (200, interfaces), (200, &foreign)]).await;
    let (session, removal) = (session(), removal("lab-1"));
    let owner = Owner { session: &session, owner: "me" };
    let fault = cloud.remove(owner, ResourceKind::SecurityGroup, &removal).await.unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Dependency, "DependencyViolation"));
    assert!(fault.request_id.is_some() && fault.advice.unwrap().contains("eni-9"));
    assert!(asked.lock().unwrap()[2].1.contains("IncludeManagedResources=true"));
    let effect = cloud.remove(owner, ResourceKind::SecurityGroup, &removal).await.unwrap();
    assert_eq!(effect, Effect::NotOurs);
    assert_eq!(asked.lock().unwrap().len(), 4, "nothing was deleted");
}

#[tokio::test(start_paused = true)]
async fn failures_under_http_200_are_faults() {
    let full = r#"{"tasks":[],"failures":[{"reason":"Capacity is unavailable at this time. Please try again later"}]}"#;
    let quota = r#"{"tasks":[],"failures":[{"reason":"You’ve reached the limit on the number of vCPUs you can run concurrently"}]}"#;
    let (cloud, _, _) = cloud(&[(200, full), (200, quota)]).await;
    let session = session();
    let owner = Owner { session: &session, owner: "me" };
    let mut classes = Vec::new();
    for _ in 0..2 {
        classes.push(cloud.ensure(owner, ResourceKey::task(1), &task(), false).await.unwrap_err().class);
    }
    assert_eq!(classes, [FaultClass::Capacity, FaultClass::Quota]);
}

#[tokio::test(start_paused = true)]
async fn a_token_used_before_leads_to_the_task_of_the_earlier_try() {
    let arn = "arn:aws:ecs:us-east-1:000000000000:task/lab-1/0123";
    let conflict = format!(r#"{{"__type":"ConflictException","message":"used before","resourceIds":["{arn}"]}}"#);
    let described = format!(
        r#"{{"tasks":[{{"taskArn":"{arn}","lastStatus":"PENDING","desiredStatus":"RUNNING","startedBy":"labguard/lab-1"}}]}}"#
    );
    let (cloud, asked, _) = cloud(&[(400, &conflict), (200, &described)]).await;
    let session = session();
    let owner = Owner { session: &session, owner: "me" };
    let ran = cloud.ensure(owner, ResourceKey::task(1), &task(), false).await.unwrap();
    assert_eq!((ran.effect, ran.id.as_deref()), (Effect::AlreadyThere, Some(arn)));
    let sent: serde_json::Value = serde_json::from_str(&asked.lock().unwrap()[0].1).unwrap();
    assert_eq!((&sent["clientToken"], &sent["startedBy"]), (&"lab-1-task-1".into(), &"labguard/lab-1".into()));
    assert_eq!(sent["tags"][0]["value"], "lab-1");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_cluster_is_not_believed_to_be_ours_though_create_answered_200() {
    let missing = r#"{"clusters":[],"failures":[{"reason":"MISSING"}]}"#;
    let theirs = r#"{"clusters":[{"clusterArn":"arn:aws:ecs:us-east-1:1:cluster/c","clusterName":"c","status":"ACTIVE",
        "tags":[{"key":"labguard:session","value":"other-1"}]}]}"#;
    let made = r#"{"cluster":{"clusterArn":"arn:aws:ecs:us-east-1:1:cluster/c","status":"ACTIVE"}}"#;
    let (cloud, _, _) = cloud(&[(200, missing), (200, made), (200, theirs)]).await;
    let session = session();
    let owner = Owner { session: &session, owner: "me" };
    let spec = Spec::Cluster { name: "c".into(), spot: false, insights: false };
    let fault = cloud.ensure(owner, ResourceKey::only(ResourceKind::Cluster), &spec, false).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Conflict);
    assert!(fault.advice.unwrap().contains("adopt"));
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_remembered_and_not_tried_again() {
    let expired = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token \
        included in the request is expired</Message></Error><RequestId>sts-1</RequestId></ErrorResponse>";
    let (cloud, asked, _) = cloud(&[(403, expired)]).await;
    let fault = cloud.identity().await.unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Expired, "ExpiredToken"));
    assert!(cloud.credentials(crate::domain::model::Span::ZERO).refused);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_price_list_is_read_page_by_page_from_its_home_and_a_refusal_keeps_its_code() {
    let first = r#"{"FormatVersion":"aws_v1","PriceList":["{\"a\":1}"],"NextToken":"more"}"#;
    let last = r#"{"FormatVersion":"aws_v1","PriceList":["{\"b\":2}"]}"#;
    let refused = r#"{"__type":"com.amazonaws.pricing#AccessDeniedException","Message":"not you"}"#;
    // That it is signed for us-east-1 is seen by whoever gives the answers.
    let (cloud, asked, _) = cloud(&[(200, first), (200, last), (400, refused)]).await;
    let found = cloud.products("AmazonECS", "regionCode", "eu-central-1").await.unwrap();
    assert_eq!(found, [r#"{"a":1}"#, r#"{"b":2}"#]);
    let fault = cloud.products("AmazonECS", "regionCode", "eu-central-1").await.unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Denied, "AccessDeniedException"));
    assert_eq!(fault.request_id.as_deref(), Some("request-1"));
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|(target, _)| target == "AWSPriceListService.GetProducts"), "{asked:?}");
    let second: serde_json::Value = serde_json::from_str(&asked[1].1).unwrap();
    assert_eq!((&second["NextToken"], &second["ServiceCode"]), (&"more".into(), &"AmazonECS".into()));
    assert_eq!(second["Filters"][0]["Value"], "eu-central-1");
}
