//! CloudWatch: what is refused, and what comes back.

use super::*;
use crate::domain::model::Timestamp;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_millis(1_795_400_000_000);

fn put(cloudwatch: &mut CloudWatch, datum: Value) -> Result<Value, ApiError> {
    cloudwatch.put(&json!({ "Namespace": "Labguard", "MetricData": [datum] }), NOW)
}

#[test]
fn each_bad_datum_is_refused_with_its_place() {
    let mut cloudwatch = CloudWatch::default();
    let seconds = NOW.as_secs() as f64;
    let many: Vec<f64> = vec![1.0; 151];
    for (datum, code, part) in [
        (json!({"MetricName": "m"}), "MissingParameter", "MetricData.member.1.Value"),
        (json!({"Value": 1}), "MissingParameter", "MetricName"),
        (json!({"MetricName": "m", "Value": 1, "Unit": "Apples"}), "InvalidParameterValue", "Unit"),
        (json!({"MetricName": "m", "Value": 1, "Timestamp": seconds + 7201.0}), "InvalidParameterValue", "Timestamp"),
        (
            json!({"MetricName": "m", "Value": 1, "Timestamp": seconds - 1_209_601.0}),
            "InvalidParameterValue",
            "Timestamp",
        ),
        (json!({"MetricName": "m", "Value": 1, "StorageResolution": 30}), "InvalidParameterValue", "StorageResolution"),
        (json!({"MetricName": "m", "Value": "NaN"}), "InvalidParameterValue", "Value"),
        (json!({"MetricName": "m", "Values": many}), "InvalidParameterValue", "150"),
        (json!({"MetricName": "m", "Values": [1, 2], "Counts": [1]}), "InvalidParameterCombination", "Counts"),
        (json!({"MetricName": "m", "Value": 1, "Values": [1]}), "InvalidParameterCombination", "Values"),
    ] {
        let error = put(&mut cloudwatch, datum.clone()).unwrap_err();
        assert!(error.code == code && error.message.contains(part), "{datum}: {error}");
    }
    let error = cloudwatch.put(&json!({"Namespace": "AWS/ECS", "MetricData": [{"MetricName": "m", "Value": 1}]}), NOW);
    assert_eq!(error.unwrap_err().code, "InvalidParameterValue");
    let crowd: Vec<Value> = (0..1001).map(|_| json!({"MetricName": "m", "Value": 1})).collect();
    assert!(cloudwatch.put(&json!({"Namespace": "x", "MetricData": crowd}), NOW).is_err());
    assert!(cloudwatch.metrics.is_empty());
}

#[test]
fn what_was_put_is_read_back_by_period_and_dimension() {
    let mut cloudwatch = CloudWatch::default();
    let dimensions = json!([{"Name": "Session", "Value": "s1"}]);
    for value in [1.0, 3.0] {
        put(&mut cloudwatch, json!({"MetricName": "Spend", "Value": value, "Unit": "None", "Dimensions": dimensions}))
            .unwrap();
    }
    put(
        &mut cloudwatch,
        json!({"MetricName": "Spend", "Values": [10, 20], "Counts": [3, 1], "Dimensions": dimensions}),
    )
    .unwrap();
    let ask = |dimensions: &Value| {
        json!({"Namespace": "Labguard", "MetricName": "Spend", "Dimensions": dimensions, "Period": 60,
            "StartTime": NOW.as_secs() - 600, "EndTime": NOW.as_secs() + 60, "Statistics": ["Sum", "Maximum", "SampleCount"], "ExtendedStatistics": ["p50"]})
    };
    let answer = cloudwatch.statistics(&ask(&dimensions), NOW).unwrap();
    let point = &answer["Datapoints"][0];
    assert_eq!(
        (point["Sum"].as_f64(), point["Maximum"].as_f64(), point["SampleCount"].as_f64()),
        (Some(54.0), Some(20.0), Some(6.0))
    );
    assert_eq!(point["ExtendedStatistics"]["p50"], 10.0);
    assert_eq!(cloudwatch.statistics(&ask(&json!([])), NOW).unwrap()["Datapoints"], json!([]));
    let listed = cloudwatch.list(&json!({"Namespace": "Labguard", "Dimensions": [{"Name": "Session"}]})).unwrap();
    assert_eq!(listed["Metrics"][0]["Dimensions"], dimensions);
}

