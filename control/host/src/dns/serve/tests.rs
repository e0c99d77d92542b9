//! Real sockets on the loopback, with name servers of the cases' own behind the forwarding.

use super::super::zone::tests::zone;
use super::*;
use hickory_proto::op::{Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::{Name, RData, RecordType, rdata::TXT};
use std::future::Future;

const STORAGE: &str = "Contoso.blob.core.windows.net.";

/// A running server with its sockets.
struct Running {
    udp: SocketAddr,
    tcp: SocketAddr,
    zones: watch::Sender<Arc<Zone>>,
    _tasks: JoinSet<()>,
}

impl Running {
    async fn start(more: &str) -> Self {
        let (zones, receiver) = watch::channel(Arc::new(zone(more)));
        let server = Server::new(receiver);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (udp, tcp) = (socket.local_addr().unwrap(), listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&server).serve_udp(Arc::new(socket)));
        tasks.spawn(server.serve_tcp(listener));
        Self {
            udp,
            tcp,
            zones,
            _tasks: tasks,
        }
    }

    async fn forwarding(servers: &[SocketAddr]) -> Self {
        let texts: Vec<_> = servers
            .iter()
            .map(|server| format!("\"{server}\""))
            .collect();
        Self::start(&format!("[dns]\nforwarders = [{}]\n", texts.join(", "))).await
    }

    async fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.udp).await.unwrap();
        socket.send(bytes).await.unwrap();
        let mut answer = vec![0; 65535];
        let length = soon(socket.recv(&mut answer)).await.unwrap();
        answer.truncate(length);
        answer
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.tcp).await.unwrap()
    }
}

/// Waits for what must come.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(8), what)
        .await
        .expect("in time")
}

fn query(name: &str) -> Vec<u8> {
    let mut message = Message::new(0x4321, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(
        Name::from_ascii(name).unwrap(),
        RecordType::TXT,
    ));
    message.to_vec().unwrap()
}

fn address_query(name: &str) -> Vec<u8> {
    let mut bytes = query(name);
    let kind = bytes.len() - 3;
    bytes[kind] = 1;
    bytes
}

/// What a name server makes of a query: an answer with `size` octets of text.
fn answer(query: &[u8], size: usize) -> Message {
    let mut message = Message::from_vec(query).unwrap();
    message.metadata.message_type = MessageType::Response;
    let name = message.queries[0].name().clone();
    let texts = vec!["x".repeat(100); size / 100];
    let data = RData::TXT(TXT::new(texts));
    message.add_answer(hickory_proto::rr::Record::from_rdata(name, 5, data));
    message
}

/// A name server that sends what `make` makes of each datagram.
async fn upstream(
    make: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut bytes = [0; 4096];
        loop {
            let (length, peer) = socket.recv_from(&mut bytes).await.unwrap();
            for answer in make(&bytes[..length]) {
                socket.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    (address, task)
}

fn code(bytes: &[u8]) -> u8 {
    bytes[3] & 0xf
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(&framed(bytes).unwrap()).await.unwrap();
    read(stream).await
}

async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let length = soon(stream.read_u16()).await.unwrap();
    let mut answer = vec![0; length.into()];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn both_transports_give_the_same_bytes_and_a_new_zone_counts_at_once() {
    let running = Running::start("").await;
    let asked = address_query(STORAGE);
    let answered = running.ask(&asked).await;
    assert_eq!(code(&answered), 0);
    assert!(answered.ends_with(&[20, 60, 16, 5]));
    let mut stream = running.connect().await;
    // Several on one connection, and two at once.
    assert_eq!(exchange(&mut stream, &asked).await, answered);
    let twice = framed(&asked).unwrap().repeat(2);
    stream.write_all(&twice).await.unwrap();
    assert_eq!(read(&mut stream).await, answered);
    assert_eq!(read(&mut stream).await, answered);

    running.zones.send_replace(Arc::new(Zone::default()));
    assert_eq!(code(&running.ask(&asked).await), 5);
    assert_eq!(code(&exchange(&mut stream, &asked).await), 5);
}

#[tokio::test]
async fn an_unknown_name_is_asked_for_under_a_number_of_our_own() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let (address, _task) = upstream(move |query| {
        sender.send(query.to_vec()).unwrap();
        // As some servers do, the name comes back in lower case.
        let mut bytes = answer(query, 100).to_vec().unwrap();
        bytes[12..24].make_ascii_lowercase();
        vec![bytes]
    })
    .await;
    let running = Running::forwarding(&[address]).await;
    let asked = query("eXample.com.");
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let answered = running.ask(&asked).await;
        assert_eq!(answered[..2], asked[..2], "the asker's number");
        assert_eq!(answered[12..asked.len()], asked[12..], "the asker's case");
        assert_eq!(Message::from_vec(&answered).unwrap().answers.len(), 1);
        let forwarded = seen.recv().await.unwrap();
        assert_eq!(forwarded[2..], asked[2..]);
        numbers.push([forwarded[0], forwarded[1]]);
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.len() > 1, "always the same number");
    let known = running.ask(&address_query(STORAGE)).await;
    assert!(known.ends_with(&[20, 60, 16, 5]));
    assert!(seen.try_recv().is_err(), "a known name is not asked for");
}

