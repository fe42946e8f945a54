//! Proxies in front of the gateway that are believed when they say for whom they ask. Pure.
//!
//! Read where a request's trail begins (`pipeline/trace`), for its log line alone: no header decides who a caller is.
//! The peers that are such proxies are also not held to the bound on one peer's connections (`serve/door`).
//!
//! Only `X-Forwarded-For` is read. A proxy that writes one header leaves a client's own other ones as they came, so
//! that a second header to believe would be one for clients to write.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// Each proxy appends the peer that it was asked by (de facto; see RFC 7239 section 7.4).
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The most proxies behind one another that are looked through.
const MOST: usize = 32;

/// The networks of proxies that are believed; none unless they are configured. Clones are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl FromIterator<IpNet> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// An address, or a network such as `10.0.0.0/8` without bits beyond its length.
///
/// # Errors
/// What is wrong with it.
pub fn network(text: &str) -> Result<IpNet, &'static str> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(address.into());
    }
    let network = IpNet::from_str(text).map_err(|_| "is no address, and no network")?;
    if network.trunc() != network {
        return Err("has bits beyond its length");
    }
    Ok(network)
}

impl TrustedProxies {
    /// Whether a peer is one of them.
    pub fn has(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|it| it.contains(&peer))
    }

    /// For whom this peer asks: the last address that no trusted proxy has, seen from here. None if the peer is not
    /// believed, says nothing, or says what is no address before that.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.has(peer) {
            return None;
        }
        let mut client = None;
        let values: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(|it| it.to_str().unwrap_or("?"))
            .collect();
        let hops = values.iter().rev().flat_map(|it| it.rsplit(','));
        for hop in hops.take(MOST) {
            let address = IpAddr::from_str(hop.trim()).ok()?.to_canonical();
            client = Some(address);
            if !self.has(address) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        networks.iter().map(|it| network(it).unwrap()).collect()
    }

    fn client(trusted: &TrustedProxies, peer: &str, values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                FORWARDED_FOR,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let client = trusted.client(peer.parse().unwrap(), &headers);
        client.map(|it| it.to_string())
    }

    #[test]
    fn h3_a_header_is_believed_of_configured_peers_and_back_to_the_first_other_one() {
        let none = TrustedProxies::default();
        assert_eq!(client(&none, "127.0.0.1", &["1.2.3.4"]), None);
        let some = trusted(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"]);
        for (peer, values, wanted) in [
            ("1.1.1.1", &["1.2.3.4"][..], None),
            ("192.0.2.8", &["1.2.3.4"], None),
            ("10.1.1.1", &[], None),
            ("10.1.1.1", &["1.2.3.4"], Some("1.2.3.4")),
            ("::ffff:10.1.1.1", &["::ffff:1.2.3.4"], Some("1.2.3.4")),
            ("192.0.2.7", &["2001:db8::1"], Some("2001:db8::1")),
            // What the client itself wrote stands to the left.
            ("10.1.1.1", &["9.9.9.9, 1.2.3.4"], Some("1.2.3.4")),
            (
                "10.1.1.1",
                &["9.9.9.9", "1.2.3.4 ,10.2.2.2", "fd00::5"],
                Some("1.2.3.4"),
            ),
            ("10.1.1.1", &["nonsense, 1.2.3.4"], Some("1.2.3.4")),
            ("10.1.1.1", &["1.2.3.4, nonsense"], None),
            ("10.1.1.1", &["1.2.3.4, \u{e9}"], None),
            ("10.1.1.1", &["1.2.3.4, nonsense, 10.2.2.2"], None),
            ("10.1.1.1", &["1.2.3.4:5678"], None),
            ("10.1.1.1", &[""], None),
            // All of them are ours: the one that is farthest away.
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], Some("10.3.3.3")),
        ] {
            let found = client(&some, peer, values);
            assert_eq!(found.as_deref(), wanted, "{peer} {values:?}");
        }
        let long = vec!["10.2.2.2"; 1_000].join(",");
        assert_eq!(
            client(&some, "10.1.1.1", &["1.2.3.4", &long]).as_deref(),
            Some("10.2.2.2"),
            "no more than {MOST} are looked through"
        );
    }

    #[test]
    fn networks_are_exact() {
        assert!(network("10.0.0.0/8").is_ok() && network("::1").is_ok());
        for bad in [
            "10.0.0.1/8",
            "10.0.0/8",
            "10.0.0.0/33",
            "proxy",
            "",
            "0.0.0.0/",
            "fe80::1%eth0",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
