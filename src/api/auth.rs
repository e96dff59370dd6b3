//! Who may ask: the token file, the bearer check, the `Host` guard and the listen address.
//!
//! Guarantees: the token file is made whole and with owner-only rights, or not at all; a token file that
//! others can read is refused; tokens are compared in constant time and never printed; no route under `/v1`
//! is reached without the token. Nothing here ever widens the rights of an existing file.

use std::{
    fs, io,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::problem::{Problem, ProblemCode};
use crate::telemetry::Secret;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Shortest token that is accepted from a file: 32 hexadecimal digits, 128 bits.
const SHORTEST_TOKEN: usize = 32;

/// Who may ask, and by which names this API may be called.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The bearer token.
    pub token: Secret<String>,
    /// Host names that may stand in `Host` besides loopback, without port.
    pub allowed_hosts: Vec<String>,
}

/// Why there is no usable token, or no permission to listen.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file or its folder cannot be read or made.
    #[error("cannot use the token file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner have rights on it.
    #[error("token file {} can be read by others (mode {mode:03o}); `chmod 600` it, or delete it to get a new one", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold a token.
    #[error("token file {} does not hold a token; delete it and start the daemon to get a new one", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// Not loopback, and nobody said how others authenticate.
    #[error(
        "refusing to listen on {addr}: other machines could reach it; use a loopback address, \
         or set both daemon.token_file and daemon.allowed_hosts to say who may"
    )]
    Exposing {
        /// The address.
        addr: SocketAddr,
    },
}

/// Reads the token from `path`, or makes the file with a new one, owner-only.
///
/// # Errors
/// When it cannot be made or read, is open to others, or does not hold a token.
pub fn ensure_token(path: &Path) -> Result<String, AuthError> {
    match read_token(path) {
        Err(AuthError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        outcome => return outcome,
    }
    let failed = |source| AuthError::File { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let token = hex::encode(rand::random::<[u8; 32]>());
    // Written aside and linked into place, so that no reader ever sees half a token and the first of two
    // daemons wins.
    let aside = folder.join(format!(".token-{}", &hex::encode(rand::random::<[u8; 8]>())));
    let written = write_private(&aside, &token).and_then(|()| fs::hard_link(&aside, path));
    let _ = fs::remove_file(&aside);
    match written {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_token(path),
        Err(error) => Err(failed(error)),
    }
}

/// Reads the token from `path`.
///
/// # Errors
/// When it cannot be read, is open to others, or does not hold a token.
pub fn read_token(path: &Path) -> Result<String, AuthError> {
    let failed = |source| AuthError::File { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(AuthError::Exposed { path: path.to_owned(), mode });
        }
    }
    let token = io::read_to_string(io::Read::take(file, 1024)).map_err(failed)?.trim().to_owned();
    let legal = token.len() >= SHORTEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic());
    if legal { Ok(token) } else { Err(AuthError::Malformed { path: path.to_owned() }) }
}

fn write_private(path: &Path, token: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

/// Refuses addresses that other machines could reach, unless the settings say explicitly who may ask.
///
/// # Errors
/// [`AuthError::Exposing`] for a non-loopback address without explicit settings.
pub const fn check_listen(addr: SocketAddr, explicit_auth: bool) -> Result<(), AuthError> {
    if addr.ip().is_loopback() || explicit_auth { Ok(()) } else { Err(AuthError::Exposing { addr }) }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The middleware in front of `/v1`.
pub(super) async fn require_token(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    match bearer(request.headers()) {
        Some(token) if auth.token.matches(token) => next.run(request).await,
        _ => Problem::new(
            ProblemCode::Unauthorized,
            "send `Authorization: Bearer <token>` with the token from the daemon's token file",
        )
        .into_response(),
    }
}

/// The middleware in front of everything: a page of another site that got its name to resolve to 127.0.0.1
/// still sends its own name.
pub(super) async fn guard_host(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    let host = called_host(request.uri(), request.headers());
    match host {
        Some(host) if host_is_allowed(host, &auth.allowed_hosts) => next.run(request).await,
        Some(host) => Problem::new(
            ProblemCode::ForbiddenHost,
            format!("host \"{host}\" is not served here; use a loopback address, or list it in daemon.allowed_hosts"),
        )
        .into_response(),
        None => Problem::new(ProblemCode::Malformed, "exactly one Host header is needed").into_response(),
    }
}

/// The name the client used; none when it is missing or given twice.
fn called_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) => uri.authority().map(|authority| authority.as_str()),
        (Some(_), Some(_)) => None,
    }
}

fn host_is_allowed(host: &str, allowed: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_file_is_whole_private_and_read_again_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/token");
        let token = ensure_token(&path).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(ensure_token(&path).unwrap(), token);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let others: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(others.len(), 1, "nothing is left beside it");
    }

    #[cfg(unix)]
    #[test]
    fn a_token_file_open_to_others_is_refused_and_left_as_it_is() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "a".repeat(64)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(ensure_token(&path), Err(AuthError::Exposed { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(ensure_token(&path).unwrap(), "a".repeat(64));
        fs::write(&path, "short").unwrap();
        assert!(matches!(ensure_token(&path), Err(AuthError::Malformed { .. })));
    }

    #[test]
    fn only_loopback_is_listened_on_without_explicit_settings() {
        for good in ["127.0.0.1:7373", "127.9.9.9:1", "[::1]:7373"] {
            assert!(check_listen(good.parse().unwrap(), false).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:7373", "10.0.0.1:7373", "[::]:7373"] {
            assert!(check_listen(bad.parse().unwrap(), false).is_err(), "{bad}");
            assert!(check_listen(bad.parse().unwrap(), true).is_ok(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_told_apart_whatever_their_port_or_case() {
        let allowed = vec!["lab.example".to_owned()];
        for good in ["127.0.0.1", "127.0.0.1:7373", "localhost:1", "LOCALHOST", "[::1]:7373", "[::1]", "Lab.Example:80"]
        {
            assert!(host_is_allowed(good, &allowed), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7373", "10.0.0.1", "", "[::2]:1"]
        {
            assert!(!host_is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn the_token_is_compared_whole_and_never_shown() {
        let auth = Auth { token: "s3cret".to_owned().into(), allowed_hosts: vec![] };
        assert!(auth.token.matches("s3cret"));
        for other in ["s3creu", "s3cre", "s3crett", ""] {
            assert!(!auth.token.matches(other));
        }
        assert!(!format!("{auth:?}").contains("s3cret"));
    }
}
