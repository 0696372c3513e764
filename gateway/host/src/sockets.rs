//! Sockets of a guest: which addresses it may reach, which names it may look up.
//!
//! A socket goes to an address that is granted, or that a granted name resolved to in the same run;
//! names that are not granted are never looked up, so that a look-up carries nothing out either. The
//! look-ups of both versions of `wasi:sockets` are replaced to know this. Listening is not granted to
//! anybody. Knows no manifest.

use crate::grants::{Grants, Refusal, Refused};
use crate::host::Host;
use crate::outgoing::{self, is_public};
use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::{self, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::{self, UdpSocket};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets as p3;
use wasmtime_wasi::runtime::{self, AbortOnDropJoinHandle};
use wasmtime_wasi::sockets::{self, SocketAddrUse, WasiSocketsView as _};

/// Addresses of granted names that a run may use; a guest looks up as often as it likes.
const ADDRESSES_MAX: usize = 256;

/// Sockets one run may hold: a fraction of the file descriptors that a process may, whose others are its
/// callers' connections. Each costs one as soon as it is made, connected or not.
const SOCKETS_MAX: usize = 256;

/// The interfaces as wasmtime links them.
const LOOKUP: [&str; 2] = ["wasi:sockets/ip-name-lookup@0.2.12", "wasi:sockets/ip-name-lookup@0.3.0"];
const CREATE_TCP: &str = "wasi:sockets/tcp-create-socket@0.2.12";
const CREATE_UDP: &str = "wasi:sockets/udp-create-socket@0.2.12";
const TYPES_P3: &str = "wasi:sockets/types@0.3.0";

/// What a run may reach. Clones share it.
#[derive(Clone)]
pub(crate) struct Sockets {
    grants: Arc<Grants>,
    refused: Refused,
    /// Where granted names led to.
    found: Arc<Mutex<Vec<SocketAddr>>>,
}

/// Why a name was not resolved.
enum Unresolved {
    Invalid,
    Refused,
    Failed,
}

impl Sockets {
    pub(crate) fn new(grants: Arc<Grants>, refused: Refused) -> Self {
        Self { grants, refused, found: Arc::default() }
    }

    /// Sets up a context for what is granted.
    pub(crate) fn allow(&self, wasi: &mut WasiCtxBuilder) {
        let any = !self.grants.sockets.is_empty();
        let sockets = self.clone();
        // Look-ups are answered here, not by the context.
        wasi.allow_tcp(any).allow_udp(any).allow_ip_name_lookup(false).socket_addr_check(
            move |address, usage| {
                let allowed = sockets.allows(address, usage);
                Box::pin(std::future::ready(allowed)) as Pin<Box<dyn Future<Output = bool> + Send + Sync>>
            },
        );
    }

    fn allows(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        match usage {
            // What the system does before it connects; an address of one's own would be for a server.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                let plain = address.ip().is_unspecified() && address.port() == 0;
                if !plain {
                    self.refused.note(Refusal::Listen);
                }
                plain
            }
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => {
                self.refused.note(Refusal::Listen);
                false
            }
            SocketAddrUse::UdpReceive => self.granted(address),
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => {
                let granted = self.granted(address);
                if !granted {
                    self.refused.note(Refusal::Socket(address));
                }
                granted
            }
        }
    }

    fn granted(&self, address: SocketAddr) -> bool {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        // Every target of a socket names its port, so the default one is never asked for.
        self.grants.sockets.iter().any(|target| target.covers_address(address.ip(), address.port(), 0))
            || self.found.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    /// The addresses of a name, as far as the run may use them.
    async fn resolve(self, name: String) -> Result<Vec<IpAddr>, Unresolved> {
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        if let Ok(address) = literal.parse() {
            // Nothing to look up; whether it may be used is asked when it is.
            return Ok(vec![address]);
        }
        let name = outgoing::name(&name).ok_or(Unresolved::Invalid)?;
        let covers = |port: &u16| self.grants.sockets.iter().any(|t| t.covers_name(&name, *port, 0));
        let ports: Vec<u16> =
            self.grants.sockets.iter().filter_map(|target| target.port).filter(covers).collect();
        let Some(first) = ports.first().copied() else {
            self.refused.note(Refusal::Lookup(name));
            return Err(Unresolved::Refused);
        };
        let found = outgoing::look_up(&name, first).await.map_err(|_| Unresolved::Failed)?;
        let found: Vec<IpAddr> = found.into_iter().map(|address| address.ip().to_canonical()).collect();
        let granted = |ip: &IpAddr| {
            is_public(*ip)
                || ports
                    .iter()
                    .any(|port| self.grants.sockets.iter().any(|target| target.covers_address(*ip, *port, 0)))
        };
        let allowed: Vec<IpAddr> = found.iter().copied().filter(granted).collect();
        if let (true, Some(ip)) = (allowed.is_empty(), found.first()) {
            let address = SocketAddr::new(*ip, first);
            self.refused.note(Refusal::PrivateAddress { host: name, address, http: false });
            return Err(Unresolved::Refused);
        }
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for address in allowed.iter().filter(|ip| is_public(**ip)) {
            for port in &ports {
                let address = SocketAddr::new(*address, *port);
                if known.len() < ADDRESSES_MAX && !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        drop(known);
        Ok(allowed)
    }
}

/// A look-up of WASI 0.2, under way or done. Behind the resource `resolve-address-stream`.
enum Lookup {
    Waiting(AbortOnDropJoinHandle<Result<Vec<IpAddr>, Unresolved>>),
    Done(vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Lookup::Waiting(looking) = self {
            *self = match looking.await {
                Ok(addresses) => Lookup::Done(addresses.into_iter()),
                Err(why) => Lookup::Failed(why.into()),
            };
        }
    }
}

impl From<Unresolved> for ErrorCode {
    fn from(why: Unresolved) -> Self {
        match why {
            Unresolved::Invalid => ErrorCode::InvalidArgument,
            Unresolved::Refused => ErrorCode::AccessDenied,
            Unresolved::Failed => ErrorCode::NameUnresolvable,
        }
    }
}

impl From<Unresolved> for p3::ip_name_lookup::ErrorCode {
    fn from(why: Unresolved) -> Self {
        match why {
            Unresolved::Invalid => Self::InvalidArgument,
            Unresolved::Refused => Self::AccessDenied,
            Unresolved::Failed => Self::NameUnresolvable,
        }
    }
}

/// wasmtime's type tells the engine which resource is meant; what lies in the table is a [`Lookup`].
fn lookup(stream: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_borrow(stream.rep())
}

/// Replaces the look-ups. Shadowing must be allowed.
///
/// # Errors
/// The interfaces are not those that wasmtime links.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let [lookup_p2, lookup_p3] = LOOKUP;
    let mut names = linker.instance(lookup_p2)?;
    names.resource(
        "resolve-address-stream",
        ResourceType::host::<ResolveAddressStream>(),
        |mut store, rep| {
            store.data_mut().table.delete(Resource::<Lookup>::new_own(rep))?;
            Ok(())
        },
    )?;
    names.func_wrap("resolve-addresses", |mut store, (network, name): (Resource<Network>, String)| {
        let host: &mut Host = store.data_mut();
        host.table.get(&network)?;
        let looking = Lookup::Waiting(runtime::spawn(host.sockets.clone().resolve(name)));
        let stream = host.table.push(looking)?;
        let stream: Result<Resource<ResolveAddressStream>, ErrorCode> = Ok(Resource::new_own(stream.rep()));
        Ok((stream,))
    })?;
    names.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store, (stream,): (Resource<ResolveAddressStream>,)| {
            let looking = store.data_mut().table.get_mut(&lookup(&stream))?;
            let _ = runtime::poll_noop(std::pin::pin!(looking.ready()));
            Ok((looking.next(),))
        },
    )?;
    names.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store, (stream,): (Resource<ResolveAddressStream>,)| {
            let pollable: Resource<DynPollable> = subscribe(&mut store.data_mut().table, lookup(&stream))?;
            Ok((pollable,))
        },
    )?;
    linker.instance(lookup_p3)?.func_wrap_concurrent("resolve-addresses", |store, (name,): (String,)| {
        let sockets = store.with(|mut access| access.data_mut().sockets.clone());
        Box::pin(async move {
            let found: Result<Vec<p3::types::IpAddress>, p3::ip_name_lookup::ErrorCode> =
                match sockets.resolve(name).await {
                    Ok(addresses) => Ok(addresses.into_iter().map(Into::into).collect()),
                    Err(why) => Err(why.into()),
                };
            Ok((found,))
        })
    })?;
    linker.instance(CREATE_TCP)?.func_wrap(
        "create-tcp-socket",
        |mut store, (family,): (IpAddressFamily,)| {
            let host: &mut Host = store.data_mut();
            if host.grants.sockets.is_empty() {
                host.refused.note(Refusal::NoSocket);
            }
            if !host.admits_socket() {
                return Ok((Err(ErrorCode::NewSocketLimit),));
            }
            let created: Result<Resource<TcpSocket>, ErrorCode> =
                match tcp_create_socket::Host::create_tcp_socket(&mut host.sockets(), family) {
                    Ok(socket) => Ok(socket),
                    Err(error) => Err(error.downcast()?),
                };
            Ok((created,))
        },
    )?;
    let mut udp = linker.instance(CREATE_UDP)?;
    udp.func_wrap_async("create-udp-socket", |mut store, (family,): (IpAddressFamily,)| {
        Box::new(async move {
            let host: &mut Host = store.data_mut();
            if !host.admits_socket() {
                return Ok((Err(ErrorCode::NewSocketLimit),));
            }
            let created = udp_create_socket::Host::create_udp_socket(&mut host.sockets(), family).await;
            let created: Result<Resource<UdpSocket>, ErrorCode> = match created {
                Ok(socket) => Ok(socket),
                Err(error) => Err(error.downcast()?),
            };
            Ok((created,))
        })
    })?;
    let mut types = linker.instance(TYPES_P3)?;
    types.func_wrap("[static]tcp-socket.create", |mut store, (family,): (p3::types::IpAddressFamily,)| {
        let host: &mut Host = store.data_mut();
        if !host.admits_socket() {
            return Ok((Err(p3::types::ErrorCode::OutOfMemory),));
        }
        let created: Result<Resource<sockets::TcpSocket>, p3::types::ErrorCode> =
            match p3::types::HostTcpSocket::create(&mut host.sockets(), family) {
                Ok(socket) => Ok(socket),
                Err(error) => Err(error.downcast()?),
            };
        Ok((created,))
    })?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store, (family,): (p3::types::IpAddressFamily,)| {
            Box::new(async move {
                let host: &mut Host = store.data_mut();
                if !host.admits_socket() {
                    return Ok((Err(p3::types::ErrorCode::OutOfMemory),));
                }
                let created = p3::types::HostUdpSocket::create(&mut host.sockets(), family).await;
                let created: Result<Resource<sockets::UdpSocket>, p3::types::ErrorCode> = match created {
                    Ok(socket) => Ok(socket),
                    Err(error) => Err(error.downcast()?),
                };
                Ok((created,))
            })
        },
    )
}

impl Host {
    /// Whether there is room for one more socket, which is then counted.
    fn admits_socket(&mut self) -> bool {
        if self.sockets_made >= SOCKETS_MAX {
            // Some may have been dropped since.
            let held = self.table.iter_mut().filter(|entry| is_socket(&**entry)).count();
            self.sockets_made = held;
        }
        let admitted = self.sockets_made < SOCKETS_MAX;
        self.sockets_made += usize::from(admitted);
        admitted
    }
}

/// Whether something in a run's table is a socket, of either version of WASI.
fn is_socket(entry: &(dyn Any + Send)) -> bool {
    entry.is::<TcpSocket>()
        || entry.is::<UdpSocket>()
        || entry.is::<sockets::TcpSocket>()
        || entry.is::<sockets::UdpSocket>()
}

impl Lookup {
    fn next(&mut self) -> Result<Option<IpAddress>, ErrorCode> {
        match self {
            Lookup::Done(addresses) => Ok(addresses.next().map(Into::into)),
            Lookup::Failed(why) => Err(*why),
            Lookup::Waiting(_) => Err(ErrorCode::WouldBlock),
        }
    }
}