#[tokio::test]
async fn answers_to_something_else_are_passed_over() {
    let (address, _task) = upstream(|query| {
        let right = answer(query, 100).to_vec().unwrap();
        let changed = |at: usize, by: u8| {
            let mut bytes = right.clone();
            bytes[at] ^= by;
            bytes
        };
        let kind = query.len() - 3;
        vec![
            changed(0, 1),
            changed(2, 0x80),
            changed(13, 1),
            // The other case of a letter, but of a number it is another number.
            changed(kind, 0x20),
            right[..14].to_vec(),
            Vec::new(),
            right,
        ]
    })
    .await;
    let running = Running::forwarding(&[address]).await;
    let answered = running.ask(&query("example.com.")).await;
    assert_eq!(Message::from_vec(&answered).unwrap().answers.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_silent_or_cannot_say_is_passed_over() {
    let refusing = |query: &[u8]| {
        let mut bytes = query.to_vec();
        bytes[2] |= 0x80;
        bytes[3] = 5;
        vec![bytes]
    };
    let (silent, _first) = upstream(|_| Vec::new()).await;
    let (refuses, _second) = upstream(refusing).await;
    let (knows, _third) = upstream(|query| vec![answer(query, 100).to_vec().unwrap()]).await;
    // Nobody listens there any more.
    let closed = UdpSocket::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let asked = query("example.com.");
    let running = Running::forwarding(&[silent, closed, refuses, knows]).await;
    assert_eq!(code(&running.ask(&asked).await), 0);
    let running = Running::forwarding(&[closed, refuses]).await;
    assert_eq!(code(&running.ask(&asked).await), 5, "what they all say");
    let running = Running::forwarding(&[closed]).await;
    assert_eq!(code(&running.ask(&asked).await), 2, "nobody says anything");
    let running = Running::forwarding(&[silent]).await;
    assert_eq!(code(&running.ask(&asked).await), 2, "not in time");
}

#[tokio::test]
async fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let (address, _task) = upstream(|query| {
        let mut message = answer(query, 3000);
        message = message.truncate();
        message.metadata.message_type = MessageType::Response;
        vec![message.to_vec().unwrap()]
    })
    .await;
    let listener = TcpListener::bind(address).await.unwrap();
    let _streams = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut asked).await.unwrap();
            let whole = framed(&answer(&asked, 3000).to_vec().unwrap()).unwrap();
            stream.write_all(&whole).await.unwrap();
        }
    });
    let running = Running::forwarding(&[address]).await;
    let asked = query("example.com.");
    let cut = running.ask(&asked).await;
    assert_eq!(cut[2] & 2, 2, "marked");
    assert!(cut.len() <= 512);
    let whole = exchange(&mut running.connect().await, &asked).await;
    assert_eq!(whole[2] & 2, 0);
    assert!(whole.len() > 3000, "{}", whole.len());
    assert_eq!(whole[..2], asked[..2]);
}

#[tokio::test]
async fn an_answer_that_the_asker_cannot_take_is_cut_here() {
    // A server that does not care what the asker takes.
    let (address, _task) = upstream(|query| vec![answer(query, 900).to_vec().unwrap()]).await;
    let running = Running::forwarding(&[address]).await;
    let cut = running.ask(&query("example.com.")).await;
    assert_eq!((cut[2] & 2, cut.len()), (2, query("example.com.").len()));
}

#[tokio::test]
async fn an_asker_with_too_many_waiting_is_refused_and_others_are_not() {
    let (address, _task) = upstream(|_| Vec::new()).await;
    let running = Running::forwarding(&[address]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(running.udp).await.unwrap();
    let asked = query("example.com.");
    // In portions that the socket's buffer takes; the known name tells that they were read.
    for _ in 0..MOST_WAITING_EACH / 20 {
        for _ in 0..20 {
            socket.send(&asked).await.unwrap();
        }
        running.ask(&address_query(STORAGE)).await;
    }
    assert_eq!(code(&running.ask(&asked).await), 2, "refused at once");
    let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    other.connect(running.udp).await.unwrap();
    other.send(&address_query(STORAGE)).await.unwrap();
    let mut bytes = [0; 512];
    let length = soon(other.recv(&mut bytes)).await.unwrap();
    assert_eq!(code(&bytes[..length]), 0);
}

#[tokio::test]
async fn connections_of_one_asker_are_bounded_and_come_free_again() {
    let running = Running::start("").await;
    let asked = address_query(STORAGE);
    let mut open = Vec::new();
    for _ in 0..MOST_CONNECTIONS_EACH {
        let mut stream = running.connect().await;
        exchange(&mut stream, &asked).await;
        open.push(stream);
    }
    let mut refused = running.connect().await;
    let end = soon(refused.read_u16()).await;
    assert!(end.is_err(), "one too many is closed");
    open.pop();
    // The place is free once the server has seen the end.
    soon(async {
        loop {
            let mut stream = running.connect().await;
            let _ = stream.write_all(&framed(&asked).unwrap()).await;
            if stream.read_u16().await.is_ok() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_with_nonsense_is_closed() {
    let running = Running::start("").await;
    for nonsense in [
        &b"\xff\xff"[..],
        b"\x00\x00",
        b"\x00\x05\x01\x02\x03\x04\x05",
    ] {
        let mut stream = running.connect().await;
        stream.write_all(nonsense).await.unwrap();
        assert!(soon(stream.read_u16()).await.is_err(), "{nonsense:x?}");
    }
    let formerr = exchange(&mut running.connect().await, &[0; 12]).await;
    assert_eq!(code(&formerr), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_connection_is_closed_however_it_drips() {
    let running = Running::start("").await;
    let mut stream = running.connect().await;
    let asked = framed(&address_query(STORAGE)).unwrap();
    let began = tokio::time::Instant::now();
    // An octet every four seconds: no single wait is long.
    for octet in asked.chunks(1) {
        if stream.write_all(octet).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(4)).await;
        if began.elapsed() > IDLE {
            break;
        }
    }
    assert!(stream.read_u16().await.is_err(), "closed without an answer");
    assert!(began.elapsed() < IDLE * 2, "{:?}", began.elapsed());
}
