//! The health question: does the container answer as expected?

use super::exchange::{Answer, Ask, exchange};
use crate::{domain::model::Span, transport::Transport};

/// What is asked, and which answer is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// HTTP method.
    pub method: String,
    /// Path, with its leading slash.
    pub path: String,
    /// TCP port.
    pub port: u16,
    /// Good statuses; empty: any of 200 to 299.
    pub expect_status: Vec<u16>,
    /// Text that the body must contain, if any.
    pub expect_body: Option<String>,
    /// The whole exchange may take that long.
    pub timeout: Span,
}

/// Asks the container at `ip`. Always comes to an answer, within the question's time-out.
pub async fn ask(transport: &dyn Transport, ip: &str, question: &Question) -> Answer {
    let Question { method, path, port, expect_status, expect_body, timeout } = question;
    let ask = Ask { method, path, port: *port, json: None, timeout: *timeout };
    exchange(transport, ip, &ask, |response| {
        let status = response.status().as_u16();
        let welcome =
            if expect_status.is_empty() { response.status().is_success() } else { expect_status.contains(&status) };
        if !welcome {
            return Err(format!("answered {status}, expected {}", list(expect_status)));
        }
        match expect_body {
            Some(text) if !String::from_utf8_lossy(response.body()).contains(text.as_str()) => {
                Err(format!("answered {status}, but without \"{text}\" in the body"))
            }
            _ => Ok(format!("answered {status}")),
        }
    })
    .await
}

/// `200`, `200 or 204`, `200, 201 or 204`.
fn list(statuses: &[u16]) -> String {
    let texts: Vec<String> = statuses.iter().map(u16::to_string).collect();
    match texts.split_last() {
        None => "200 to 299".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        probe::{USER_AGENT, exchange::staged::Staged},
        transport::TransportError,
    };

    fn ping() -> Question {
        Question {
            method: "GET".into(),
            path: "/ping".into(),
            port: 5000,
            expect_status: vec![200],
            expect_body: Some("pong".into()),
            timeout: Span::from_secs(2),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_expected_answer_is_good_and_timed() {
        let container = Staged::answering(200, "pong!");
        let answer = ask(&container, "192.0.2.1", &ping()).await;
        let detail = "GET http://192.0.2.1:5000/ping answered 200".to_owned();
        assert_eq!(answer, Answer { good: true, detail, latency_us: 3_000 });
        assert_eq!(container.asked.lock().unwrap()[0].headers()["user-agent"], USER_AGENT);
    }

    #[tokio::test(start_paused = true)]
    async fn every_way_to_be_bad_says_what_was_expected() {
        let bad = async |container: Staged, question: Question| {
            let answer = ask(&container, "192.0.2.1", &question).await;
            assert!(!answer.good);
            answer.detail.strip_prefix("GET http://192.0.2.1:5000/ping").unwrap().to_owned()
        };
        assert_eq!(bad(Staged::answering(503, ""), ping()).await, " answered 503, expected 200");
        let several = Question { expect_status: vec![200, 201, 204], ..ping() };
        assert_eq!(bad(Staged::answering(302, ""), several).await, " answered 302, expected 200, 201 or 204");
        let any = Question { expect_status: vec![], ..ping() };
        assert_eq!(bad(Staged::answering(404, ""), any).await, " answered 404, expected 200 to 299");
        assert_eq!(
            bad(Staged::answering(200, "ping"), ping()).await,
            " answered 200, but without \"pong\" in the body"
        );
        let refused = Staged { answer: Err(TransportError::Connection("refused".into())), ..Staged::answering(0, "") };
        assert_eq!(bad(refused, ping()).await, ": no connection: refused");
        let slow = Staged { delay: Duration::from_secs(60), ..Staged::answering(200, "pong") };
        assert_eq!(bad(slow, ping()).await, ": no answer within 2s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_cannot_be_asked_is_a_bad_answer() {
        let container = Staged::answering(200, "pong");
        for question in [Question { method: "G T".into(), ..ping() }, Question { path: "/ä ß".into(), ..ping() }] {
            assert!(!ask(&container, "192.0.2.1", &question).await.good);
        }
        assert!(!ask(&container, "not an address", &ping()).await.good);
    }
}
