//! The sandbox's CloudWatch and tagging API by AWS's own SDKs in memory, and CloudWatch by its older protocols.

#[path = "support/sdk.rs"]
mod sdk;

use std::sync::Arc;

use aws_sdk_cloudwatch::{
    error::ProvideErrorMetadata,
    primitives::DateTime,
    types::{
        ComparisonOperator, Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, StandardUnit, Statistic, Tag,
    },
};
use aws_sdk_resourcegroupstagging::types::TagFilter;
use bytes::Bytes;
use labguard::sandbox::{Sandbox, latency::Latency, runtime::Simulated};
use sdk::{sandbox, sdk};

const START: i64 = 1_795_400_040;

struct Lab {
    sandbox: Sandbox,
    cloudwatch: aws_sdk_cloudwatch::Client,
    tagging: aws_sdk_resourcegroupstagging::Client,
    ecs: aws_sdk_ecs::Client,
}

impl Lab {
    fn new() -> Lab {
        let sandbox = sandbox(9, START, Latency::zero(), Arc::new(Simulated::new()));
        let sdk = sdk(&sandbox);
        Lab {
            cloudwatch: aws_sdk_cloudwatch::Client::new(&sdk),
            tagging: aws_sdk_resourcegroupstagging::Client::new(&sdk),
            ecs: aws_sdk_ecs::Client::new(&sdk),
            sandbox,
        }
    }

    async fn put(&self, namespace: &str, datum: MetricDatum) -> Result<(), aws_sdk_cloudwatch::Error> {
        self.cloudwatch.put_metric_data().namespace(namespace).metric_data(datum).send().await?;
        Ok(())
    }

    async fn alarm(&self, name: &str, threshold: f64, session: &str) {
        self.cloudwatch
            .put_metric_alarm()
            .alarm_name(name)
            .namespace("Labguard")
            .metric_name("Spend")
            .statistic(Statistic::Maximum)
            .period(60)
            .evaluation_periods(1)
            .threshold(threshold)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .tags(Tag::builder().key("labguard:session").value(session).build())
            .send()
            .await
            .unwrap();
    }

    async fn form(&self, body: &str) -> (u16, String) {
        let request = http::Request::post("http://sandbox/")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=labguard-sandbox/20261122/us-east-1/monitoring/aws4_request, Signature=0",
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body.to_owned()))
            .unwrap();
        let response = self.sandbox.handle(request).await;
        (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
    }
}

fn dimension(value: &str) -> Dimension {
    Dimension::builder().name("Session").value(value).build()
}

fn datum() -> aws_sdk_cloudwatch::types::builders::MetricDatumBuilder {
    MetricDatum::builder().metric_name("Spend").unit(StandardUnit::None).dimensions(dimension("s1"))
}

#[tokio::test(start_paused = true)]
async fn a_refused_datum_is_the_sdks_typed_error() {
    use aws_sdk_cloudwatch::Error;
    let lab = Lab::new();
    let late = DateTime::from_secs(START + 7_201);
    let old = DateTime::from_secs(START - 1_209_601);
    let refused = |result: Result<(), Error>| result.unwrap_err();
    let error = refused(lab.put("AWS/ECS", datum().value(1.0).build()).await);
    assert!(matches!(error, Error::InvalidParameterValueException(_)), "{error:?}");
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3e108] {
        let error = refused(lab.put("Labguard", datum().value(value).build()).await);
        assert!(matches!(error, Error::InvalidParameterValueException(_)), "{value}: {error:?}");
    }
    for at in [late, old] {
        let error = refused(lab.put("Labguard", datum().value(1.0).timestamp(at).build()).await);
        assert!(matches!(error, Error::InvalidParameterValueException(_)), "{at:?}: {error:?}");
    }
    let error = refused(lab.put("Labguard", datum().build()).await);
    assert!(matches!(error, Error::MissingRequiredParameterException(_)), "{error:?}");
    let error = refused(lab.put("Labguard", datum().values(1.0).counts(1.0).counts(2.0).build()).await);
    assert!(matches!(error, Error::InvalidParameterCombinationException(_)), "{error:?}");
    let crowd = (0..31).fold(datum().value(1.0), |datum, n| {
        datum.dimensions(Dimension::builder().name(format!("d{n}")).value("x").build())
    });
    let error = refused(lab.put("Labguard", crowd.build()).await);
    assert!(matches!(error, Error::InvalidParameterValueException(_)), "{error:?}");
    assert!(lab.cloudwatch.list_metrics().send().await.unwrap().metrics().is_empty());
}

#[tokio::test]
async fn get_metric_data_returns_each_minute_newest_first() {
    let lab = Lab::new();
    for (ago, value) in [(120, 1.0), (60, 2.0), (59, 6.0)] {
        let at = DateTime::from_secs(START - ago);
        lab.put("Labguard", datum().value(value).timestamp(at).build()).await.unwrap();
    }
    let metric = Metric::builder().namespace("Labguard").metric_name("Spend").dimensions(dimension("s1")).build();
    let stat = MetricStat::builder().metric(metric).period(60).stat("Average").build();
    let answer = lab
        .cloudwatch
        .get_metric_data()
        .start_time(DateTime::from_secs(START - 600))
        .end_time(DateTime::from_secs(START))
        .metric_data_queries(MetricDataQuery::builder().id("m1").metric_stat(stat).build())
        .send()
        .await
        .unwrap();
    let result = &answer.metric_data_results()[0];
    assert_eq!(result.values(), [4.0, 1.0]);
    let minute = |ago: i64| DateTime::from_secs((START - ago).div_euclid(60) * 60);
    assert_eq!(result.timestamps(), [minute(60), minute(120)]);
    assert!(lab.sandbox.leftovers().is_empty(), "metrics cannot be deleted, so they are no leftovers");
}

