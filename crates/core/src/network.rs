//! Allow-lists of addresses: IPv4 and IPv6 networks in CIDR notation (RFC 4632, RFC 4291).

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use crate::redact::redact;

/// Most networks of one key.
pub const MAX_NETWORKS: usize = 64;

/// The networks a key may be used from; an empty list allows every address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllowList(Vec<IpNet>);

impl AllowList {
    /// Reads addresses and networks, `192.0.2.7`, `10.0.0.0/8` or `2001:db8::/32`.
    ///
    /// # Errors
    /// Says which entry is neither, or that there are more than [`MAX_NETWORKS`].
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, InvalidNetwork> {
        if entries.len() > MAX_NETWORKS {
            return Err(InvalidNetwork::TooMany);
        }
        let mut networks = Vec::with_capacity(entries.len());
        for entry in entries.iter().map(AsRef::as_ref) {
            let network =
                parse_network(entry).ok_or_else(|| InvalidNetwork::Entry(redact(entry)))?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(Self(networks))
    }

    /// Whether a request from `address` may pass.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether every address may pass.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks as text; a single address without its prefix length.
    pub fn entries(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|network| {
            if network.prefix_len() == network.max_prefix_len() {
                network.addr().to_string()
            } else {
                network.to_string()
            }
        })
    }
}

fn parse_network(entry: &str) -> Option<IpNet> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    let network = entry.parse::<IpNet>().ok()?.trunc();
    match network {
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8: clients arrive under their canonical address.
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).ok(),
            None => Some(network),
        },
        other => Some(other),
    }
}

/// Why a list is not an allow-list.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// An entry is neither an address nor a network.
    #[error(
        "`{0}` is not an address or a network in CIDR notation, such as 10.0.0.0/8 or 2001:db8::/32"
    )]
    Entry(String),
    /// More than [`MAX_NETWORKS`] entries.
    #[error("at most 64 networks")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allows(entries: &[&str], address: &str) -> bool {
        AllowList::parse(entries)
            .unwrap()
            .allows(address.parse().unwrap())
    }

    #[test]
    fn addresses_inside_a_network_pass_and_others_do_not() {
        assert!(allows(&["10.0.0.0/8"], "10.255.0.1"));
        assert!(!allows(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(allows(&["2001:db8::/32", "192.0.2.7"], "2001:db8:ffff::1"));
        assert!(allows(&["2001:db8::/32", "192.0.2.7"], "192.0.2.7"));
        assert!(!allows(&["2001:db8::/32", "192.0.2.7"], "192.0.2.8"));
        assert!(allows(&[], "203.0.113.9"));
    }

    #[test]
    fn an_ipv4_address_seen_as_ipv6_is_the_same_address() {
        assert!(allows(&["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(allows(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(!allows(&["0.0.0.0/0"], "2001:db8::1"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for entry in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "localhost",
            "10.0.0.0/8 ",
            "::1/129",
            "1.2.3.4\0",
        ] {
            assert!(AllowList::parse(&[entry]).is_err(), "{entry:?}");
        }
        assert_eq!(AllowList::parse(&["::1"; 65]), Err(InvalidNetwork::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_reads(text in "[0-9a-f:./]{0,40}") {
            if let Ok(list) = AllowList::parse(&[text]) {
                let written: Vec<String> = list.entries().collect();
                prop_assert_eq!(AllowList::parse(&written).unwrap(), list);
            }
        }
    }
}
