//! Sockets and links, by WASI's own interfaces: not every standard library has them.

use std::net::SocketAddr;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn told(code: ErrorCode) -> String {
    format!("{code:?}")
}

/// Repeats until it would not block.
fn ready<T>(socket: &TcpSocket, mut step: impl FnMut() -> Result<T, ErrorCode>) -> Result<T, String> {
    loop {
        match step() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            other => return other.map_err(told),
        }
    }
}

fn address(of: SocketAddr) -> (IpAddressFamily, IpSocketAddress) {
    match of {
        SocketAddr::V4(v4) => (
            IpAddressFamily::Ipv4,
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: v4.ip().octets().into() }),
        ),
        SocketAddr::V6(v6) => (
            IpAddressFamily::Ipv6,
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: 0,
                address: v6.ip().segments().into(),
                scope_id: 0,
            }),
        ),
    }
}

pub(crate) fn talk(to: &str, line: &str) -> Result<String, String> {
    let (family, to) = address(to.parse().map_err(|error| format!("{error}"))?);
    let socket = create_tcp_socket(family).map_err(told)?;
    socket.start_connect(&instance_network(), to).map_err(told)?;
    let (input, output) = ready(&socket, || socket.finish_connect())?;
    output.blocking_write_and_flush(format!("{line}\n").as_bytes()).map_err(|error| format!("{error:?}"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        answer.extend(input.blocking_read(1024).map_err(|error| format!("{error:?}"))?);
    }
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

/// Sends a datagram; port 0 is any port of this machine.
pub(crate) fn send(to: &str, text: &str, port: u16) -> Result<(), String> {
    let to: SocketAddr = to.parse().map_err(|error| format!("{error}"))?;
    let any =
        if to.is_ipv4() { SocketAddr::from(([0; 4], port)) } else { SocketAddr::from(([0_u16; 8], port)) };
    let ((family, to), (_, any)) = (address(to), address(any));
    let socket = create_udp_socket(family).map_err(told)?;
    socket.start_bind(&instance_network(), any).map_err(told)?;
    loop {
        match socket.finish_bind() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            bound => break bound.map_err(told)?,
        }
    }
    let (_incoming, outgoing) = socket.stream(None).map_err(told)?;
    while outgoing.check_send().map_err(told)? == 0 {
        outgoing.subscribe().block();
    }
    let datagram = OutgoingDatagram { data: text.as_bytes().to_vec(), remote_address: Some(to) };
    outgoing.send(&[datagram]).map(|_| ()).map_err(told)
}

pub(crate) fn lookup(name: &str) -> Result<Vec<String>, String> {
    let stream = resolve_addresses(&instance_network(), name).map_err(told)?;
    let mut found = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(IpAddress::Ipv4((a, b, c, d)))) => found.push(format!("{a}.{b}.{c}.{d}")),
            Ok(Some(IpAddress::Ipv6(segments))) => {
                found.push(std::net::Ipv6Addr::from(<[u16; 8]>::from(segments)).to_string());
            }
            Ok(None) => return Ok(found),
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(code) => return Err(told(code)),
        }
    }
}

pub(crate) fn listen(port: u16) -> Result<(), String> {
    let (family, local) = address(SocketAddr::from(([127, 0, 0, 1], port)));
    let socket = create_tcp_socket(family).map_err(told)?;
    socket.start_bind(&instance_network(), local).map_err(told)?;
    ready(&socket, || socket.finish_bind())?;
    socket.start_listen().map_err(told)?;
    ready(&socket, || socket.finish_listen())
}

/// Makes a symbolic link at an absolute path below a granted directory.
pub(crate) fn link(target: &str, path: &str) -> Result<(), String> {
    let directories = wasip2::filesystem::preopens::get_directories();
    let granted = directories.iter().find_map(|(dir, root)| {
        let rest = path.strip_prefix(root.as_str())?.strip_prefix('/')?;
        Some((dir, rest))
    });
    let (dir, name) = granted.ok_or("no such directory")?;
    dir.symlink_at(target, name).map_err(|code| format!("{code:?}"))
}
