//! A name server over UDP, of the records that a test gives it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The types of records, by their numbers.
const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
const SRV: u16 = 33;

/// Answers: no error, and no such name.
const FOUND: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 0x8183;

/// One record of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// SRV: a name and a port.
    Service(String, u16),
    /// None: whoever asks for this type gets no answer.
    Silence(u16),
}

/// By name, in lower case; others don't exist.
type Zone = Arc<Mutex<BTreeMap<String, Vec<Record>>>>;

/// It answers until it is dropped.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    zone: Zone,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, zone) = (socket.local_addr().unwrap(), Zone::default());
        let served = Arc::clone(&zone);
        Self { address, zone, thread: Some(std::thread::spawn(move || serve(&socket, &served))) }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the name has these records, each to be remembered for a minute.
    pub(crate) fn say(&self, name: &str, records: impl IntoIterator<Item = Record>) {
        self.zone.lock().unwrap().insert(name.to_owned(), records.into_iter().collect());
    }

    /// From now on questions about the name are not answered.
    pub(crate) fn keep_silent_about(&self, name: &str) {
        self.say(name, [A, AAAA, SRV].map(Record::Silence));
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // An empty question ends it.
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[], self.address).unwrap();
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The addresses as records.
pub(crate) fn at(addresses: &[&str]) -> Vec<Record> {
    addresses.iter().map(|address| Record::Address(address.parse().unwrap())).collect()
}

/// A target as a record.
pub(crate) fn service(target: &str, port: u16) -> Record {
    Record::Service(target.to_owned(), port)
}

fn serve(socket: &UdpSocket, zone: &Zone) {
    let mut question = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut question).unwrap();
        if length == 0 {
            return;
        }
        if let Some(answer) = answer(&question[..length], zone) {
            socket.send_to(&answer, from).unwrap();
        }
    }
}

/// The message that answers this one, of one question (RFC 1035, section 4; RFC 2782).
fn answer(message: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (id, question) = (&message[..2], &message[12..]);
    let (name, end) = name_in(question);
    let kind = u16::from_be_bytes([question[end], question[end + 1]]);
    let zone = zone.lock().unwrap();
    let (flags, records) = match zone.get(&name) {
        Some(records) if records.contains(&Record::Silence(kind)) => return None,
        Some(records) => (FOUND, records.as_slice()),
        None => (NO_SUCH_NAME, [].as_slice()),
    };
    let found: Vec<Vec<u8>> = records.iter().filter_map(|record| data(record, kind)).collect();
    let mut answer = id.to_vec();
    let count = u16::try_from(found.len()).unwrap();
    // One question, the answers, nothing about authority, nothing besides.
    answer.extend([flags, 1, count, 0, 0].into_iter().flat_map(u16::to_be_bytes));
    answer.extend(&question[..end + 4]);
    for data in found {
        // The name that begins at byte 12; class IN; a minute.
        answer.extend([0xc00c, kind, 1, 0, 60, u16::try_from(data.len()).unwrap()].into_iter().flat_map(u16::to_be_bytes));
        answer.extend(data);
    }
    Some(answer)
}

/// The name at the beginning of a question, in lower case, and where it ends.
fn name_in(question: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 0);
    while question[at] != 0 {
        let next = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8(question[at + 1..next].to_ascii_lowercase()).unwrap());
        at = next;
    }
    (labels.join("."), at + 1)
}

/// What a record of this kind has; `None` for one of another kind.
fn data(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match (record, kind) {
        (Record::Address(IpAddr::V4(address)), A) => Some(address.octets().to_vec()),
        (Record::Address(IpAddr::V6(address)), AAAA) => Some(address.octets().to_vec()),
        (Record::Service(target, port), SRV) => {
            // Priority and weight, which are nothing to us.
            let mut data: Vec<u8> = [0, 0, *port].into_iter().flat_map(u16::to_be_bytes).collect();
            for label in target.split('.') {
                data.push(u8::try_from(label.len()).unwrap());
                data.extend(label.as_bytes());
            }
            data.push(0);
            Some(data)
        }
        _ => None,
    }
}
