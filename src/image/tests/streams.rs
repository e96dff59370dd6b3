//! Uploads over TCP: exact lengths, last bytes held back, answers that come early, and connections that break.

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::Method,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use tokio::sync::Notify;

use crate::{
    domain::model::{Fault, FaultClass},
    image::{
        content::{CHUNK, Content},
        document::digest,
        login::{Keys, Login},
        refused,
        registry::Registry,
        spool,
        upload::{Upload, Verdict, passed, verdict},
        wire::Wire,
    },
};

/// What came of the PUTs: the length told, the bytes that came, and whether that was all.
#[derive(Clone, Default)]
struct Seen {
    puts: Arc<Mutex<Vec<(String, usize, bool)>>>,
    /// PUTs that are answered with 503 before their bytes are read.
    busy: Arc<Mutex<u32>>,
    /// Told when more than half has come.
    half: Arc<Notify>,
}

const SIZE: usize = 12 * CHUNK + 77;

async fn serve(State(seen): State<Seen>, request: Request) -> Response {
    match *request.method() {
        Method::HEAD => http::StatusCode::NOT_FOUND.into_response(),
        Method::POST => (http::StatusCode::ACCEPTED, [("location", "/v2/a/blobs/uploads/1")]).into_response(),
        Method::PUT => {
            {
                let mut busy = seen.busy.lock().unwrap();
                if *busy > 0 {
                    *busy -= 1;
                    return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
            }
            let told = request.headers()["content-length"].to_str().unwrap().to_owned();
            let mut body: axum::body::BodyDataStream = Body::into_data_stream(request.into_body());
            let (mut came, mut whole) = (0, true);
            while let Some(chunk) = body.next().await {
                match chunk {
                    Ok(chunk) => came += chunk.len(),
                    Err(_) => whole = false,
                }
                if came > SIZE / 2 {
                    seen.half.notify_one();
                }
            }
            seen.puts.lock().unwrap().push((told, came, whole));
            seen.half.notify_one();
            http::StatusCode::CREATED.into_response()
        }
        _ => http::StatusCode::NO_CONTENT.into_response(),
    }
}

async fn upload(seen: &Seen, verdict: Verdict) -> Result<bool, Fault> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let serving =
        tokio::spawn(axum::serve(listener, Router::new().fallback(serve).with_state(seen.clone())).into_future());
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let content = Content::Slice(spool::slice(file, "layer", SIZE as u64));
    let registry = Registry::new(Wire::tcp().unwrap(), format!("http://{host}"), Login::new(Keys::stored(&host)));
    let upload = Upload {
        registry: &registry,
        repository: "a",
        digest: &digest(&bytes),
        size: SIZE as u64,
        content: &content,
        verdict,
        sent: &|_| {},
    };
    let done = upload.run().await;
    if done.is_err() {
        // The server sees the connection break in its own time.
        while seen.puts.lock().unwrap().is_empty() {
            seen.half.notified().await;
        }
    }
    serving.abort();
    done
}

#[tokio::test]
async fn a_file_goes_out_in_one_put_of_exactly_its_length() {
    let seen = Seen::default();
    assert!(upload(&seen, passed()).await.unwrap());
    assert_eq!(*seen.puts.lock().unwrap(), [(SIZE.to_string(), SIZE, true)]);
}

#[tokio::test]
async fn a_check_that_fails_in_the_middle_breaks_the_upload_off() {
    let seen = Seen::default();
    let half = seen.half.clone();
    let failing = verdict(async move {
        half.notified().await;
        Err(refused(FaultClass::Rejected, "LayerPath", "it climbs", "do not"))
    });
    assert_eq!(upload(&seen, failing).await.unwrap_err().code, "LayerPath");
    let puts = seen.puts.lock().unwrap();
    let (told, came, whole) = &puts[0];
    assert_eq!((told.as_str(), *whole, puts.len()), (SIZE.to_string().as_str(), false, 1));
    assert!((SIZE / 2..SIZE).contains(came), "{came}");
}

#[tokio::test]
async fn an_answer_before_the_last_byte_is_heard_and_tried_again() {
    let seen = Seen { busy: Arc::new(Mutex::new(1)), ..Seen::default() };
    assert!(upload(&seen, passed()).await.unwrap());
    assert_eq!(seen.puts.lock().unwrap().len(), 1);
}
