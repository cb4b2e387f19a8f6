use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::InvalidText;

/// Addresses: one, or a range in CIDR notation (RFC 4632, RFC 4291). Bits beyond the prefix are
/// dropped; IPv4 addresses written as IPv6 (`::ffff:192.0.2.1`) are IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Network(IpNet);

impl Network {
    /// The range.
    pub const fn range(self) -> IpNet {
        self.0
    }

    /// The address as ranges are compared with: IPv4 where it is IPv4 written as IPv6.
    pub fn address(address: IpAddr) -> IpAddr {
        address.to_canonical()
    }

    /// The range that a client's address is likely to stay in: its /24, or its /64.
    pub fn around(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 24 } else { 64 };
        Self(IpNet::new(address, bits).unwrap_or_else(|_| IpNet::from(address)).trunc())
    }

    /// Whether the address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
        let range = || text.parse::<IpNet>().ok().and_then(canonical);
        one()
            .or_else(range)
            .map(|range| Self(range.trunc()))
            .ok_or(InvalidText::new("a network", "an IP address or a range such as 192.0.2.0/24"))
    }
}

/// `None` for a range of IPv4 addresses written as IPv6 that reaches beyond them.
fn canonical(range: IpNet) -> Option<IpNet> {
    match range.addr().to_canonical() {
        address if address.is_ipv4() == range.addr().is_ipv4() => Some(range),
        address => IpNet::new(address, range.prefix_len().checked_sub(96)?).ok(),
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Network {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Network {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_one_form() {
        for (text, form) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), form, "{text}");
        }
        for bad in ["", "192.0.2", "192.0.2.1/33", "192.0.2.1/", "::ffff:192.0.2.0/90", "example.com", "1.2.3.4:80"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_in_either_form_is_in_its_network() {
        let network: Network = "192.0.2.0/24".parse().unwrap();
        assert!(network.contains("192.0.2.255".parse().unwrap()));
        assert!(network.contains("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!network.contains("192.0.3.0".parse().unwrap()));
        assert_eq!(Network::around("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
    }
}