#[test]
fn a_question_for_metric_data_that_makes_no_sense_is_refused_as_aws_does() {
    let cloudwatch = CloudWatch::default();
    let query = |id: &str, stat: &str| {
        let metric = json!({"Namespace": "ECS/ContainerInsights", "MetricName": "CpuUtilized"});
        json!({"Id": id, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}})
    };
    let ask = |from: i64, to: i64, queries: Vec<Value>| {
        let now = NOW.as_secs();
        cloudwatch.data(&json!({"StartTime": now + from, "EndTime": now + to, "MetricDataQueries": queries}), NOW)
    };
    assert!(ask(-600, 0, vec![query("m0", "Maximum"), query("m1", "p99")]).is_ok());
    let many: Vec<Value> = (0..501).map(|number| query(&format!("m{number}"), "Sum")).collect();
    for (from, to, queries, code, part) in [
        (0, 0, vec![query("m0", "Sum")], "ValidationError", "StartTime must be less"),
        (0, -60, vec![query("m0", "Sum")], "ValidationError", "StartTime must be less"),
        (-60, 0, vec![], "MissingParameter", "MetricDataQueries"),
        (-60, 0, vec![query("M0", "Sum")], "ValidationError", "pattern"),
        (-60, 0, vec![query("0", "Sum")], "ValidationError", "pattern"),
        (-60, 0, vec![query("m0", "Sum"), query("m0", "Sum")], "ValidationError", "not unique"),
        (-60, 0, vec![query("m0", "Most")], "ValidationError", "Stat"),
        (-60, 0, vec![json!({"Id": "e1", "Expression": "m0 * 2"})], "ValidationError", "expression"),
        (-60, 0, many, "ValidationError", "greater than 500"),
    ] {
        let error = ask(from, to, queries).unwrap_err();
        assert_eq!(error.code, code, "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[test]
fn what_a_service_publishes_shows_when_its_time_has_come() {
    let mut cloudwatch = CloudWatch::default();
    let late = crate::domain::model::Span::from_secs(120);
    let minute = NOW - crate::domain::model::Span::from_secs(NOW.as_secs() as u64 % 60);
    cloudwatch.load_balancer_took("app/lab/1", Some("targetgroup/lab/2"), NOW, 7, late);
    cloudwatch.load_balancer_took("app/lab/1", None, NOW + late, 0, late);
    let read = |name: &str, group: bool, after: u64| {
        let mut dimensions = vec![json!({"Name": "LoadBalancer", "Value": "app/lab/1"})];
        if group {
            dimensions.push(json!({"Name": "TargetGroup", "Value": "targetgroup/lab/2"}));
        }
        let metric = json!({"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions});
        let query = json!({"Id": "m0", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}});
        let span =
            json!({"StartTime": NOW.as_secs() - 60, "EndTime": NOW.as_secs() + 900, "MetricDataQueries": [query]});
        let now = minute + crate::domain::model::Span::from_secs(after);
        cloudwatch.data(&span, now).unwrap()["MetricDataResults"][0]["Values"].clone()
    };
    assert_eq!(read("RequestCount", false, 179), json!([]), "a minute and two more");
    assert_eq!(read("RequestCount", false, 180), json!([7.0]));
    assert_eq!(read("RequestCount", true, 180), json!([7.0]));
    assert_eq!(read("ConsumedLCUs", false, 180), json!([0.001]));
    assert_eq!(read("ConsumedLCUs", false, 300), json!([0.001, 0.001]), "an idle minute is reported, too");
    assert_eq!(read("RequestCount", false, 300), json!([7.0]), "and its requests are not");
}
