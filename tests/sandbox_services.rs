//! The sandbox's EC2, ECR with its registry, Logs, CloudWatch and tagging: driven by AWS's own SDKs where this project has
//! them, by hand-written requests where it has not.

#[path = "support/sdk.rs"]
mod sdk;

use std::sync::Arc;

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit, Statistic};
use aws_sdk_ecr::{error::ProvideErrorMetadata, types::ImageIdentifier};
use bytes::Bytes;
use labguard::sandbox::{Sandbox, latency::Latency, runtime::Simulated};
use sdk::{sandbox, sdk};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const START: i64 = 1_795_400_000;

struct Lab {
    sandbox: Sandbox,
    ecr: aws_sdk_ecr::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    tagging: aws_sdk_resourcegroupstagging::Client,
}

impl Lab {
    fn new() -> Lab {
        let sandbox = sandbox(5, START, Latency::zero(), Arc::new(Simulated::new()));
        let sdk = sdk(&sandbox);
        Lab {
            ecr: aws_sdk_ecr::Client::new(&sdk),
            logs: aws_sdk_cloudwatchlogs::Client::new(&sdk),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&sdk),
            tagging: aws_sdk_resourcegroupstagging::Client::new(&sdk),
            sandbox,
        }
    }

    async fn ec2(&self, body: &str) -> (u16, String) {
        let scope = "AWS4-HMAC-SHA256 Credential=labguard-sandbox/20261122/us-east-1/ec2/aws4_request, Signature=0";
        let request = http::Request::post("http://sandbox/")
            .header("authorization", scope)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(format!("{body}&Version=2016-11-15")))
            .unwrap();
        let response = self.sandbox.handle(request).await;
        (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
    }

    async fn token(&self) -> String {
        let answer = self.ecr.get_authorization_token().send().await.unwrap();
        answer.authorization_data()[0].authorization_token().unwrap().to_owned()
    }

    async fn v2(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> http::Response<Bytes> {
        let mut request = http::Request::builder().method(method).uri(format!("http://sandbox{path}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Basic {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sandbox.handle(request.body(Bytes::copy_from_slice(body)).unwrap()).await
    }

    /// Pushes one blob in one PUT, following the location whose query string is there already.
    async fn push_blob(&self, token: &str, data: &[u8]) -> String {
        let digest = digest(data);
        let begun = self.v2(Some(token), "POST", "/v2/lab/blobs/uploads/", &[], b"").await;
        assert_eq!(begun.status(), 202);
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.contains('?'), "{location}");
        let done = self.v2(Some(token), "PUT", &format!("{location}&digest={digest}"), &[], data).await;
        assert_eq!(
            (done.status().as_u16(), done.headers()["docker-content-digest"].to_str().unwrap()),
            (201, digest.as_str())
        );
        digest
    }

    async fn repository(&self, name: &str, session: &str) {
        let tag = aws_sdk_ecr::types::Tag::builder().key("labguard:session").value(session).build().unwrap();
        self.ecr.create_repository().repository_name(name).tags(tag).send().await.unwrap();
    }
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

fn code(response: &http::Response<Bytes>) -> (u16, String) {
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

fn manifest_of(config: &str, layer: &str) -> Vec<u8> {
    json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": 5 }],
    })
    .to_string()
    .into_bytes()
}

const OCI: (&str, &str) = ("content-type", "application/vnd.oci.image.manifest.v1+json");

#[tokio::test(start_paused = true)]
async fn an_image_is_pushed_through_the_registry_and_seen_by_the_api() {
    let lab = Lab::new();
    lab.repository("lab", "s1").await;
    let token = lab.token().await;
    let token = token.as_str();
    let refused = lab.v2(None, "GET", "/v2/", &[], b"").await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    assert_eq!(lab.v2(Some("QVdTOng="), "GET", "/v2/", &[], b"").await.status(), 401);
    assert_eq!(lab.v2(Some(token), "GET", "/v2/", &[], b"").await.status(), 200);
    let (config, layer) = (lab.push_blob(token, b"{}").await, lab.push_blob(token, b"layer").await);

    let early = manifest_of(&config, &digest(b"not pushed"));
    let missing = lab.v2(Some(token), "PUT", "/v2/lab/manifests/1", &[OCI], &early).await;
    assert_eq!(code(&missing), (400, "MANIFEST_BLOB_UNKNOWN".to_owned()));
    let manifest = manifest_of(&config, &layer);
    let put = lab.v2(Some(token), "PUT", "/v2/lab/manifests/1", &[OCI], &manifest).await;
    assert_eq!(
        (put.status().as_u16(), put.headers()["docker-content-digest"].to_str().unwrap()),
        (201, digest(&manifest).as_str())
    );
    for reference in ["1".to_owned(), digest(&manifest)] {
        let got = lab.v2(Some(token), "GET", &format!("/v2/lab/manifests/{reference}"), &[], b"").await;
        assert_eq!(
            (got.body().as_ref(), got.headers()["content-type"].to_str().unwrap()),
            (manifest.as_slice(), OCI.1)
        );
    }
    let range = lab.v2(Some(token), "GET", &format!("/v2/lab/blobs/{layer}"), &[("range", "bytes=1-2")], b"").await;
    assert_eq!((range.status().as_u16(), range.body().as_ref()), (206, &b"ay"[..]));

    let described = lab.ecr.describe_images().repository_name("lab").send().await.unwrap();
    let image = &described.image_details()[0];
    assert_eq!(
        (image.image_digest(), image.image_size_in_bytes(), image.image_tags()),
        (Some(digest(&manifest).as_str()), Some(7), &["1".to_owned()][..])
    );
    assert_eq!(image.image_pushed_at().unwrap().secs(), START);
    let id = ImageIdentifier::builder().image_tag("2").build();
    let got = lab.ecr.batch_get_image().repository_name("lab").image_ids(id).send().await.unwrap();
    assert_eq!(got.failures()[0].failure_code().unwrap().as_str(), "ImageNotFound");
    let refused = lab.ecr.delete_repository().repository_name("lab").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("RepositoryNotEmptyException"));
    assert_eq!(lab.sandbox.leftovers(), ["ecr repository lab"]);
    lab.ecr.delete_repository().repository_name("lab").force(true).send().await.unwrap();
    assert!(lab.sandbox.leftovers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_registry_refuses_what_ecr_refuses() {
    let lab = Lab::new();
    lab.repository("lab", "s1").await;
    let token = lab.token().await;
    let token = Some(token.as_str());
    let unknown = lab.v2(token, "POST", "/v2/nobody/blobs/uploads/", &[], b"").await;
    assert_eq!(code(&unknown), (404, "NAME_UNKNOWN".to_owned()));
    let wrong = lab.v2(token, "POST", &format!("/v2/lab/blobs/uploads/?digest={}", digest(b"a")), &[], b"b").await;
    assert_eq!(code(&wrong), (400, "DIGEST_INVALID".to_owned()));
    let mount = format!("/v2/lab/blobs/uploads/?mount={}&from=other", digest(b"a"));
    assert_eq!(lab.v2(token, "POST", &mount, &[], b"").await.status(), 202);
    let absent = lab.v2(token, "HEAD", &format!("/v2/lab/blobs/{}", digest(b"a")), &[], b"").await;
    assert_eq!(absent.status(), 404);

    let begun = lab.v2(token, "POST", "/v2/lab/blobs/uploads/", &[], b"").await;
    let mut location = begun.headers()["location"].to_str().unwrap().to_owned();
    for (chunk, range) in [(&b"one"[..], "0-2"), (b"two", "0-5")] {
        let answer = lab.v2(token, "PATCH", &location, &[], chunk).await;
        assert_eq!((answer.status().as_u16(), answer.headers()["range"].to_str().unwrap()), (201, range));
        location = answer.headers()["location"].to_str().unwrap().to_owned();
    }
    let whole = lab.v2(token, "PUT", &format!("{location}&digest={}", digest(b"onetwo")), &[], b"").await;
    assert_eq!(whole.status(), 201);

    let immutable = aws_sdk_ecr::types::ImageTagMutability::Immutable;
    lab.ecr.create_repository().repository_name("fixed").image_tag_mutability(immutable).send().await.unwrap();
    for (text, expected) in [("a", (201, String::new())), ("b", (400, "TAG_INVALID".to_owned()))] {
        let index = json!({ "schemaVersion": 2, "manifests": [], "annotations": { "text": text } }).to_string();
        let answer = lab.v2(token, "PUT", "/v2/fixed/manifests/1", &[], index.as_bytes()).await;
        assert_eq!(code(&answer), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_security_group_lives_through_ec2s_query_protocol() {
    let lab = Lab::new();
    let tags = "TagSpecification.1.ResourceType=security-group&TagSpecification.1.Tag.1.Key=labguard%3Asession&TagSpecification.1.Tag.1.Value=s1";
    let create = format!("Action=CreateSecurityGroup&GroupName=lab&GroupDescription=for+the+lab&{tags}");
    let (status, xml) = lab.ec2(&format!("{create}&DryRun=true")).await;
    assert_eq!(status, 412);
    assert!(xml.contains("<Code>DryRunOperation</Code>"), "{xml}");
    let (status, xml) = lab.ec2(&create).await;
    assert_eq!(status, 200, "{xml}");
    let id = xml.split("<groupId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let (status, xml) = lab.ec2(&create).await;
    assert_eq!(status, 400);
    assert!(xml.contains("<Response><Errors><Error><Code>InvalidGroup.Duplicate</Code>"), "{xml}");
    assert_eq!(lab.sandbox.leftovers(), [format!("ec2 security-group {id}")]);

    let found = lab.tagging.get_resources().resource_type_filters("ec2:security-group").send().await.unwrap();
    let mapping = &found.resource_tag_mapping_list()[0];
    assert!(mapping.resource_arn().unwrap().ends_with(&id));
    let (status, xml) = lab.ec2(&format!("Action=DeleteSecurityGroup&GroupId={id}")).await;
    assert_eq!(status, 200, "{xml}");
    let (_, xml) = lab.ec2(&format!("Action=DeleteSecurityGroup&GroupId={id}")).await;
    assert!(xml.contains("InvalidGroup.NotFound"), "{xml}");
    assert!(lab.ec2("Action=RunInstances").await.1.contains("InvalidAction"));
}

#[tokio::test(start_paused = true)]
async fn log_groups_have_retention_tags_pages_and_an_end() {
    let lab = Lab::new();
    for name in ["/lab/a", "/lab/b", "/other"] {
        lab.logs.create_log_group().log_group_name(name).tags("labguard:session", "s1").send().await.unwrap();
    }
    let again = lab.logs.create_log_group().log_group_name("/other").send().await.unwrap_err();
    assert!(again.into_service_error().is_resource_already_exists_exception());
    lab.logs.put_retention_policy().log_group_name("/lab/a").retention_in_days(1).send().await.unwrap();
    let bad = lab.logs.put_retention_policy().log_group_name("/lab/a").retention_in_days(2).send().await.unwrap_err();
    assert!(bad.into_service_error().is_invalid_parameter_exception());
    let page = lab.logs.describe_log_groups().log_group_name_prefix("/lab").limit(1).send().await.unwrap();
    assert_eq!((page.log_groups().len(), page.log_groups()[0].retention_in_days()), (1, Some(1)));
    let rest = lab
        .logs
        .describe_log_groups()
        .log_group_name_prefix("/lab")
        .set_next_token(page.next_token)
        .send()
        .await
        .unwrap();
    assert_eq!((rest.log_groups()[0].log_group_name(), rest.next_token()), (Some("/lab/b"), None));
    let arn = rest.log_groups()[0].log_group_arn().unwrap();
    let tags = lab.logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(tags.tags().unwrap()["labguard:session"], "s1");
    for name in ["/lab/a", "/lab/b", "/other"] {
        lab.logs.delete_log_group().log_group_name(name).send().await.unwrap();
    }
    let gone = lab.logs.delete_log_group().log_group_name("/other").send().await.unwrap_err();
    assert!(gone.into_service_error().is_resource_not_found_exception());
    assert!(lab.sandbox.leftovers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn metrics_go_in_and_come_out_over_cbor_also_compressed() {
    let lab = Lab::new();
    let dimension = || Dimension::builder().name("Session").value("s1").build();
    // Enough data to pass the size from which the SDK compresses.
    let data = (0..200).map(|value| {
        let named = MetricDatum::builder().metric_name("SpendUsd").unit(StandardUnit::None).dimensions(dimension());
        named.value(f64::from(value)).build()
    });
    lab.cloudwatch.put_metric_data().namespace("Labguard").set_metric_data(Some(data.collect())).send().await.unwrap();
    let answer = lab
        .cloudwatch
        .get_metric_statistics()
        .namespace("Labguard")
        .metric_name("SpendUsd")
        .dimensions(dimension())
        .start_time(aws_sdk_cloudwatch::primitives::DateTime::from_secs(START - 300))
        .end_time(aws_sdk_cloudwatch::primitives::DateTime::from_secs(START + 60))
        .period(60)
        .statistics(Statistic::Maximum)
        .statistics(Statistic::SampleCount)
        .send()
        .await
        .unwrap();
    let point = &answer.datapoints()[0];
    assert_eq!((point.maximum(), point.sample_count()), (Some(199.0), Some(200.0)));
    assert_eq!(point.timestamp().unwrap().secs(), START / 60 * 60);
    let bad = MetricDatum::builder().metric_name("m").value(f64::NAN).build();
    let error = lab.cloudwatch.put_metric_data().namespace("Labguard").metric_data(bad).send().await.unwrap_err();
    assert!(error.code().is_some_and(|code| code.starts_with("InvalidParameterValue")), "{error:?}");
    let listed = lab.cloudwatch.list_metrics().namespace("Labguard").send().await.unwrap();
    assert_eq!(listed.metrics()[0].metric_name(), Some("SpendUsd"));
}

#[tokio::test(start_paused = true)]
async fn tagged_things_are_found_across_services_page_by_page() {
    let lab = Lab::new();
    for (name, session) in [("a1", "s1"), ("b1", "s1"), ("c1", "s2")] {
        lab.repository(name, session).await;
    }
    lab.logs.create_log_group().log_group_name("/lab").tags("labguard:session", "s1").send().await.unwrap();
    let filter =
        aws_sdk_resourcegroupstagging::types::TagFilter::builder().key("labguard:session").values("s1").build();
    let (mut token, mut arns) = (None, Vec::new());
    loop {
        let ask =
            lab.tagging.get_resources().tag_filters(filter.clone()).resources_per_page(2).set_pagination_token(token);
        let page = ask.send().await.unwrap();
        arns.extend(page.resource_tag_mapping_list().iter().map(|one| one.resource_arn().unwrap().to_owned()));
        token = page.pagination_token().filter(|token| !token.is_empty()).map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(arns.len(), 3, "{arns:?}");
    lab.ecr.delete_repository().repository_name("a1").send().await.unwrap();
    let left = lab.tagging.get_resources().tag_filters(filter).send().await.unwrap();
    assert_eq!(left.resource_tag_mapping_list().len(), 2);
}
