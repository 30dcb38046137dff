//! A receiver of OTLP over HTTP that keeps the exemplars of its points.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::{
    receiver::read_head,
    written::{Field, fields},
};

/// An exemplar as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The name of its metric.
    pub metric: String,
    /// Its attributes, and the identifier of its trace in hexadecimal digits.
    pub labels: BTreeMap<String, String>,
    /// The observed value.
    pub value: f64,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// The receiver. Takes whatever comes until the test is over.
pub struct Receiver {
    address: SocketAddr,
    exemplars: Arc<Mutex<Vec<Exemplar>>>,
}

impl Receiver {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// If there is no port to be had.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("ports are to be had");
        let address = listener.local_addr().expect("it is bound");
        let exemplars = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&exemplars);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // A connection that breaks is the agent's to make up for.
                thread::spawn(move || serve(&stream, &kept));
            }
        });
        Self { address, exemplars }
    }

    /// Where to post, uncompressed.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1/metrics", self.address)
    }

    /// All that came, in its order.
    #[must_use]
    pub fn exemplars(&self) -> Vec<Exemplar> {
        lock(&self.exemplars).clone()
    }
}

fn lock(all: &Mutex<Vec<Exemplar>>) -> MutexGuard<'_, Vec<Exemplar>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, kept: &Mutex<Vec<Exemplar>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader)? {
        let length = head.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
        let mut body = vec![0; length.parse().map_err(io::Error::other)?];
        reader.read_exact(&mut body)?;
        let read = read(&body).ok_or(io::ErrorKind::InvalidData)?;
        lock(kept).extend(read);
        (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// The messages in a field of a message.
fn messages(message: &[u8], wanted: u64) -> Option<Vec<&[u8]>> {
    let of = fields(message)?.into_iter().filter(|(number, _)| *number == wanted);
    of.map(|(_, field)| field.bytes()).collect()
}

/// The exemplars of an `ExportMetricsServiceRequest`.
fn read(request: &[u8]) -> Option<Vec<Exemplar>> {
    const METRIC_NAME: u64 = 1;
    /// `Sum`, `Histogram` and `ExponentialHistogram`, and where their points have exemplars.
    const DATA: [(u64, u64); 3] = [(7, 5), (9, 8), (10, 11)];
    let mut all = Vec::new();
    for resource in messages(request, 1)? {
        for scope in messages(resource, 2)? {
            for metric in messages(scope, 2)? {
                let name = messages(metric, METRIC_NAME)?.concat();
                let name = String::from_utf8(name).ok()?;
                for (data, exemplars) in DATA {
                    for data in messages(metric, data)? {
                        for point in messages(data, 1)? {
                            for of in messages(point, exemplars)? {
                                all.push(exemplar(&name, of)?);
                            }
                        }
                    }
                }
            }
        }
    }
    Some(all)
}

fn exemplar(metric: &str, message: &[u8]) -> Option<Exemplar> {
    let mut read =
        Exemplar { metric: metric.to_owned(), labels: BTreeMap::new(), value: f64::NAN, time_ms: 0 };
    for (number, field) in fields(message)? {
        match (number, field) {
            (2, Field::Fixed(time_ns)) => read.time_ms = i64::try_from(time_ns / 1_000_000).ok()?,
            (3, Field::Fixed(bits)) => read.value = f64::from_bits(bits),
            (5, Field::Bytes(id)) => {
                let digits = id.iter().map(|byte| format!("{byte:02x}")).collect();
                read.labels.insert("trace_id".to_owned(), digits);
            }
            (7, Field::Bytes(attribute)) => {
                let text = |bytes: Vec<&[u8]>| String::from_utf8(bytes.concat()).ok();
                let value = messages(messages(attribute, 2)?.first()?, 1)?;
                read.labels.insert(text(messages(attribute, 1)?)?, text(value)?);
            }
            _ => return None,
        }
    }
    Some(read)
}
