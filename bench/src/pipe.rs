//! Pipes: small messages to and fro, and large ones one way.
//!
//! Both processes have a core of their own, but for a ping-pong on one core. The others sleep in the kernel until
//! a message is there; we look for it a little longer first.

use std::io::{Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mp::connection::Waitable;
use serde::{Deserialize, Serialize};

use crate::duet::{Duet, Part, Parts, Players};
use crate::pair::{Measured, Pairs};
use crate::python::Against;
use crate::stream::{Blocks, Streaming};

const WARM_UP: usize = 1;
const ROUNDS: usize = 11;

/// How many messages take some tenths of a second.
const PING_PONGS: u32 = 3000;
const PYTHON_PING_PONGS: u32 = 1000;
const MIB: usize = 1 << 20;
const MIB_BLOCKS: u32 = 200;
const PYTHON_MIB_BLOCKS: u32 = 100;
const PYTHON: Against = Against { script: "pipes.py", warm_up: WARM_UP, rounds: ROUNDS };

/// The numbers from here on have all the same length as a message.
const FIRST: u64 = 1 << 32;
/// That length: a header of sixteen bytes, and a number of nine.
const FRAME_LEN: usize = 16 + 9;
const NUMBER_LEN: usize = size_of::<u64>();

/// The two ends of a pipe.
#[derive(Clone, Serialize, Deserialize)]
struct Ours([mp::Connection; 2]);

impl Ours {
    fn both_ways() -> mp::Result<Ours> {
        Ok(Ours(mp::Pipe::duplex()?.into()))
    }

    fn one_way() -> mp::Result<Ours> {
        let (receiver, sender) = mp::Pipe::simplex()?;
        Ok(Ours([sender, receiver]))
    }
}

/// A pair of sockets, written to and read from with nothing between. It crosses as the ends of a pipe.
#[derive(Clone, Serialize, Deserialize)]
struct Bare([mp::Connection; 2]);

impl Bare {
    fn new() -> mp::Result<Bare> {
        Ok(Bare(mp::Pipe::duplex()?.into()))
    }

    fn socket(self, side: usize) -> mp::Result<UnixStream> {
        let descriptor = self.0[side].descriptor()?;
        Ok(descriptor.as_fd().try_clone_to_owned()?.into())
    }
}

/// A number goes there and comes back one higher.
#[derive(Clone, Serialize, Deserialize)]
struct PingPong<W> {
    way: W,
}

fn numbers() -> Range<u64> {
    FIRST..FIRST + u64::from(PING_PONGS)
}

fn check(answer: u64, number: u64) -> mp::Result<()> {
    mp::ensure!(answer == number + 1, "{answer} came back for {number}");
    Ok(())
}

impl Duet for PingPong<Ours> {
    fn play(&self, side: usize) -> mp::Result<()> {
        let end = &self.way.0[side];
        for number in numbers() {
            if side == 0 {
                end.send(&number)?;
                check(end.recv()?, number)?;
            } else {
                end.send(&(end.recv::<u64>()? + 1))?;
            }
        }
        Ok(())
    }
}

impl Parts for PingPong<Bare> {
    fn part(self, side: usize) -> mp::Result<Part> {
        let mut socket = self.way.socket(side)?;
        Ok(Box::new(move || {
            for number in numbers() {
                if side == 0 {
                    write_number(&mut socket, number)?;
                    check(read_number(&mut socket)?, number)?;
                } else {
                    let number = read_number(&mut socket)?;
                    write_number(&mut socket, number + 1)?;
                }
            }
            Ok(())
        }))
    }
}

fn write_number(socket: &mut UnixStream, number: u64) -> mp::Result<()> {
    let mut frame = [0; FRAME_LEN];
    frame[..NUMBER_LEN].copy_from_slice(&number.to_le_bytes());
    Ok(socket.write_all(&frame)?)
}

fn read_number(socket: &mut UnixStream) -> mp::Result<u64> {
    let mut frame = [0; FRAME_LEN];
    socket.read_exact(&mut frame)?;
    let mut number = [0; NUMBER_LEN];
    number.copy_from_slice(&frame[..NUMBER_LEN]);
    Ok(u64::from_le_bytes(number))
}

impl Blocks for Ours {
    fn sender(self) -> mp::Result<impl FnMut(&[u8]) -> mp::Result<()> + 'static> {
        let [end, _] = self.0;
        Ok(move |block: &[u8]| Ok(end.send_bytes(block)?))
    }

    fn receiver(self) -> mp::Result<impl FnMut(&mut Vec<u8>) -> mp::Result<()> + 'static> {
        let [_, end] = self.0;
        Ok(move |block: &mut Vec<u8>| {
            *block = end.recv_bytes()?;
            Ok(())
        })
    }
}

/// Unlike ours, the receiver knows the length, and has the room already.
impl Blocks for Bare {
    fn sender(self) -> mp::Result<impl FnMut(&[u8]) -> mp::Result<()> + 'static> {
        let mut socket = self.socket(0)?;
        Ok(move |block: &[u8]| Ok(socket.write_all(block)?))
    }

    fn receiver(self) -> mp::Result<impl FnMut(&mut Vec<u8>) -> mp::Result<()> + 'static> {
        let mut socket = self.socket(1)?;
        Ok(move |block: &mut Vec<u8>| Ok(socket.read_exact(block)?))
    }
}

fn round_of(players: &mut Players) -> mp::Result<Duration> {
    Ok(players.play()? / PING_PONGS)
}

fn our_ping_pong() -> mp::Result<PingPong<Ours>> {
    Ok(PingPong { way: Ours::both_ways()? })
}

fn bare_ping_pong() -> mp::Result<PingPong<Bare>> {
    Ok(PingPong { way: Bare::new()? })
}

fn between(mut ours: Players, mut other: Players) -> mp::Result<Measured> {
    Pairs::measure(WARM_UP, ROUNDS, || round_of(&mut ours), || round_of(&mut other))
}

pub(crate) fn ping_pong_socket() -> mp::Result<Measured> {
    between(Players::start(&our_ping_pong()?)?, Players::start(&bare_ping_pong()?)?)
}

pub(crate) fn ping_pong_python() -> mp::Result<Measured> {
    let mut ours = Players::start(&our_ping_pong()?)?;
    PYTHON.measure("ping_pong", PYTHON_PING_PONGS, PYTHON_PING_PONGS, || round_of(&mut ours))
}

/// Where waking the other core is no part of it, so that what we add to the calls of the system shows.
pub(crate) fn ping_pong_one_core() -> mp::Result<Measured> {
    let ours = Players::start_on_one_core(&our_ping_pong()?)?;
    between(ours, Players::start_on_one_core(&bare_ping_pong()?)?)
}

fn our_blocks() -> mp::Result<Streaming> {
    Streaming::blocks(Ours::one_way()?, MIB_BLOCKS, MIB)
}

pub(crate) fn mib_socket() -> mp::Result<Measured> {
    let (mut ours, mut other) = (our_blocks()?, Streaming::blocks(Bare::new()?, MIB_BLOCKS, MIB)?);
    Pairs::measure(WARM_UP, ROUNDS, || ours.measure(), || other.measure())
}

pub(crate) fn mib_python() -> mp::Result<Measured> {
    let mut ours = our_blocks()?;
    PYTHON.measure("blocks", PYTHON_MIB_BLOCKS, PYTHON_MIB_BLOCKS, || ours.measure())
}
