//! A server that guests call: by the book on some paths, by no book on others.
//!
//! Plain threads and sockets, so that a test sees what really came over the wire, and a connection
//! that ended is one whose socket was closed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of the body at `/big`.
pub const BIG: usize = 8 << 20;

/// The server. It ends with the test's process.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Request heads, in the order they came.
    heads: Mutex<Vec<String>>,
    /// Connections that are open.
    open: AtomicUsize,
    /// The most that were open at once.
    peak: AtomicUsize,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
                    seen.peak.fetch_max(open, Ordering::SeqCst);
                    let _ = answer(stream, &seen);
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    pub fn peak(&self) -> usize {
        self.seen.peak.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    seen.heads.lock().unwrap().push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let fields: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let plain = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    match path.as_str() {
        "/hello" => stream.write_all(plain("hello").as_bytes())?,
        "/fields" => stream.write_all(
            b"HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-kept: 2\r\n\
              content-length: 0\r\n\r\n",
        )?,
        "/redirect" => {
            stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: /hello\r\ncontent-length: 0\r\n\r\n")?;
        }
        "/upload" => {
            let bytes = body(&mut reader, &fields)?;
            stream.write_all(plain(&bytes.to_string()).as_bytes())?;
        }
        "/big" => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n")?;
            for _ in 0..BIG >> 16 {
                stream.write_all(&[b'y'; 1 << 16])?;
            }
        }
        "/long-head" => {
            write!(stream, "HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "z".repeat(200 << 10))?;
        }
        "/nonsense" => stream.write_all(b"no HTTP at all\r\n\r\n")?,
        "/cut" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")?,
        "/switch" => {
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")?;
        }
        "/stalled-body" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")?;
            until_closed(&mut reader);
        }
        // Says nothing.
        _ => until_closed(&mut reader),
    }
    Ok(())
}

fn until_closed(reader: &mut BufReader<TcpStream>) {
    let mut rest = [0; 1024];
    while reader.read(&mut rest).is_ok_and(|read| read > 0) {}
}

/// Reads a body and counts its bytes.
fn body(reader: &mut BufReader<TcpStream>, fields: &BTreeMap<String, String>) -> std::io::Result<usize> {
    if let Some(length) = fields.get("content-length") {
        let mut bytes = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut bytes)?;
        return Ok(bytes.len());
    }
    let mut total = 0;
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_default();
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(total);
        }
        total += size;
    }
}

/// A server of lines: answers each with itself in capitals.
pub fn lines() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut line = String::new();
            let _ = BufReader::new(stream.try_clone().unwrap()).read_line(&mut line);
            let _ = stream.write_all(line.to_ascii_uppercase().as_bytes());
        }
    });
    address
}
