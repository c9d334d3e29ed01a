//! What a name of ours means, in Consul's forms. Pure, but for the order of answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, PTR, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use rand::seq::SliceRandom;

use super::DnsSettings;
use super::index::{Found, Index, Place};

/// Our part of all names.
pub(super) struct Zone {
    origin: Name,
    domain: String,
    node: String,
    datacenter: String,
    ttl: u32,
    serial: u32,
}

/// An answer that we give ourselves.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

/// From where somebody looks at this host.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// The host's address as those who ask see it.
    pub(super) host: Option<IpAddr>,
    /// Whether the question came from the host itself.
    pub(super) is_local: bool,
}

impl View {
    /// The address of a place. Loopback is the host for the host only: anybody else would look for it at home.
    fn address(self, place: &Place) -> Option<IpAddr> {
        match place {
            Place::Address(ip) if ip.is_loopback() && !self.is_local => self.host.or(Some(*ip)),
            Place::Address(ip) => Some(*ip),
            Place::Here => self.host,
            Place::Host(_) => None,
        }
    }
}

/// What a name stands for.
enum Meaning<'a> {
    /// Nothing.
    Unknown,
    /// A name that other names end in.
    Folder,
    /// The domain itself.
    Top,
    Service(Vec<&'a Found>),
    At(Place),
}

impl Zone {
    pub(super) fn new(origin: Name, settings: &DnsSettings) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            domain: origin.to_ascii().to_ascii_lowercase(),
            origin,
            node: label(&settings.node),
            datacenter: settings.datacenter.to_ascii_lowercase(),
            ttl: u32::try_from(settings.ttl.as_secs()).unwrap_or(u32::MAX),
            serial: started.map_or(1, |time| u32::try_from(time.as_secs()).unwrap_or(1)),
        }
    }

    /// The answer to a question about our names, or about an address of ours; `None` when it is for others.
    pub(super) fn answer(&self, query: &Query, index: &Index, view: View) -> Option<Answer> {
        let name = query.name();
        if let Some(ip) = reverse(name) {
            return self.reverse(query, ip, index, view);
        }
        if !self.origin.zone_of(name) {
            return None;
        }
        let own = usize::from(self.origin.num_labels());
        let labels: Vec<String> = name
            .iter()
            .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase())
            .collect();
        let inner = labels
            .get(..labels.len().saturating_sub(own))
            .unwrap_or_default();
        let inner: Vec<&str> = inner.iter().map(String::as_str).collect();
        let meaning = self.meaning(&inner, index);
        let mut answer = Answer::default();
        match meaning {
            Meaning::Unknown => answer.code = ResponseCode::NXDomain,
            Meaning::Folder => {}
            Meaning::Top => self.top(query, view, &mut answer),
            Meaning::Service(found) => self.service(query, found, view, &mut answer),
            Meaning::At(place) => self.addresses(query, &[place], view, &mut answer.answers),
        }
        if answer.answers.is_empty() {
            answer.authorities.push(self.soa());
        }
        Some(answer)
    }

    fn meaning<'a>(&self, inner: &[&str], index: &'a Index) -> Meaning<'a> {
        let inner = match inner {
            [rest @ .., last] if *last == self.datacenter => rest,
            all => all,
        };
        let service = |name: &str, tag: Option<&str>| {
            let found = index.service(name, tag);
            found.map_or(Meaning::Unknown, Meaning::Service)
        };
        match inner {
            [] => Meaning::Top,
            ["service" | "node" | "addr"] => Meaning::Folder,
            ["ns"] => Meaning::At(Place::Here),
            [name, "service"] => service(name, None),
            [first, second, "service"] => match (first.strip_prefix('_'), second.strip_prefix('_'))
            {
                // RFC 2782: the protocol is no tag.
                (Some(name), Some("tcp")) => service(name, None),
                (Some(name), Some(tag)) => service(name, Some(tag)),
                _ => service(second, Some(first)),
            },
            [name, "node"] if *name == self.node => Meaning::At(Place::Here),
            [name, "node"] => index.node(name).map_or(Meaning::Unknown, Meaning::At),
            [digits, "addr"] => {
                address_of(digits).map_or(Meaning::Unknown, |ip| Meaning::At(Place::Address(ip)))
            }
            _ => Meaning::Unknown,
        }
    }

    fn top(&self, query: &Query, view: View, answer: &mut Answer) {
        if query.query_type() == RecordType::SOA {
            answer.answers.push(self.soa());
        }
        let server = self.name(&["ns"]);
        let asked = query.query_type() == RecordType::NS;
        if let Some(server) = server.filter(|_| asked) {
            let data = RData::NS(NS(server.clone()));
            answer.answers.push(self.record(query.name(), data));
            let glue = view.host.map(|ip| self.record(&server, address(ip)));
            answer.additionals.extend(glue);
        }
    }

    fn service(&self, query: &Query, mut found: Vec<&Found>, view: View, answer: &mut Answer) {
        found.shuffle(&mut rand::rng());
        if query.query_type() != RecordType::SRV {
            let places: Vec<_> = found.into_iter().map(|found| found.place.clone()).collect();
            return self.addresses(query, &places, view, &mut answer.answers);
        }
        for found in found {
            let ip = view.address(&found.place);
            let target = match (&found.place, ip) {
                (Place::Address(_), Some(ip)) => {
                    self.name(&[&digits_of(ip), "addr", &self.datacenter])
                }
                (Place::Host(name), _) => absolute(name),
                (Place::Here | Place::Address(_), _) => {
                    self.name(&[&self.node, "node", &self.datacenter])
                }
            };
            // A host name that DNS cannot say is as good as none.
            let Some(target) = target else {
                continue;
            };
            let srv = SRV::new(1, found.weight, found.port, target.clone());
            answer
                .answers
                .push(self.record(query.name(), RData::SRV(srv)));
            let known = answer
                .additionals
                .iter()
                .any(|record| record.name == target);
            if let Some(ip) = ip.filter(|_| !known) {
                answer.additionals.push(self.record(&target, address(ip)));
            }
        }
    }

    /// A and AAAA records of places, each address once; a place that is a name becomes a CNAME, which cannot stand
    /// beside anything else.
    fn addresses(&self, query: &Query, places: &[Place], view: View, answers: &mut Vec<Record>) {
        let mut seen = Vec::new();
        for place in places {
            let Some(ip) = view.address(place).filter(|ip| !seen.contains(ip)) else {
                continue;
            };
            seen.push(ip);
            let asked = if ip.is_ipv4() {
                RecordType::A
            } else {
                RecordType::AAAA
            };
            if asked == query.query_type() {
                answers.push(self.record(query.name(), address(ip)));
            }
        }
        let is_address = matches!(
            query.query_type(),
            RecordType::A | RecordType::AAAA | RecordType::CNAME
        );
        if !seen.is_empty() || !is_address {
            return;
        }
        let other = places.iter().find_map(|place| match place {
            Place::Host(name) => absolute(name),
            Place::Address(_) | Place::Here => None,
        });
        let record = |name| self.record(query.name(), RData::CNAME(CNAME(name)));
        answers.extend(other.map(record));
    }

    /// Which services are at an address. Addresses that nobody here has are for others to name.
    fn reverse(&self, query: &Query, ip: IpAddr, index: &Index, view: View) -> Option<Answer> {
        let mut names: Vec<Name> = index
            .at(ip)
            .filter_map(|name| self.name(&[name, "service"]))
            .collect();
        if view.host == Some(ip) {
            let node = self.name(&[&self.node, "node", &self.datacenter]);
            names = node.into_iter().collect();
        }
        if names.is_empty() {
            return None;
        }
        let mut answer = Answer::default();
        if query.query_type() == RecordType::PTR {
            let record = |name| self.record(query.name(), RData::PTR(PTR(name)));
            answer.answers.extend(names.into_iter().map(record));
        }
        if answer.answers.is_empty() {
            answer.authorities.push(self.soa());
        }
        Some(answer)
    }

    fn soa(&self) -> Record {
        let name = |part| self.name(&[part]).unwrap_or_else(|| self.origin.clone());
        let soa = SOA::new(
            name("ns"),
            name("hostmaster"),
            self.serial,
            3600,
            600,
            86400,
            self.ttl,
        );
        self.record(&self.origin, RData::SOA(soa))
    }

    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.ttl, data)
    }

    /// A name in our domain, unless the parts make none.
    fn name(&self, parts: &[&str]) -> Option<Name> {
        Name::from_ascii(format!("{}.{}", parts.join("."), self.domain)).ok()
    }
}

