//! Two ends that speak TCP, a network that loses, doubles and reorders, and the tracker in the middle.
//!
//! The ends know what really is; they share no code with the tracker. At every step what the tracker
//! says must have happened, and when all is quiet it must say what is. Segments of a stranger who knows
//! nothing but the tuple come in between: they must change nothing, and what follows must be judged as
//! without them.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;
const ACK: u8 = 16;

fn before(a: u32, b: u32) -> bool {
    i32::try_from(i64::from(a.wrapping_sub(b) as i32)).unwrap() < 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Listens, or has not begun.
    Idle,
    SynSent,
    SynReceived,
    Open,
    /// Has forgotten everything: it was reset, or broke off, or was started anew.
    Gone,
}

/// One end.
#[derive(Clone, Debug)]
struct End {
    stage: Stage,
    first: u32,
    /// Oldest number not acknowledged, next one to send.
    una: u32,
    next: u32,
    expects: u32,
    /// End of the window that the other one offers.
    edge: u32,
    /// End of the window that this one offered, which it does not take back.
    offered: u32,
    scale: Option<u8>,
    peer_scale: Option<u8>,
    left: u32,
    will_close: bool,
    /// Number of its FIN.
    fin: Option<u32>,
    got_fin: bool,
    /// Ranges that came before their turn, and whether a FIN ends them.
    early: Vec<(u32, u32, bool)>,
    has_reset: bool,
}

impl End {
    fn new(rng: &mut StdRng) -> Self {
        let first: u32 = match rng.random_range(0..3) {
            0 => u32::MAX - rng.random_range(0..3000),
            1 => (1 << 31) - rng.random_range(0..3000),
            _ => rng.random(),
        };
        let scale = rng.random_bool(0.6).then(|| rng.random_range(0..4));
        Self {
            stage: Stage::Idle,
            first,
            una: first,
            next: first.wrapping_add(1),
            expects: 0,
            edge: 0,
            offered: 0,
            scale,
            peer_scale: None,
            left: rng.random_range(0..20_000),
            will_close: rng.random_bool(0.7),
            fin: None,
            got_fin: false,
            early: Vec::new(),
            has_reset: false,
        }
    }

    fn segment(&self, flags: u8, seq: u32, payload_len: u32) -> Segment {
        Segment {
            seq,
            ack: if flags & ACK != 0 { self.expects } else { 0 },
            flags: Flags(flags),
            window: 0,
            window_scale: None,
            payload_len,
        }
    }

    /// Fills in the window of what is sent, never less than what was offered.
    fn with_window(&mut self, rng: &mut StdRng, mut segment: Segment) -> Segment {
        let is_syn = segment.flags.0 & SYN != 0;
        if is_syn {
            segment.window_scale = self.scale;
        }
        let agreed = self.scale.is_some() && self.peer_scale.is_some() && !is_syn;
        let shift = self.scale.filter(|_| agreed).unwrap_or(0);
        let kept = self.offered.wrapping_sub(self.expects);
        let kept = if segment.flags.0 & ACK != 0 && kept < 1 << 20 {
            kept
        } else {
            0
        };
        let wish: u32 = match rng.random_range(0..6) {
            0 => 0,
            1 => rng.random_range(0..2_000),
            _ => rng.random_range(0..60_000),
        };
        let units = (wish.max(kept) >> shift) + u32::from(kept & ((1 << shift) - 1) != 0);
        segment.window = u16::try_from(units).unwrap_or(u16::MAX);
        if segment.flags.0 & ACK != 0 {
            let edge = self
                .expects
                .wrapping_add(u32::from(segment.window) << shift);
            if before(self.offered, edge) {
                self.offered = edge;
            }
        }
        segment
    }

    fn opening(&self) -> Segment {
        self.segment(SYN, self.first, 0)
    }

    /// Says something that it could say now; nothing if there is nothing.
    fn speak(&mut self, rng: &mut StdRng) -> Option<Segment> {
        let segment = match self.stage {
            Stage::Idle | Stage::Gone => return None,
            Stage::SynSent => self.opening(),
            Stage::SynReceived => self.segment(SYN | ACK, self.first, 0),
            Stage::Open => match rng.random_range(0..10) {
                0 => self.segment(ACK, self.next, 0),
                1 => self.segment(ACK, self.una.wrapping_sub(1), rng.random_range(0..2)),
                2 | 3 if self.una != self.next => self.again(rng),
                _ => self.more(rng)?,
            },
        };
        Some(self.with_window(rng, segment))
    }