#[tokio::test]
async fn alarms_are_leftovers_until_deleted_and_are_found_by_their_tags() {
    let lab = Lab::new();
    for number in 1..=3 {
        lab.alarm(&format!("lab-{number}"), 5.0, if number == 3 { "s2" } else { "s1" }).await;
    }
    lab.alarm("lab-1", 7.0, "ignored-on-update").await;
    assert_eq!(lab.sandbox.leftovers().len(), 3);
    let page = lab.cloudwatch.describe_alarms().alarm_name_prefix("lab-").max_records(2).send().await.unwrap();
    assert_eq!(page.metric_alarms().len(), 2);
    assert_eq!(page.metric_alarms()[0].threshold(), Some(7.0));
    let rest = lab.cloudwatch.describe_alarms().max_records(2).set_next_token(page.next_token).send().await.unwrap();
    assert_eq!(rest.metric_alarms().iter().filter_map(|alarm| alarm.alarm_name()).collect::<Vec<_>>(), ["lab-3"]);

    lab.ecs
        .create_cluster()
        .cluster_name("c")
        .tags(aws_sdk_ecs::types::Tag::builder().key("labguard:session").value("s1").build())
        .send()
        .await
        .unwrap();
    let filter = TagFilter::builder().key("labguard:session").values("s1").build();
    let found = lab.tagging.get_resources().tag_filters(filter.clone()).send().await.unwrap();
    let arns: Vec<&str> = found.resource_tag_mapping_list().iter().filter_map(|one| one.resource_arn()).collect();
    assert_eq!(
        arns,
        [
            "arn:aws:cloudwatch:us-east-1:000000000000:alarm:lab-1",
            "arn:aws:cloudwatch:us-east-1:000000000000:alarm:lab-2",
            "arn:aws:ecs:us-east-1:000000000000:cluster/c",
        ]
    );
    let clusters =
        lab.tagging.get_resources().tag_filters(filter).resource_type_filters("ecs:cluster").send().await.unwrap();
    assert_eq!(clusters.resource_tag_mapping_list().len(), 1);
    let by_key = TagFilter::builder().key("labguard:session").build();
    let first = lab.tagging.get_resources().tag_filters(by_key.clone()).resources_per_page(3).send().await.unwrap();
    assert_eq!(first.resource_tag_mapping_list().len(), 3);
    let token = first.pagination_token().filter(|token| !token.is_empty()).unwrap().to_owned();
    let second = lab.tagging.get_resources().tag_filters(by_key).pagination_token(token).send().await.unwrap();
    assert_eq!(second.resource_tag_mapping_list().len(), 1);
    assert_eq!(second.pagination_token(), Some(""));

    let wrong = lab.cloudwatch.delete_alarms().alarm_names("lab-1").alarm_names("nobody").send().await.unwrap_err();
    assert!(wrong.into_service_error().is_resource_not_found());
    let names = ["lab-1", "lab-2", "lab-3"].map(str::to_owned).to_vec();
    lab.cloudwatch.delete_alarms().set_alarm_names(Some(names)).send().await.unwrap();
    assert_eq!(lab.sandbox.leftovers(), ["ecs cluster c"]);
}

#[tokio::test]
async fn the_old_query_protocol_puts_and_reads_the_same_metrics() {
    let lab = Lab::new();
    let (status, body) = lab
        .form(
            "Action=PutMetricData&Version=2010-08-01&Namespace=Labguard&MetricData.member.1.MetricName=Spend\
             &MetricData.member.1.Value=2.5&MetricData.member.1.Dimensions.member.1.Name=Session\
             &MetricData.member.1.Dimensions.member.1.Value=s1&MetricData.member.2.MetricName=Set\
             &MetricData.member.2.StatisticValues.SampleCount=2&MetricData.member.2.StatisticValues.Sum=3\
             &MetricData.member.2.StatisticValues.Minimum=1&MetricData.member.2.StatisticValues.Maximum=2",
        )
        .await;
    assert_eq!(status, 200, "{body}");
    let (_, listed) = lab.form("Action=ListMetrics&Version=2010-08-01&Namespace=Labguard&MetricName=Spend").await;
    assert!(
        listed.contains("<Metrics><member><Namespace>Labguard</Namespace><MetricName>Spend</MetricName>"),
        "{listed}"
    );
    assert!(listed.contains("<Dimensions><member><Name>Session</Name><Value>s1</Value></member></Dimensions>"));
    let (_, read) = lab
        .form(
            "Action=GetMetricStatistics&Version=2010-08-01&Namespace=Labguard&MetricName=Set&Period=60\
             &StartTime=2026-11-01T00:00:00Z&EndTime=2026-11-01T00:10:00Z&Statistics.member.1=Sum",
        )
        .await;
    assert!(read.contains("<Label>Set</Label>"), "{read}");
    let sdk = lab
        .cloudwatch
        .get_metric_statistics()
        .namespace("Labguard")
        .metric_name("Set")
        .period(60)
        .start_time(DateTime::from_secs(START - 600))
        .end_time(DateTime::from_secs(START + 60))
        .statistics(Statistic::Average)
        .send()
        .await
        .unwrap();
    assert_eq!(sdk.datapoints()[0].average(), Some(1.5));
    let (status, error) = lab.form("Action=PutMetricData&Version=2010-08-01&Namespace=AWS%2FECS").await;
    assert_eq!(status, 400);
    assert!(error.contains("<Code>InvalidParameterValue</Code>"), "{error}");
    let (_, error) = lab.form("Action=PutDashboard&Version=2010-08-01").await;
    assert!(error.contains("<Code>InvalidAction</Code>"), "{error}");
}