/// A machine's name as one part of a DNS name.
fn label(name: &str) -> String {
    name.to_ascii_lowercase().replace('.', "-")
}

/// A host name that somebody registered.
fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).ok()
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    }
}

/// An address as one part of a name: `0a000001`.
fn digits_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:08x}", ip.to_bits()),
        IpAddr::V6(ip) => format!("{:032x}", ip.to_bits()),
    }
}

/// The other way round.
fn address_of(digits: &str) -> Option<IpAddr> {
    match digits.len() {
        8 => {
            let bits = u32::from_str_radix(digits, 16).ok()?;
            Some(Ipv4Addr::from_bits(bits).into())
        }
        32 => {
            let bits = u128::from_str_radix(digits, 16).ok()?;
            Some(Ipv6Addr::from_bits(bits).into())
        }
        _ => None,
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for.
fn reverse(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_the_host_for_the_host_only() {
        let [gateway, loopback, other]: [IpAddr; 3] =
            ["172.17.0.1", "127.0.0.1", "10.0.0.1"].map(|ip| ip.parse().unwrap());
        for (host, is_local, place, expected) in [
            (
                Some(gateway),
                true,
                Place::Address(loopback),
                Some(loopback),
            ),
            (
                Some(gateway),
                false,
                Place::Address(loopback),
                Some(gateway),
            ),
            (Some(gateway), false, Place::Address(other), Some(other)),
            (Some(gateway), true, Place::Here, Some(gateway)),
            (None, false, Place::Address(loopback), Some(loopback)),
            (None, false, Place::Here, None),
        ] {
            assert_eq!(View { host, is_local }.address(&place), expected);
        }
    }

    #[test]
    fn addresses_are_parts_of_names() {
        for ip in ["10.0.0.1", "fd00::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(address_of(&digits_of(ip)), Some(ip));
        }
        for wrong in ["", "0a00000", "0a00000g", "0a00000100"] {
            assert_eq!(address_of(wrong), None, "{wrong}");
        }
    }
}
