//! Who asks: the other end of the connection, or whom the proxies before it name.
//!
//! A proxy's word counts only where the operator trusts its address, and only in the one field that the
//! operator's proxies write: the other is passed on by them as a stranger wrote it. The field is read from
//! the right, past trusted addresses (as nginx does with `real_ip_recursive`), and never beyond what is no
//! address. What is known of a client is told to guests as well, here. Nothing of tokens or rates is known
//! here.

use super::forwarded::{Hop, address, elements, from_right, hop, scheme, text};
use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What tells of clients, beside the two above: each is left only where a trusted proxy wrote it.
const TELLING: [HeaderName; 4] = [
    FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
];

/// How many of [`TELLING`] go in any case: they say again, or otherwise, where the client is.
const REPEATING: usize = 2;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address: the peer's, or what a trusted proxy says.
    pub address: IpAddr,
    /// Whether it asked under TLS: here, or at a trusted proxy that says so.
    pub tls: bool,
    /// The other end of the connection: the client, or the proxy before us.
    pub peer: SocketAddr,
}

impl Client {
    /// The peer itself.
    pub fn direct(peer: SocketAddr, tls: bool) -> Self {
        Self { address: peer.ip().to_canonical(), tls, peer }
    }

    /// The proxy that the client came by, if it did.
    pub fn proxy(&self) -> Option<SocketAddr> {
        (self.address != self.peer.ip().to_canonical()).then_some(self.peer)
    }
}

/// The address, with the port where it is known.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.proxy() {
            None => write!(f, "{}", SocketAddr::new(self.address, self.peer.port())),
            Some(_) => write!(f, "{}", self.address),
        }
    }
}

/// The field that trusted proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme: what most write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies whose word is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<IpNet>,
    field: Field,
}

impl Proxies {
    /// Reads networks such as `10.0.0.0/8,2001:db8::7`; an address alone is a network of one.
    ///
    /// # Errors
    /// What was found, what was expected and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let networks = text.split(',').map(|text| network(text.trim())).collect::<Result<_, _>>()?;
        Ok(Self { networks, field: Field::default() })
    }

    /// The same for proxies that write this field: `x-forwarded-for` or `forwarded`.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn with_field(self, name: &str) -> Result<Self, String> {
        let field = match name.trim().to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Field::XForwardedFor,
            "forwarded" => Field::Forwarded,
            _ => return Err(format!("found {name:?}, expected x-forwarded-for or forwarded")),
        };
        Ok(Self { field, ..self })
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Finds out who sent a request, and leaves in its header what is known of that: `X-Forwarded-For` with
    /// the one address, `X-Forwarded-Proto`, and nothing that somebody else wrote.
    pub fn settle(&self, direct: Client, headers: &mut HeaderMap) -> Client {
        let client = self.client(direct, headers);
        let kept = if self.trust(direct.address) { REPEATING } else { TELLING.len() };
        for name in TELLING.iter().take(kept) {
            headers.remove(name);
        }
        match HeaderValue::from_str(&client.address.to_string()) {
            Ok(address) => headers.insert(X_FORWARDED_FOR, address),
            Err(_) => headers.remove(X_FORWARDED_FOR),
        };
        let scheme = HeaderValue::from_static(if client.tls { "https" } else { "http" });
        headers.insert(X_FORWARDED_PROTO, scheme);
        client
    }

    /// Who sent a request with this header.
    fn client(&self, mut client: Client, headers: &HeaderMap) -> Client {
        if !self.trust(client.address) {
            return client;
        }
        match self.field {
            Field::XForwardedFor => {
                // Each proxy writes on the right: what stands there is the word of the one before us.
                let scheme = from_right(headers, X_FORWARDED_PROTO).next().and_then(text).and_then(scheme);
                client.tls = scheme.unwrap_or(client.tls);
                let hops = from_right(headers, X_FORWARDED_FOR);
                self.walk(client, hops.map(|hop| Hop { address: text(hop).and_then(address), tls: None }))
            }
            Field::Forwarded => {
                let lines = headers.get_all(FORWARDED).iter().rev();
                let elements = lines.flat_map(|line| elements(line.as_bytes()).into_iter().rev());
                self.walk(client, elements.map(|element| element.and_then(hop).unwrap_or_default()))
            }
        }
    }

    /// From one proxy to the one before it, up to what no trusted one wrote. Each hop was written by the
    /// address that the walk has come to.
    fn walk(&self, mut client: Client, hops: impl Iterator<Item = Hop>) -> Client {
        for hop in hops {
            client.tls = hop.tls.unwrap_or(client.tls);
            let Some(address) = hop.address else { break };
            client.address = address;
            if !self.trust(address) {
                break;
            }
        }
        client
    }
}

