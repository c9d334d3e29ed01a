//! Ports of services that everybody can reach.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener};

use sarsen_addons::Addon;
use sarsen_store::ExposedPort;

use super::subject;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::Call;

pub(super) async fn expose(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let name = &record.name;
    let exposed = wanted(&addon, call.args.from(1))?;
    let _busy = control.addons.take_whole(&addon.name, name)?;
    if !record.settings.exposed.is_empty() {
        let ports = shown(&record.settings.exposed);
        return Err(Failure::new(format!(
            "Service {name} already exposed on port(s) {ports}"
        )));
    }
    // Later the engine would say so, with the service stopped already.
    exposed.iter().try_for_each(check_free)?;
    let mut settings = record.settings.clone();
    settings.exposed = exposed;
    let changed = control.reshape(&addon, &record, settings).await?;
    let ports = shown(&changed.settings.exposed);
    call.out
        .header(&format!(
            "Service {name} exposed on port(s) [container->host]: {ports}"
        ))
        .await
}

pub(super) async fn unexpose(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let name = &record.name;
    let _busy = control.addons.take_whole(&addon.name, name)?;
    if record.settings.exposed.is_empty() {
        return Err(Failure::new(format!("Service {name} is not exposed")));
    }
    let mut settings = record.settings.clone();
    settings.exposed.clear();
    control.reshape(&addon, &record, settings).await?;
    call.out.header(&format!("Service {name} unexposed")).await
}

fn shown(ports: &[ExposedPort]) -> String {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    ports.join(" ")
}

/// The ports that people chose, as many as the addon has, or free ones.
fn wanted(addon: &Addon, words: &[String]) -> Outcome<Vec<ExposedPort>> {
    let ports = addon.ports();
    if !words.is_empty() && words.len() != ports.len() {
        let order: Vec<_> = ports.iter().map(ToString::to_string).collect();
        return Err(Failure::new(format!(
            "{} ports to be exposed need to be provided in the following order: {}",
            ports.len(),
            order.join(" ")
        )));
    }
    let mut exposed: Vec<ExposedPort> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let (host_ip, host_port) = match words.get(index) {
            Some(word) => place(word)?,
            None => (None, free_port()?),
        };
        if exposed.iter().any(|one| one.host_port == host_port) {
            return Err(Failure::new(format!("Port {host_port} is given twice")));
        }
        exposed.push(ExposedPort {
            port: *port,
            host_ip,
            host_port,
        });
    }
    Ok(exposed)
}

/// `[ADDRESS:]PORT`
fn place(word: &str) -> Outcome<(Option<IpAddr>, u16)> {
    let odd = || {
        let word = word.escape_debug();
        Failure::new(format!("'{word}' is no port, nor an address and a port"))
    };
    let (address, port) = match word.rsplit_once(':') {
        Some((address, port)) => (Some(address), port),
        None => (None, word),
    };
    let port: u16 = port.parse().map_err(|_| odd())?;
    if port == 0 {
        return Err(odd());
    }
    let address = address.map(|text| text.trim_matches(['[', ']']).parse());
    Ok((address.transpose().map_err(|_| odd())?, port))
}

fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Only what is taken is told here: the engine may listen where we may not.
fn check_free(wanted: &ExposedPort) -> Outcome {
    let address = wanted.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    match TcpListener::bind((address, wanted.host_port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(Failure::new(format!(
            "Port {} of this host cannot be used: something else listens on it",
            wanted.host_port
        ))),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Err(Failure::new(format!(
            "{address} is no address of this host"
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = |host_ip: Option<IpAddr>, host_port| ExposedPort {
            port: 5432,
            host_ip,
            host_port,
        };
        let port = taken.local_addr().unwrap().port();
        for address in [None, Some(Ipv4Addr::LOCALHOST.into())] {
            let failure = check_free(&at(address, port)).unwrap_err();
            let said = format!("Port {port} of this host cannot be used");
            assert!(failure.message.starts_with(&said), "{}", failure.message);
        }
        assert!(check_free(&at(Some("192.0.2.1".parse().unwrap()), port)).is_err());
        drop(taken);
        check_free(&at(None, port)).unwrap();
    }

    #[test]
    fn ports_are_read() {
        let text = |word: &str| place(word).map(|(ip, port)| (ip.map(|ip| ip.to_string()), port));
        assert_eq!(text("5432").unwrap(), (None, 5432));
        let local = Some("127.0.0.1".to_owned());
        assert_eq!(text("127.0.0.1:5432").unwrap(), (local, 5432));
        let six = Some("::1".to_owned());
        assert_eq!(text("[::1]:5432").unwrap(), (six, 5432));
        for bad in ["", "0", "x", "70000", "host:1", "1.2.3.4:", "-p"] {
            assert!(place(bad).is_err(), "{bad:?}");
        }
    }
}
