//! The public address that labguard calls from, and what `own` stands for among the ranges that may reach a port.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::spec::Ingress;

/// Among ranges: labguard's own address, and nobody else.
pub const OWN: &str = "own";

/// What is known of the address that labguard calls from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnAddress {
    /// It is being asked for.
    #[default]
    Asking,
    /// It is that one.
    Known(Ipv4Addr),
    /// It cannot be learnt, and why.
    Unknown(String),
}

impl OwnAddress {
    /// These rules with the own address put in, as far as somebody may reach them; none while it is being asked for.
    /// Where it cannot be learnt, `own` is nobody.
    #[must_use]
    pub fn put_into(&self, rules: &[Ingress]) -> Option<Vec<Ingress>> {
        let mut all = Vec::new();
        for rule in rules {
            let mut sources: Vec<String> = Vec::new();
            for source in &rule.sources {
                let source = match self {
                    _ if source != OWN => source.clone(),
                    OwnAddress::Asking => return None,
                    OwnAddress::Known(address) => format!("{address}/32"),
                    OwnAddress::Unknown(_) => continue,
                };
                if !sources.contains(&source) {
                    sources.push(source);
                }
            }
            if !sources.is_empty() {
                all.push(Ingress { port: rule.port, sources });
            }
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_is_one_address_or_nobody_and_never_everybody() {
        let rule =
            |port, sources: &[&str]| Ingress { port, sources: sources.iter().map(ToString::to_string).collect() };
        let rules = [rule(80, &["own"]), rule(81, &["10.0.0.0/8", "own", "192.0.2.1/32"]), rule(82, &["10.0.0.0/8"])];
        assert_eq!(OwnAddress::Asking.put_into(&rules), None);
        assert_eq!(OwnAddress::Asking.put_into(&rules[2..]), Some(vec![rule(82, &["10.0.0.0/8"])]));
        let known = OwnAddress::Known("192.0.2.1".parse().unwrap()).put_into(&rules).unwrap();
        assert_eq!(known[0], rule(80, &["192.0.2.1/32"]));
        assert_eq!(known[1], rule(81, &["10.0.0.0/8", "192.0.2.1/32"]));
        let unknown = OwnAddress::Unknown("no answer".to_owned()).put_into(&rules).unwrap();
        assert_eq!(unknown, [rule(81, &["10.0.0.0/8", "192.0.2.1/32"]), rule(82, &["10.0.0.0/8"])]);
    }
}