/// One network, or the address of one proxy.
fn network(text: &str) -> Result<IpNet, String> {
    let found = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("found {text:?}, expected the network of your proxies or the address of one, such as 10.0.0.0/8 or 2001:db8::7"))?;
    if let IpNet::V6(network) = found
        && network.addr().to_ipv4_mapped().is_some()
    {
        return Err(format!("found {text:?}, expected an IPv4 network as such, like 10.0.0.0/8"));
    }
    if found.prefix_len() == 0 {
        return Err(format!(
            "found {text:?}, which is everybody: any caller could then say that it is another; name the networks of \
             your proxies"
        ));
    }
    if found != found.trunc() {
        return Err(format!("found {text:?}, which lies within a network, expected {}", found.trunc()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Proxies at 10.0.0.0/8 and 2001:db8:aa::/48, with this field.
    fn proxies(field: &str) -> Proxies {
        Proxies::parse("10.0.0.0/8, 2001:db8:aa::/48").and_then(|all| all.with_field(field)).expect("proxies")
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        headers
    }

    fn peer(address: &str) -> Client {
        Client::direct(SocketAddr::new(address.parse().expect("an address"), 4711), false)
    }

    /// Where the client is, by lines of a field, if 10.0.0.1 hands them over.
    fn found(field: &'static str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| (field, *line)).collect();
        proxies(field).client(peer("10.0.0.1"), &headers(&lines)).address.to_string()
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right_up_to_the_first_stranger() {
        let hundred = format!("{}198.51.100.9", "203.0.113.1, ".repeat(99));
        let trusted = format!("{}10.9.9.9", "203.0.113.1, 10.1.1.1, ".repeat(50));
        for (lines, client) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["203.0.113.66, 192.0.2.1"], "192.0.2.1"),
            (&["203.0.113.66, 192.0.2.1, 10.0.0.7, 10.2.3.4"], "192.0.2.1"),
            // What a client writes that names trusted proxies stays left of itself.
            (&["127.0.0.1, 10.0.0.7, 192.0.2.1"], "192.0.2.1"),
            // Several lines are one list.
            (&["203.0.113.66", "192.0.2.1"], "192.0.2.1"),
            (&["203.0.113.66, 192.0.2.1", "10.0.0.7", "10.0.0.8"], "192.0.2.1"),
            (&["192.0.2.1", "10.0.0.7,"], "192.0.2.1"),
            // Empty elements say nothing (RFC 9110).
            (&[", 192.0.2.1, , ,10.0.0.7, ,", ""], "192.0.2.1"),
            (&["203.0.113.66,192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1:56324"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:443, 2001:db8:aa::7"], "2001:db8::1"),
            (&["::ffff:192.0.2.1, ::ffff:10.0.0.9"], "192.0.2.1"),
            // All of them trusted: the first one asks for itself.
            (&["10.0.0.9, 10.0.0.7"], "10.0.0.9"),
            (&[hundred.as_str()], "198.51.100.9"),
            (&[trusted.as_str()], "203.0.113.1"),
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            assert_eq!(found("x-forwarded-for", lines), client, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_walk_where_it_has_come_to() {
        for odd in [
            "unknown",
            "_hidden",
            "localhost",
            "192.0.2.1.",
            "192.0.2.256",
            "192.0.2.01",
            "0x7f000001",
            "192.0.2.1:",
            "192.0.2.1:http",
            "192.0.2.1:123456",
            "192.0.2.1/32",
            "192.0.2.1 10.0.0.7",
            "\"192.0.2.1\"",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[2001:db8::1]:",
            "fe80::1%eth0",
            "für",
            "for=192.0.2.1",
        ] {
            let found = |lines: &[&str]| found("x-forwarded-for", lines);
            assert_eq!(found(&[odd]), "10.0.0.1", "{odd}");
            assert_eq!(found(&[&format!("203.0.113.66, {odd}, 10.0.0.7")]), "10.0.0.7", "{odd}");
            assert_eq!(found(&["203.0.113.66", odd, "10.0.0.7"]), "10.0.0.7", "{odd}");
            // Left of a stranger it does no harm.
            assert_eq!(found(&[&format!("{odd}, 192.0.2.1")]), "192.0.2.1", "{odd}");
        }
    }

    #[test]
    fn forwarded_is_read_in_the_same_way() {
        for (lines, client) in [
            (&["for=192.0.2.1"][..], "192.0.2.1"),
            (&["For=192.0.2.1; proto=https;by=203.0.113.43"], "192.0.2.1"),
            (&["for=203.0.113.66, for=192.0.2.1, for=10.0.0.7"], "192.0.2.1"),
            (&["for=203.0.113.66, for=192.0.2.1", "for=10.0.0.7"], "192.0.2.1"),
            (&["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["for=\"192.0.2.1:80\";host=\"a,b;c\\\"d\""], "192.0.2.1"),
            (&["for=\"192.0.2.1:_hidden\", , for=10.0.0.7;;"], "192.0.2.1"),
            (&["for=\"\\1\\9\\2.0.2.1\""], "192.0.2.1"),
            (&[], "10.0.0.1"),
            // Names that hide an address, and what says none.
            (&["for=203.0.113.66, for=unknown, for=10.0.0.7"], "10.0.0.7"),
            (&["for=203.0.113.66, for=_hidden, for=10.0.0.7"], "10.0.0.7"),
            (&["for=203.0.113.66, proto=https"], "10.0.0.1"),
            // Malformed: without quotation marks, twice, not quoted to the end, blanks, no pair.
            (&["for=192.0.2.1:80"], "10.0.0.1"),
            (&["for=[2001:db8::1]"], "10.0.0.1"),
            (&["for=\"2001:db8::1\""], "10.0.0.1"),
            (&["for=192.0.2.1;for=192.0.2.2"], "10.0.0.1"),
            (&["for=192.0.2.1;FOR=192.0.2.2"], "10.0.0.1"),
            (&["for=\"192.0.2.1"], "10.0.0.1"),
            (&["for=\"192.0.2.1\"x"], "10.0.0.1"),
            (&["for=\"192.0.2.1\\"], "10.0.0.1"),
            (&["for = 192.0.2.1"], "10.0.0.1"),
            (&["192.0.2.1"], "10.0.0.1"),
            (&["f or=1;for=192.0.2.1"], "10.0.0.1"),
            (&["for=203.0.113.66, for, for=10.0.0.7"], "10.0.0.7"),
            // A quotation that a client begins ends in what its proxy writes, and hides nothing there.
            (&["for=203.0.113.66;x=\", for=192.0.2.1"], "10.0.0.1"),
            (&["for=203.0.113.66;x=\", for=\"192.0.2.1\""], "10.0.0.1"),
            (&["for=203.0.113.66;x=\"\\, for=\"192.0.2.1\";by=\"_x\""], "10.0.0.1"),
            (&["for=203.0.113.66;x=\"", "for=192.0.2.1"], "192.0.2.1"),
            (&["für=1, for=192.0.2.1"], "192.0.2.1"),
        ] {
            assert_eq!(found("forwarded", lines), client, "{lines:?}");
        }
        let many: String = (0..10_000).map(|n| format!("p{n}=\"{n}\";")).collect();
        assert_eq!(found("forwarded", &[&format!("{many}for=192.0.2.1")]), "192.0.2.1");
        let hundred = format!("{}for=192.0.2.1", "for=10.0.0.2, ".repeat(99));
        assert_eq!(found("forwarded", &[&hundred]), "192.0.2.1");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever a client writes before what its proxy adds to it: it is nobody else.
        #[test]
        fn no_client_is_another(written in "[ -~]{0,80}", like in "(for=|\"|\\\\|10\\.0\\.0\\.7|192\\.0\\.2\\.9|;|,| |\\[|=|x){0,20}") {
            for written in [&written, &like] {
                prop_assert_eq!(found("x-forwarded-for", &[&format!("{written}, 198.51.100.1")]), "198.51.100.1");
                prop_assert_eq!(found("forwarded", &[written, "for=198.51.100.1"]), "198.51.100.1");
                for own in ["for=198.51.100.1", "for=\"198.51.100.1:80\";proto=http"] {
                    let client = found("forwarded", &[&format!("{written}, {own}")]);
                    // A quotation of the client's that takes in what the proxy wrote leaves the proxy itself.
                    prop_assert!(client == "198.51.100.1" || client == "10.0.0.1" && written.contains('"'), "{}", client);
                }
            }
        }
    }

    #[test]
    fn only_trusted_peers_are_believed_and_only_in_their_field() {
        let both = headers(&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2;proto=https")]);
        for (field, from, client) in [
            ("x-forwarded-for", "10.0.0.1", "192.0.2.1"),
            ("X-Forwarded-For", "::ffff:10.0.0.1", "192.0.2.1"),
            ("x-forwarded-for", "2001:db8:aa::1", "192.0.2.1"),
            ("forwarded", "10.0.0.1", "192.0.2.2"),
            ("x-forwarded-for", "11.0.0.1", "11.0.0.1"),
            ("forwarded", "2001:db8:ab::1", "2001:db8:ab::1"),
        ] {
            let found = proxies(field).client(peer(from), &both);
            assert_eq!(found.address.to_string(), client, "{field} from {from}");
            assert_eq!(found.tls, client == "192.0.2.2", "{field} from {from}");
        }
        let theirs = headers(&[("forwarded", "for=192.0.2.2")]);
        assert_eq!(proxies("x-forwarded-for").client(peer("10.0.0.1"), &theirs), peer("10.0.0.1"));
    }

    #[test]
    fn the_scheme_is_the_trusted_proxys_word() {
        for (field, lines, tls) in [
            ("x-forwarded-for", &[("x-forwarded-proto", "https")][..], true),
            ("x-forwarded-for", &[("x-forwarded-proto", "HTTPS, http")], false),
            ("x-forwarded-for", &[("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")], true),
            ("x-forwarded-for", &[("x-forwarded-proto", "gopher")], false),
            ("x-forwarded-for", &[("forwarded", "proto=https")], false),
            ("forwarded", &[("x-forwarded-proto", "https")], false),
            ("forwarded", &[("forwarded", "for=_hidden;proto=https")], true),
            // Of the hop from the client, not of those between proxies, nor of what a client wrote.
            ("forwarded", &[("forwarded", "for=192.0.2.1;proto=https, for=10.0.0.2;proto=http")], true),
            ("forwarded", &[("forwarded", "for=203.0.113.66;proto=https, for=192.0.2.1;proto=http")], false),
            ("forwarded", &[("forwarded", "for=203.0.113.66;proto=https, for=192.0.2.1")], false),
        ] {
            let found = proxies(field).client(peer("10.0.0.1"), &headers(lines));
            assert_eq!(found.tls, tls, "{field} {lines:?}");
            assert!(!proxies(field).client(peer("192.0.2.1"), &headers(lines)).tls, "{field} {lines:?}");
        }
        // A proxy that asks us under TLS for a client that asked it in clear.
        let secured = Client { tls: true, ..peer("10.0.0.1") };
        assert!(!proxies("forwarded").client(secured, &headers(&[("forwarded", "proto=http")])).tls);
        assert!(proxies("forwarded").client(secured, &HeaderMap::new()).tls);
    }

    #[test]
    fn guests_are_told_what_is_known_and_nothing_else() {
        let sent = [
            ("x-forwarded-for", "203.0.113.66, 192.0.2.1"),
            ("x-forwarded-for", "10.0.0.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("x-real-ip", "203.0.113.67"),
            ("forwarded", "for=203.0.113.68"),
            ("accept", "*/*"),
        ];
        let told = |from: &str| {
            let mut headers = headers(&sent);
            proxies("x-forwarded-for").settle(peer(from), &mut headers);
            let mut told: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
                .collect();
            told.sort();
            told
        };
        assert_eq!(
            told("10.0.0.1"),
            [
                "accept: */*",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: https"
            ]
        );
        assert_eq!(
            told("192.0.2.7"),
            ["accept: */*", "x-forwarded-for: 192.0.2.7", "x-forwarded-proto: http"]
        );
    }

    #[test]
    fn a_client_is_shown_with_its_port_where_that_is_known() {
        let direct = peer("::ffff:192.0.2.1");
        assert_eq!((direct.to_string(), direct.proxy()), ("192.0.2.1:4711".to_owned(), None));
        let behind = Client { address: "2001:db8::1".parse().expect("an address"), ..peer("10.0.0.1") };
        assert_eq!(behind.to_string(), "2001:db8::1");
        assert_eq!(behind.proxy().map(|proxy| proxy.to_string()), Some("10.0.0.1:4711".to_owned()));
    }

    #[test]
    fn networks_that_are_none_are_told() {
        for good in ["127.0.0.1", "10.0.0.0/8,192.168.1.0/24", "::1, 2001:db8::/32", "192.0.2.1/32"] {
            assert!(Proxies::parse(good).is_ok(), "{good}");
        }
        for (wrong, word) in [
            ("", "found \"\", expected the network"),
            ("10.0.0.0/8,", "found \"\""),
            ("proxy.example", "such as 10.0.0.0/8"),
            ("10.0.0.0/33", "such as"),
            ("10.0.0.1/8", "expected 10.0.0.0/8"),
            ("2001:db8::1/32", "expected 2001:db8::/32"),
            ("0.0.0.0/0", "everybody"),
            ("::/0", "everybody"),
            ("::ffff:10.0.0.0/104", "expected an IPv4 network"),
            ("10.0.0.0/8 192.168.0.0/16", "found \"10.0.0.0/8 192.168.0.0/16\""),
        ] {
            let message = Proxies::parse(wrong).expect_err(wrong);
            assert!(message.contains(word), "{wrong}: {message}");
        }
        let proxies = Proxies::parse("10.0.0.1").expect("a proxy");
        assert!(
            proxies
                .with_field("x-real-ip")
                .expect_err("no such field")
                .contains("expected x-forwarded-for or")
        );
    }
}