    /// Sends again from the oldest number.
    fn again(&self, rng: &mut StdRng) -> Segment {
        let end = self.fin.unwrap_or(self.next);
        let data = end.wrapping_sub(self.una);
        if self.fin == Some(self.una) {
            return self.segment(FIN | ACK, self.una, 0);
        }
        let some = rng.random_range(1..=data);
        let ends = self.fin.is_some() && some == data;
        self.segment(if ends { FIN | ACK } else { ACK }, self.una, some)
    }

    fn more(&mut self, rng: &mut StdRng) -> Option<Segment> {
        if self.fin.is_some() {
            return None;
        }
        let room = self.edge.wrapping_sub(self.next);
        let room = if room < 1 << 20 { room } else { 0 };
        // A window that is shut is probed with a byte.
        let most = self.left.min(room.max(1)).min(9_000);
        if self.left > 0 {
            let some = rng.random_range(1..=most);
            let segment = self.segment(ACK, self.next, some);
            self.next = self.next.wrapping_add(some);
            self.left -= some;
            return Some(segment);
        }
        if !self.will_close {
            return None;
        }
        self.fin = Some(self.next);
        let segment = self.segment(FIN | ACK, self.next, 0);
        self.next = self.next.wrapping_add(1);
        Some(segment)
    }

    fn break_off(&mut self, rng: &mut StdRng) -> Segment {
        self.stage = Stage::Gone;
        self.has_reset = true;
        let flags = if rng.random() { RST | ACK } else { RST };
        self.segment(flags, self.next, 0)
    }

    /// Takes a segment, and returns the answer if there has to be one.
    fn hear(&mut self, rng: &mut StdRng, got: &Segment) -> Option<Segment> {
        let flags = got.flags.0;
        match self.stage {
            Stage::Gone => self.hear_gone(got),
            Stage::Idle if flags & (SYN | ACK | RST) == SYN => {
                self.stage = Stage::SynReceived;
                self.greet(got);
                let answer = self.segment(SYN | ACK, self.first, 0);
                Some(self.with_window(rng, answer))
            }
            Stage::Idle => self.hear_gone(got),
            Stage::SynSent => self.hear_answer(rng, got),
            Stage::SynReceived | Stage::Open => self.hear_open(rng, got),
        }
    }

    fn hear_gone(&mut self, got: &Segment) -> Option<Segment> {
        if got.flags.0 & RST != 0 {
            return None;
        }
        self.has_reset = true;
        if got.flags.0 & ACK != 0 {
            return Some(self.segment(RST, got.ack, 0));
        }
        let end = got.seq.wrapping_add(got.payload_len + 1);
        Some(Segment {
            ack: end,
            ..self.segment(RST | ACK, 0, 0)
        })
    }

    fn greet(&mut self, syn: &Segment) {
        self.expects = syn.seq.wrapping_add(1);
        self.offered = self.expects;
        self.peer_scale = syn.window_scale;
    }

    fn hear_answer(&mut self, rng: &mut StdRng, got: &Segment) -> Option<Segment> {
        let flags = got.flags.0;
        let acks = flags & ACK != 0;
        if acks && got.ack != self.next {
            self.has_reset |= flags & RST == 0;
            return (flags & RST == 0).then(|| self.segment(RST, got.ack, 0));
        }
        if flags & RST != 0 {
            if acks {
                self.stage = Stage::Gone;
            }
            return None;
        }
        if flags & SYN == 0 {
            return None;
        }
        self.greet(got);
        let answer = if acks {
            self.stage = Stage::Open;
            self.una = got.ack;
            self.edge = got.ack.wrapping_add(u32::from(got.window));
            self.segment(ACK, self.next, 0)
        } else {
            self.stage = Stage::SynReceived;
            self.segment(SYN | ACK, self.first, 0)
        };
        Some(self.with_window(rng, answer))
    }

    fn hear_open(&mut self, rng: &mut StdRng, got: &Segment) -> Option<Segment> {
        let flags = got.flags.0;
        let challenge = self.segment(ACK, self.next, 0);
        let window = self.offered.wrapping_sub(self.expects).max(1);
        let ahead = got.seq.wrapping_sub(self.expects);
        if flags & RST != 0 {
            if ahead == 0 {
                self.stage = Stage::Gone;
            } else if ahead < window {
                return Some(self.with_window(rng, challenge));
            }
            return None;
        }
        if flags & SYN != 0 {
            let meets = self.stage == Stage::SynReceived && flags & ACK != 0;
            if meets && got.ack == self.next && got.seq.wrapping_add(1) == self.expects {
                self.stage = Stage::Open;
                self.una = got.ack;
                self.edge = got.ack.wrapping_add(u32::from(got.window));
            }
            return Some(self.with_window(rng, challenge));
        }
        let is_fin = flags & FIN != 0;
        let end = got.seq.wrapping_add(got.payload_len + u32::from(is_fin));
        let is_here =
            !before(end, self.expects) && (ahead < window || before(got.seq, self.expects));
        let is_old = before(self.next, got.ack) || before(got.ack, self.una.wrapping_sub(1 << 17));
        if flags & ACK == 0 {
            return None;
        }
        if !is_here || is_old {
            return Some(self.with_window(rng, challenge));
        }
        if self.stage == Stage::SynReceived {
            if got.ack != self.next {
                return Some(self.segment(RST, got.ack, 0)).inspect(|_| self.has_reset = true);
            }
            self.stage = Stage::Open;
            self.edge = got.ack;
        }
        self.take_ack(got);
        if got.payload_len == 0 && !is_fin {
            return None;
        }
        self.early.push((got.seq, end, is_fin));
        self.take_early();
        let answer = self.segment(ACK, self.next, 0);
        rng.random_bool(0.8).then(|| self.with_window(rng, answer))
    }

