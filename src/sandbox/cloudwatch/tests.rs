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
    let answer = cloudwatch.statistics(&ask(&dimensions)).unwrap();
    let point = &answer["Datapoints"][0];
    assert_eq!(
        (point["Sum"].as_f64(), point["Maximum"].as_f64(), point["SampleCount"].as_f64()),
        (Some(54.0), Some(20.0), Some(6.0))
    );
    assert_eq!(point["ExtendedStatistics"]["p50"], 10.0);
    assert_eq!(cloudwatch.statistics(&ask(&json!([]))).unwrap()["Datapoints"], json!([]));
    let listed = cloudwatch.list(&json!({"Namespace": "Labguard", "Dimensions": [{"Name": "Session"}]})).unwrap();
    assert_eq!(listed["Metrics"][0]["Dimensions"], dimensions);
}
