//! What counts as one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// One IPv4 address, or 64 bits of IPv6: whoever has one address of a /64 has them all.
///
/// Written as `203.0.113.9` or `2001:db8:1:2::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network that an address is in; an IPv4 address written as IPv6 is an IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Not a network as [`Network`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an IPv4 address or an IPv6 network of 64 bits, such as 2001:db8:1:2::/64")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let address = text.strip_suffix("/64").unwrap_or(text);
        let network = Self::of(address.parse().map_err(|_| NotANetwork)?);
        // Two texts of one network would be two rows of the store.
        (network.to_string() == text)
            .then_some(network)
            .ok_or(NotANetwork)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv4_address_is_a_network_and_an_ipv6_address_is_in_one_of_64_bits() {
        assert_eq!(network("203.0.113.9").to_string(), "203.0.113.9");
        assert_eq!(network("::ffff:203.0.113.9"), network("203.0.113.9"));
        assert_ne!(network("203.0.113.9"), network("203.0.113.8"));
        let v6 = network("2001:db8:1:2:3:4:5:6");
        assert_eq!(v6.to_string(), "2001:db8:1:2::/64");
        assert_eq!(v6, network("2001:db8:1:2::"));
        assert_ne!(v6, network("2001:db8:1:3::"));
    }

    #[test]
    fn only_the_one_text_of_a_network_is_read() {
        for text in [
            "",
            "/64",
            "203.0.113.9/64",
            "203.0.113.9/32",
            "2001:db8::",
            "2001:db8::1/64",
            "2001:DB8::/64",
            "2001:db8:0::/64",
            "::ffff:203.0.113.9",
            "2001:db8::/64/64",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_is_read_as_it_is_written(v6: u128, v4: u32) {
            for network in [Network::of(Ipv6Addr::from_bits(v6).into()), Network::of(v4.to_be_bytes().into())] {
                prop_assert_eq!(network.to_string().parse(), Ok(network));
            }
        }
    }
}