    fn take_ack(&mut self, got: &Segment) {
        if before(self.una, got.ack) {
            self.una = got.ack;
        }
        let both = self.scale.and(self.peer_scale).unwrap_or(0);
        let edge = got.ack.wrapping_add(u32::from(got.window) << both);
        if before(self.edge, edge) {
            self.edge = edge;
        }
    }

    fn take_early(&mut self) {
        while let Some(at) = self
            .early
            .iter()
            .position(|&(seq, end, _)| !before(self.expects, seq) && before(self.expects, end))
        {
            let (_, end, is_fin) = self.early.remove(at);
            self.expects = end;
            self.got_fin |= is_fin;
        }
        let expects = self.expects;
        self.early.retain(|&(_, end, _)| before(expects, end));
    }
}

/// What is on its way, on either side of the tracker.
struct Net {
    track: TcpTrack,
    ends: [End; 2],
    /// From each end: before the tracker, and after it.
    near: [Vec<Segment>; 2],
    far: [Vec<Segment>; 2],
    rng: StdRng,
    /// Whether the network loses and doubles.
    is_bad: bool,
    /// The least that a segment of a stranger needs to be believed: a share of all.
    strange: bool,
}

const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

impl Net {
    fn new(seed: u64, strange: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut ends = [End::new(&mut rng), End::new(&mut rng)];
        let syn = ends[0].opening();
        ends[0].stage = Stage::SynSent;
        let syn = ends[0].with_window(&mut rng, syn);
        if rng.random_bool(0.15) {
            ends[1].stage = Stage::SynSent;
        }
        Self {
            track: TcpTrack::open(&syn),
            ends,
            near: Default::default(),
            far: [vec![syn], vec![]],
            rng,
            is_bad: true,
            strange,
        }
    }

    fn pick(&mut self, count: usize) -> usize {
        // Mostly in order.
        if self.is_bad && self.rng.random_bool(0.2) {
            self.rng.random_range(0..count)
        } else {
            0
        }
    }

    fn lose(&mut self) -> (bool, bool) {
        let is_bad = self.is_bad;
        (
            is_bad && self.rng.random_bool(0.08),
            is_bad && self.rng.random_bool(0.04),
        )
    }

    /// Lets one segment of `from` pass the tracker.
    fn pass(&mut self, from: usize) {
        if self.near[from].is_empty() {
            return;
        }
        let at = self.pick(self.near[from].len());
        let segment = self.near[from].remove(at);
        let (is_lost, is_doubled) = self.lose();
        if is_doubled {
            self.near[from].push(segment);
        }
        if segment.flags.opens() && self.track.may_reopen() {
            if from == 0 {
                self.track = TcpTrack::open(&segment);
            }
        } else {
            self.track.observe(SIDES[from], &segment);
        }
        self.check();
        if !is_lost {
            self.far[from].push(segment);
        }
    }

    fn deliver(&mut self, from: usize) {
        if self.far[from].is_empty() {
            return;
        }
        let at = self.pick(self.far[from].len());
        let segment = self.far[from].remove(at);
        let (is_lost, is_doubled) = self.lose();
        if is_doubled {
            self.far[from].push(segment);
        }
        if !is_lost {
            let to = 1 - from;
            let answer = self.ends[to].hear(&mut self.rng, &segment);
            self.near[to].extend(answer);
        }
    }

