//! Listening, and stopping well.
//!
//! Guarantees: on SIGTERM or SIGINT no new connection is taken, requests in flight are finished, and the service is
//! gone within ten seconds (ECS kills after thirty). Never exits in silence: an error names the address or variable.

use std::{env, future::Future, io, time::Duration};

use tokio::{net::TcpListener, sync::oneshot};

use super::router;

const DRAIN: Duration = Duration::from_secs(10);
const ANYWHERE: &str = "0.0.0.0";
const PORT: u16 = 5000;

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum PredictorError {
    /// `PORT` is no port.
    #[error("the environment variable PORT is {value:?}, which is no port: set it to a number from 0 to 65535")]
    Port {
        /// What it says.
        value: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {host} port {port}: choose a free one with HOST and PORT")]
    Bind {
        /// Host or address.
        host: String,
        /// Port.
        port: u16,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for the signals that end the prediction service")]
    Signals(#[source] io::Error),
    /// The listener broke.
    #[error("the prediction service stopped listening")]
    Listener(#[source] io::Error),
}

/// Serves on `listener` until `shutdown`, then drains for at most ten seconds.
///
/// # Errors
/// The listener's.
pub async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    let serving = axum::serve(listener, router()).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = tell.send(());
    });
    let drained = async move {
        match told.await {
            Ok(()) => tokio::time::sleep(DRAIN).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = async { serving.await } => served,
        () = drained => Ok(()),
    }
}

/// Serves on `HOST` (or `BIND_ADDRESS`; default 0.0.0.0) and `PORT` (default 5000) until SIGTERM or SIGINT.
///
/// # Errors
/// When `PORT` is no port, the address is taken, or the system gives no signals.
pub async fn run_from_env() -> Result<(), PredictorError> {
    let (host, port) = address(|name| env::var(name).ok())?;
    let shutdown = signals().map_err(PredictorError::Signals)?;
    let bound = TcpListener::bind((host.as_str(), port)).await;
    let listener = bound.map_err(|source| PredictorError::Bind { host, port, source })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "the prediction service listens");
    }
    serve(listener, shutdown).await.map_err(PredictorError::Listener)?;
    tracing::info!("the prediction service has stopped");
    Ok(())
}

fn address(variable: impl Fn(&str) -> Option<String>) -> Result<(String, u16), PredictorError> {
    let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let host = set("HOST").or_else(|| set("BIND_ADDRESS")).unwrap_or_else(|| ANYWHERE.to_owned());
    let port = match set("PORT") {
        Some(value) => value.parse().map_err(|_| PredictorError::Port { value })?,
        None => PORT,
    };
    Ok((host, port))
}

#[cfg(unix)]
fn signals() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signals() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn address_of(variables: &[(&str, &str)]) -> Result<(String, u16), PredictorError> {
        address(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_address_comes_from_the_environment() {
        assert_eq!(address_of(&[]).unwrap(), ("0.0.0.0".to_owned(), 5000));
        assert_eq!(address_of(&[("BIND_ADDRESS", "127.0.0.9"), ("PORT", "80")]).unwrap(), ("127.0.0.9".to_owned(), 80));
        assert_eq!(address_of(&[("HOST", "::1"), ("BIND_ADDRESS", "127.0.0.9")]).unwrap().0, "::1");
        let error = address_of(&[("PORT", "http")]).unwrap_err();
        assert!(error.to_string().contains("\"http\""), "{error}");
    }

    #[tokio::test]
    async fn it_serves_over_tcp_and_stops_when_told() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(serve(listener, async move {
            let _ = stopped.await;
        }));
        let mut connection = tokio::net::TcpStream::connect(at).await.unwrap();
        connection.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("pong"), "{answer}");
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
        assert!(tokio::net::TcpStream::connect(at).await.is_err());
    }
}
