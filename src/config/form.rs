//! What a text must look like, and how to say so.
//!
//! Guarantees: total over all texts; asks neither network nor file system. Must never repair what it is given.

use std::net::SocketAddr;

use croner::parser::{CronParser, Year};

use super::{
    keys::Form,
    names::NameRule,
    value::{is_range, is_source},
};
use crate::sandbox::faults::FaultRule;

/// A sample of a session's id: any name rule that takes it takes every other of its length.
const SAMPLE: &str = "x-7k2m9q";

impl Form {
    /// Whether `text` has this form.
    pub(super) fn fits(self, text: &str) -> bool {
        let only = |others: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
        let plain = |most: usize| text.chars().count() <= most && !text.chars().any(|c| c.is_control() && c != '\n');
        let word = || !text.is_empty() && text.len() <= 255;
        match self {
            Form::Any => plain(1024) && !text.contains('\n'),
            Form::Owner => plain(256) && text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c)),
            Form::Region => is_region(text),
            Form::Name(rule) => rule.allows(&text.replace("{session}", SAMPLE)),
            Form::ImageUri => is_image_uri(text),
            Form::Tag => is_tag(text),
            Form::RoleArn => is_role_arn(text),
            Form::Vpc => has_id(text, "vpc-"),
            Form::Subnet => has_id(text, "subnet-"),
            Form::HttpPath => text.starts_with('/') && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic()),
            Form::DottedKey => plain(1024) && text.split('.').all(|part| !part.is_empty()),
            Form::PrometheusName => word() && only("_:") && !text.starts_with(|c: char| c.is_ascii_digit()),
            Form::Url => is_url(text),
            Form::Question => is_question(text),
            Form::Socket => text.parse::<SocketAddr>().is_ok(),
            Form::LoopbackSocket => text.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()),
            Form::Host => word() && only(".-:[]"),
            Form::Cron => is_cron(text),
            Form::Zone => text.parse::<chrono_tz::Tz>().is_ok(),
            Form::Namespace => word() && only("._-/#:") && !text.starts_with("AWS/"),
            Form::Range => is_range(text),
            Form::LoadBalancer => balancer(text, "app/").is_some(),
            Form::TargetGroup => balancer(text, "targetgroup/").is_some(),
            Form::Source => is_source(text),
            Form::Fault => text.parse::<FaultRule>().is_ok(),
            Form::LogFilter => word() && tracing_subscriber::EnvFilter::try_new(text).is_ok() && is_filter(text),
        }
    }

    /// For people.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Form::Any => "a text of one line, at most 1024 characters",
            Form::Owner => "a name or an e-mail address: at most 256 letters, digits, spaces and _ . : / = + - @",
            Form::Region => "an AWS region such as us-east-1",
            Form::Name(rule) => rule.expected(),
            Form::ImageUri => "an image reference HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:DIGEST",
            Form::Tag => "an image tag: 1 to 128 letters, digits, _ . and -, beginning with a letter, digit or _",
            Form::RoleArn => "a role's ARN such as arn:aws:iam::123456789012:role/NAME",
            Form::Vpc => "a VPC id such as vpc-0123456789abcdef0",
            Form::Subnet => "a subnet id such as subnet-0123456789abcdef0",
            Form::HttpPath => "a path beginning with / and without spaces",
            Form::DottedKey => "a key, levels separated by dots",
            Form::PrometheusName => "a Prometheus metric name: letters, digits, _ and :, not beginning with a digit",
            Form::Question => "an address http://HOST[:PORT][/PATH][?QUERY]; {session} and {ip} may stand in it",
            Form::Url => "an address http://HOST[:PORT] or https://HOST[:PORT]",
            Form::Socket => "an IP address and port such as 127.0.0.1:7373",
            Form::LoopbackSocket => "a loopback address and port such as 127.0.0.1:4566",
            Form::Host => "a host name or address",
            Form::Cron => "a cron expression of 5 fields, or 6 with seconds first, such as \"0 18 * * 1-5\"",
            Form::Zone => "an IANA time zone such as Europe/Berlin",
            Form::Namespace => "1 to 255 letters, digits and . _ - / # :, not beginning with AWS/",
            Form::LoadBalancer => {
                "an application load balancer as its ARN ends, app/NAME/0123456789abcdef, or the whole ARN"
            }
            Form::TargetGroup => "a target group as its ARN ends, targetgroup/NAME/0123456789abcdef, or the whole ARN",
            Form::Range => "an IPv4 or IPv6 range without host bits, such as 203.0.113.7/32",
            Form::Source => "an IPv4 or IPv6 range without host bits, such as 203.0.113.7/32, or \"own\"",
            Form::Fault => {
                "a fault as OPERATION=KIND[:WHEN], such as ecs:RunTask=capacity:2; `labguard sandbox --help` lists the kinds"
            }
            Form::LogFilter => {
                "trace, debug, info, warn, error, off, or a filter such as \"info,labguard_cloud=debug\""
            }
        }
    }

    /// What is wrong with a text that does not fit, where more can be said than what is expected.
    pub(super) fn why(self, text: &str) -> Option<String> {
        match self {
            Form::Fault => text.parse::<FaultRule>().err().map(|error| error.why),
            _ => None,
        }
    }

    /// The nearest legal text, where there is a list to choose from.
    pub(super) fn nearest(self, text: &str) -> Option<String> {
        match self {
            Form::Zone => {
                super::mistake::nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())).map(str::to_owned)
            }
            Form::Name(NameRule::Repository) => {
                let lower = text.to_lowercase().replace("{session}", SAMPLE);
                NameRule::Repository.allows(&lower).then(|| text.to_lowercase())
            }
            Form::Fault => text.parse::<FaultRule>().err().and_then(|error| error.nearest),
            _ => None,
        }
    }
}