    /// A stranger's segment: right addresses and ports, everything else guessed.
    fn intrude(&mut self) {
        let side = SIDES[self.rng.random_range(0..2)];
        let kinds = [RST, RST | ACK, SYN, SYN | ACK, FIN | ACK, ACK, FIN, 0, 0x3f];
        let segment = Segment {
            seq: self.rng.random(),
            ack: self.rng.random(),
            flags: Flags(kinds[self.rng.random_range(0..kinds.len())]),
            window: self.rng.random(),
            window_scale: self.rng.random_bool(0.3).then_some(14),
            payload_len: self.rng.random_range(0..3) * 700,
        };
        let before = self.track;
        self.track.observe(side, &segment);
        let mut after = self.track;
        if after.state == TcpState::SynSent {
            // A second attempt is remembered beside the first one.
            after.halves[1] = before.halves[1];
        }
        assert_eq!(after, before, "{side:?} {segment:?}");
    }

    /// What the tracker says must have happened.
    fn check(&self) {
        let [a, b] = &self.ends;
        match self.track.state() {
            TcpState::Closing => assert!(a.got_fin || b.got_fin, "a FIN was received"),
            TcpState::Closed => assert!(a.got_fin && b.got_fin, "both FINs were received"),
            TcpState::Reset => assert!(a.has_reset || b.has_reset, "somebody reset"),
            TcpState::Established => assert!(
                self.ends.iter().all(|end| end.stage != Stage::Idle),
                "both took part"
            ),
            TcpState::SynSent | TcpState::SynReceived => {}
        }
    }

    fn step(&mut self) {
        let who = self.rng.random_range(0..2);
        match self.rng.random_range(0..100) {
            0..25 if self.near[who].len() + self.far[who].len() < 12 => {
                let said = self.ends[who].speak(&mut self.rng);
                self.near[who].extend(said);
            }
            25..60 => self.pass(who),
            60..95 => self.deliver(who),
            95..98 if self.strange => self.intrude(),
            _ => {}
        }
    }

    /// Lets everything come to rest over a good network.
    fn settle(&mut self) {
        self.is_bad = false;
        for _ in 0..400 {
            for who in 0..2 {
                let said = self.ends[who].speak(&mut self.rng);
                self.near[who].extend(said);
            }
            for _ in 0..4 {
                for who in 0..2 {
                    while !self.near[who].is_empty() {
                        self.pass(who);
                    }
                    while !self.far[who].is_empty() {
                        self.deliver(who);
                    }
                }
            }
        }
    }

    /// Returns what is, in words.
    fn truth(&self) -> TcpState {
        let [a, b] = &self.ends;
        let closed = |end: &End, other: &End| end.got_fin && before(other.fin.unwrap(), other.una);
        if [a, b]
            .iter()
            .any(|end| matches!(end.stage, Stage::Gone | Stage::Idle))
        {
            return TcpState::Reset;
        }
        let fins = [a.got_fin && closed(a, b), b.got_fin && closed(b, a)];
        match fins {
            [true, true] => TcpState::Closed,
            [false, false] => TcpState::Established,
            _ => TcpState::Closing,
        }
    }
}

fn exchange(seed: u64, strange: bool) -> TcpState {
    let mut net = Net::new(seed, strange);
    let steps = net.rng.random_range(20..1_500);
    let breaks_off = net
        .rng
        .random_bool(0.2)
        .then(|| net.rng.random_range(0..steps));
    for step in 0..steps {
        net.step();
        if breaks_off == Some(step) {
            let who = net.rng.random_range(0..2);
            if net.ends[who].stage == Stage::Open {
                let reset = net.ends[who].break_off(&mut net.rng);
                net.near[who].push(reset);
            }
        }
    }
    net.settle();
    let (seen, truth) = (net.track.state(), net.truth());
    // Of a connection that both ends closed, and of one whose last word was lost when nobody was left to
    // repeat it, the end stays unknown.
    let gone = |end: &End| end.got_fin || end.stage == Stage::Gone;
    let is_unknown = truth == TcpState::Reset && net.ends.iter().all(gone);
    assert!(
        seen == truth || is_unknown,
        "seed {seed}: {seen:?} is {truth:?}"
    );
    seen
}

fn exchanges(strange: bool, seeds: core::ops::Range<u64>) {
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for seed in seeds.clone() {
        let result = std::panic::catch_unwind(|| exchange(seed, strange));
        let Ok(state) = result else {
            panic!("seed {seed}, strange {strange}");
        };
        *counts.entry(format!("{state:?}")).or_default() += 1;
    }
    println!("seeds {seeds:?}: {counts:?}");
    for state in ["Established", "Closing", "Closed", "Reset"] {
        assert!(
            counts.get(state).is_some_and(|&count| count > 50),
            "{state}: {counts:?}"
        );
    }
}

#[test]
fn what_two_ends_do_is_what_the_tracker_says() {
    exchanges(false, 0..3_000);
}

#[test]
fn a_stranger_between_two_ends_changes_nothing() {
    exchanges(true, 10_000..13_000);
}
