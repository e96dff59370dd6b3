//! The functional question: a real request, and the shape of its answer.
//!
//! Bounds are JSON numbers and compared as such; no figure of money or time is ever made of them.

use bytes::Bytes;
use serde_json::Value;

use super::exchange::{Answer, Ask, exchange};
use crate::{domain::model::Span, transport::Transport};

/// What is posted, and which answer is good.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Path, with its leading slash.
    pub path: String,
    /// TCP port.
    pub port: u16,
    /// What is posted, as JSON.
    pub body: Value,
    /// The key in the answer that must hold a number; dots go deeper, digits into lists: `result.0.chance`.
    pub answer_key: String,
    /// The number's lower bound, if any.
    pub at_least: Option<f64>,
    /// The number's upper bound, if any.
    pub at_most: Option<f64>,
    /// The whole exchange may take that long.
    pub timeout: Span,
}

/// Asks the container at `ip`. Always comes to an answer, within the question's time-out.
pub async fn ask(transport: &dyn Transport, ip: &str, question: &Question) -> Answer {
    let json = Some(Bytes::from(question.body.to_string()));
    let ask = Ask { method: "POST", path: &question.path, port: question.port, json, timeout: question.timeout };
    exchange(transport, ip, &ask, |response| {
        let status = response.status().as_u16();
        if !response.status().is_success() {
            return Err(format!("answered {status}, expected 200 to 299"));
        }
        let answer: Value =
            serde_json::from_slice(response.body()).map_err(|_| "answered, but not in JSON".to_owned())?;
        judge(question, &answer)
    })
    .await
}

fn judge(question: &Question, answer: &Value) -> Result<String, String> {
    let key = &question.answer_key;
    let Some(value) = find(answer, key) else { return Err(format!("answered, but the answer lacks `{key}`")) };
    let Some(number) = value.as_f64() else {
        return Err(format!("answered, but `{key}` is {} and not a number", kind(value)));
    };
    match (question.at_least, question.at_most) {
        (Some(least), _) if number < least => Err(format!("answered `{key}` = {number}, expected at least {least}")),
        (_, Some(most)) if number > most => Err(format!("answered `{key}` = {number}, expected at most {most}")),
        _ => Ok(format!("answered `{key}` = {number}")),
    }
}

/// The value at a dotted path; a key that itself has dots is found first.
fn find<'a>(answer: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(value) = answer.get(path) {
        return Some(value);
    }
    path.split('.').try_fold(answer, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::exchange::staged::Staged;

    fn question() -> Question {
        Question {
            path: "/predict".into(),
            port: 5000,
            body: serde_json::json!({"gre_score": 337}),
            answer_key: "chance_of_admit".into(),
            at_least: Some(0.0),
            at_most: Some(1.0),
            timeout: Span::from_secs(2),
        }
    }

    async fn told(status: u16, body: &'static str) -> (bool, String) {
        let answer = ask(&Staged::answering(status, body), "192.0.2.1", &question()).await;
        (answer.good, answer.detail.strip_prefix("POST http://192.0.2.1:5000/predict ").unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_within_bounds_is_good() {
        let container = Staged::answering(200, r#"{"chance_of_admit": 0.7335}"#);
        assert!(ask(&container, "192.0.2.1", &question()).await.good);
        let asked = container.asked.lock().unwrap();
        assert_eq!(asked[0].body(), &Bytes::from_static(br#"{"gre_score":337}"#));
        assert_eq!(asked[0].headers()["content-type"], "application/json");
    }

    #[tokio::test(start_paused = true)]
    async fn every_wrong_shape_is_named() {
        let wrong = async |status, body| {
            let (good, detail) = told(status, body).await;
            assert!(!good, "{detail}");
            detail
        };
        assert_eq!(wrong(422, "{}").await, "answered 422, expected 200 to 299");
        assert_eq!(wrong(200, "<html>").await, "answered, but not in JSON");
        assert_eq!(wrong(200, r#"{"chance": 1}"#).await, "answered, but the answer lacks `chance_of_admit`");
        assert_eq!(
            wrong(200, r#"{"chance_of_admit": "high"}"#).await,
            "answered, but `chance_of_admit` is a text and not a number"
        );
        assert_eq!(
            wrong(200, r#"{"chance_of_admit": 1.7}"#).await,
            "answered `chance_of_admit` = 1.7, expected at most 1"
        );
        assert_eq!(
            wrong(200, r#"{"chance_of_admit": -1}"#).await,
            "answered `chance_of_admit` = -1, expected at least 0"
        );
    }

    #[test]
    fn dotted_keys_go_into_objects_and_lists() {
        let answer = serde_json::json!({"result": [{"chance": 0.5}], "a.b": 2});
        assert_eq!(find(&answer, "result.0.chance"), Some(&Value::from(0.5)));
        assert_eq!(find(&answer, "a.b"), Some(&Value::from(2)));
        assert_eq!(find(&answer, "result.1.chance"), None);
        assert_eq!(find(&answer, "result.chance"), None);
    }
}