/// The end of a load balancer's or target group's ARN, as CloudWatch's dimensions have it; `kind` begins it.
pub(super) fn balancer<'t>(text: &'t str, kind: &str) -> Option<&'t str> {
    let end = match text.strip_prefix("arn:") {
        Some(arn) => {
            let resource = arn.splitn(5, ':').nth(4).filter(|_| arn.contains(":elasticloadbalancing:"))?;
            resource.strip_prefix("loadbalancer/").unwrap_or(resource)
        }
        None => text,
    };
    let (name, id) = end.strip_prefix(kind)?.split_once('/')?;
    let named = (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let numbered = id.len() == 16 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (named && numbered).then_some(end)
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let (Some((last, words)), Some(first)) = (parts.split_last(), parts.first()) else { return false };
    (3..=5).contains(&parts.len())
        && first.len() == 2
        && words.iter().all(letters)
        && last.len() == 1
        && last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.len() <= 128
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_image_uri(text: &str) -> bool {
    let Some((host, rest)) = text.split_once('/') else { return false };
    let (host_name, port) = host.split_once(':').unwrap_or((host, "443"));
    let is_host = host_name == "localhost" || host_name.contains('.') || host.contains(':');
    let (repository, reference) = match (rest.split_once('@'), rest.split_once(':')) {
        (Some((name, digest)), _) => {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            (name.split(':').next().unwrap_or_default(), hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        }
        (None, Some((name, tag))) => (name, is_tag(tag)),
        (None, None) => (rest, true),
    };
    let short = |name: &str| name.len() == 1 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_host
        && host_name.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
        && port.parse::<u16>().is_ok()
        && (NameRule::Repository.allows(repository) || short(repository))
        && reference
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, role] = parts[..] else { return false };
    arn == "arn"
        && partition.starts_with("aws")
        && service == "iam"
        && region.is_empty()
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && role.strip_prefix("role/").is_some_and(|path| {
            path.rsplit('/').next().is_some_and(|name| NameRule::Role.allows(name))
                && path.bytes().all(|byte| byte.is_ascii_graphic())
        })
}

fn has_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|id| {
        (8..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.query().is_none()
}

/// What is asked of the operator: plain HTTP, with places for the session.
fn is_question(text: &str) -> bool {
    let filled = text.replace("{session}", "lab-1").replace("{ip}", "192.0.2.1");
    let Ok(uri) = filled.parse::<http::Uri>() else { return false };
    uri.scheme_str() == Some("http")
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
}

fn is_cron(text: &str) -> bool {
    let parsed = CronParser::builder().year(Year::Disallowed).build().parse(text);
    // An instant that never comes (30 February) closes no window.
    let comes = |cron: croner::Cron| cron.find_next_occurrence(&chrono::DateTime::UNIX_EPOCH, false).is_ok();
    matches!(text.split_whitespace().count(), 5 | 6) && parsed.is_ok_and(comes)
}

/// `EnvFilter` takes any word as a target; a lone word must be a level here.
fn is_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
    text.split(',').all(|part| {
        let level = part.rsplit('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        LEVELS.contains(&level.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_name_a_host() {
        let digest = "a".repeat(64);
        for good in [
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/admission_prediction:latest",
            "localhost:5000/app",
            &format!("public.ecr.aws/x/y@sha256:{digest}"),
        ] {
            assert!(Form::ImageUri.fits(good), "{good}");
        }
        for bad in ["nginx", "library/nginx", "a.b/", "a.b/C:x", "a.b/c:", "a.b/c@sha256:12", "http://a.b/c", ""] {
            assert!(!Form::ImageUri.fits(bad), "{bad}");
        }
    }

    #[test]
    fn a_load_balancer_and_a_target_group_are_taken_by_their_arn_or_its_end_and_nothing_else_is() {
        let arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";
        let (balancer_end, group_end) = ("app/my-lab/50dc6c495c0c9188", "targetgroup/lab/73e2d6bc24d8a067");
        assert_eq!(balancer(balancer_end, "app/"), Some(balancer_end));
        assert_eq!(balancer(&format!("{arn}loadbalancer/{balancer_end}"), "app/"), Some(balancer_end));
        assert_eq!(balancer(&format!("{arn}{group_end}"), "targetgroup/"), Some(group_end));
        assert!(Form::LoadBalancer.fits(balancer_end) && Form::TargetGroup.fits(group_end));
        for bad in [
            "my-lab",
            "app/my-lab",
            "app/my-lab/xyz",
            "net/my-lab/50dc6c495c0c9188",
            "app/my lab/50dc6c495c0c9188",
            group_end,
            &format!("arn:aws:s3:us-east-1:123456789012:loadbalancer/{balancer_end}"),
            &format!("{arn}listener/{balancer_end}"),
        ] {
            assert!(!Form::LoadBalancer.fits(bad), "{bad}");
        }
        assert!(!Form::TargetGroup.fits(balancer_end));
    }

    #[test]
    fn regions_crons_zones_and_roles_are_told_from_nonsense() {
        assert!(Form::Region.fits("us-east-1") && Form::Region.fits("us-gov-west-1"));
        assert!(!Form::Region.fits("us-east") && !Form::Region.fits("useast1") && !Form::Region.fits("US-EAST-1"));
        assert!(Form::Cron.fits("0 18 * * *") && Form::Cron.fits("0 0 18 * * MON-FRI"));
        assert!(
            !Form::Cron.fits("0 25 * * *")
                && !Form::Cron.fits("@daily")
                && !Form::Cron.fits("0 0 30 2 *")
                && !Form::Cron.fits("0 0 18 * * * 2027")
        );
        assert!(Form::Zone.fits("Europe/Berlin") && !Form::Zone.fits("Europe/Berln"));
        assert_eq!(Form::Zone.nearest("Europe/Berln"), Some("Europe/Berlin".into()));
        assert!(
            Form::RoleArn.fits("arn:aws:iam::123456789012:role/a/b") && !Form::RoleArn.fits("arn:aws:iam::1:role/a")
        );
        assert!(Form::LogFilter.fits("info,labguard_cloud=debug") && !Form::LogFilter.fits("loud"));
        assert!(
            Form::Url.fits("http://127.0.0.1:4566") && !Form::Url.fits("ftp://x") && !Form::Url.fits("127.0.0.1:1")
        );
        assert!(!Form::Url.fits("http://user:pass@host"));
        assert!(Form::Question.fits("http://{ip}:8888/api?of={session}") && !Form::Question.fits("https://hub/"));
    }
}
