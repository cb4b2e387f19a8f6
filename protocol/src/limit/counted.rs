//! The parts of a key, in the form in which limits make them.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::Ipv6Net;

use super::LimitKey;
use crate::{FieldProblem, Network, is_token};

/// A network of the size that one subscriber has (RFC 6177): whoever has one has all of its addresses.
const IPV6_SUBSCRIBER: u8 = 64;

const ALLOWED: &str = "is made by no limit; allowed: user and issuer, session, address, header.NAME, claim.NAME";

impl LimitKey {
    /// The part `address` of requests from there: of IPv6 its subscriber's network. An IPv4 address is one however it
    /// is written.
    pub fn address(address: IpAddr) -> String {
        match Network::address(address) {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                Ipv6Net::new(address, IPV6_SUBSCRIBER).map(|net| net.trunc().to_string()).unwrap_or_default()
            }
        }
    }

    /// The key as a limit makes it, of one that somebody has written.
    ///
    /// # Errors
    /// The parts that no limit makes: no request would ever be counted by it.
    pub fn counted(self) -> Result<Self, Vec<FieldProblem>> {
        let Self { limit, parts } = self;
        let mut counted = BTreeMap::new();
        let mut problems = Vec::new();
        let has = |name: &str| parts.contains_key(name);
        for (name, value) in &parts {
            let part = match name.split_once('.') {
                Some(("claim", claim)) if !claim.is_empty() => Ok((name.clone(), value.clone())),
                // Names of headers are the same in either case.
                Some(("header", header)) if is_token(header) => Ok((name.to_ascii_lowercase(), value.clone())),
                _ => match name.as_str() {
                    "address" => counted_address(value).map(|value| (name.clone(), value)),
                    "user" if !has("issuer") => Err("needs issuer beside it"),
                    "issuer" if !has("user") => Err("needs user beside it"),
                    "issuer" | "session" | "user" => Ok((name.clone(), value.clone())),
                    _ => Err(ALLOWED),
                },
            };
            let added = part.and_then(|(name, value)| match counted.insert(name, value) {
                None => Ok(()),
                Some(_) => Err("is given twice"),
            });
            if let Err(message) = added {
                problems.push(FieldProblem { field: format!("key.{name}"), message: message.to_owned() });
            }
        }
        if problems.is_empty() { Ok(Self { limit, parts: counted }) } else { Err(problems) }
    }
}

/// An address as limits count it; it may be empty, as that of a client without one is.
fn counted_address(text: &str) -> Result<String, &'static str> {
    let address = || text.parse().ok().map(LimitKey::address);
    let network = || {
        let network = text.parse::<Ipv6Net>().ok().filter(|net| net.prefix_len() == IPV6_SUBSCRIBER)?;
        (network.trunc() == network).then(|| network.to_string())
    };
    match text {
        "" => Ok(String::new()),
        _ => address().or_else(network).ok_or("must be an IPv4 or IPv6 address, or an IPv6 network of /64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_form_in_which_limits_count() {
        for (text, counted) in [
            ("a:", "a:"),
            ("a:user=alice&issuer=i&claim.plan=&session=s", "a:claim.plan=&issuer=i&session=s&user=alice"),
            ("a:header.X-Tenant=A", "a:header.x-tenant=A"),
            ("a:address=", "a:address="),
            ("a:address=192.0.2.1", "a:address=192.0.2.1"),
            ("a:address=%3A%3Affff%3A192.0.2.1", "a:address=192.0.2.1"),
            ("a:address=%3A%3A1", "a:address=%3A%3A%2F64"),
            ("a:address=2001:DB8:0:1:2:3:4:5", "a:address=2001%3Adb8%3A0%3A1%3A%3A%2F64"),
            ("a:address=2001:db8::/64", "a:address=2001%3Adb8%3A%3A%2F64"),
        ] {
            let key: LimitKey = text.parse().unwrap();
            let key = key.counted().unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            assert_eq!(key.to_string(), counted, "{text}");
            assert_eq!(key.clone().counted(), Ok(key), "{text}");
        }
    }

    #[test]
    fn what_no_limit_makes_is_named() {
        for (text, fields) in [
            ("a:user=bob", vec!["key.user"]),
            ("a:issuer=i", vec!["key.issuer"]),
            ("a:foo=bar&claim.=x&header.=y&User=z", vec!["key.User", "key.claim.", "key.foo", "key.header."]),
            ("a:header.a%20b=1", vec!["key.header.a b"]),
            ("a:header.x=1&header.X=2", vec!["key.header.x"]),
            ("a:address=10.0.0.1/8", vec!["key.address"]),
            ("a:address=2001:db8::1/64", vec!["key.address"]),
            ("a:address=::ffff:192.0.2.1/64", vec!["key.address"]),
            ("a:address=2001:db8::/48", vec!["key.address"]),
            ("a:address=example.com", vec!["key.address"]),
        ] {
            let problems = text.parse::<LimitKey>().unwrap().counted().unwrap_err();
            let named: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
            assert_eq!(named, fields, "{text}");
        }
    }
}
