//! How a client and a listener show each other that they know the same key.
//!
//! ```text
//! client                                    listener
//!   PLAIN                        ────────▶                      without a key; the client waits for nothing
//!
//!   HELLO   its random number    ────────▶                      with a key
//!           ◀────────  CHALLENGE  another random number
//!   PROOF   MAC(client, both)    ────────▶
//!           ◀────────  ACCEPTED   MAC(listener, both)
//!   ACCEPTED                     ────────▶
//! ```
//!
//! Each of these is a packet of [`PACKET_LEN`] bytes, so nobody who is not known is listened to for longer.
//! Either side may answer `REFUSED` with a reason, and what does not belong there ends it. The two proofs differ
//! in whose they are, so that the answer of one side sent back to it proves nothing; the client is the first to
//! prove something, so that a listener proves nothing to strangers.
//!
//! This file sees bytes and gives bytes. Who sends and receives them is [`handshake`](crate::handshake).

use std::fmt::{self, Debug};
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::AuthenticationFailure as Failure;

/// The length of everything that is said.
pub(crate) const PACKET_LEN: usize = 36;
const PAYLOAD_LEN: usize = 32;

pub(crate) type Packet = [u8; PACKET_LEN];
/// A random number that is used once.
pub(crate) type Nonce = [u8; PAYLOAD_LEN];
type Tag = [u8; PACKET_LEN - PAYLOAD_LEN];

const PLAIN: Tag = *b"mpc0";
const HELLO: Tag = *b"mpc1";
const CHALLENGE: Tag = *b"mpc?";
const PROOF: Tag = *b"mpc!";
const ACCEPTED: Tag = *b"mpc+";
const REFUSED: Tag = *b"mpc-";

const TAGS: [Tag; 6] = [PLAIN, HELLO, CHALLENGE, PROOF, ACCEPTED, REFUSED];

const NOTHING: [u8; PAYLOAD_LEN] = [0; PAYLOAD_LEN];

/// A secret; its debug form hides it.
#[derive(Clone)]
pub(crate) struct Key(Arc<[u8]>);

impl Key {
    pub(crate) fn new(bytes: &[u8]) -> Result<Key, Failure> {
        if bytes.is_empty() { Err(Failure::EmptyKey) } else { Ok(Key(bytes.into())) }
    }

    fn mac(&self, prover: Side, client: &Nonce, listener: &Nonce) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        let label: &[u8] = match prover {
            Side::Client => b"mp-connection 1, I am the client  ",
            Side::Listener => b"mp-connection 1, I am the listener",
        };
        mac.chain_update(label).chain_update(client).chain_update(listener)
    }

    fn proof(&self, prover: Side, client: &Nonce, listener: &Nonce) -> [u8; PAYLOAD_LEN] {
        self.mac(prover, client, listener).finalize().into_bytes().into()
    }

    /// Takes the same time wherever the proof is wrong.
    fn is_proven(&self, prover: Side, client: &Nonce, listener: &Nonce, proof: &[u8]) -> bool {
        self.mac(prover, client, listener).verify_slice(proof).is_ok()
    }
}

impl Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Listener,
}

/// What has to be done after a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send this, and wait for the next packet.
    Answer(Packet),
    /// The other side is known; send this first, if it is something.
    Done(Option<Packet>),
    /// It is not; send this first, if it is something, and leave.
    Failed { answer: Answer, failure: Failure },
}

/// What a side that is not known is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Packet(Packet),
    /// It has no key and waits for no packet: it gets a message of its own kind.
    Message,
}

/// One side, while it does not know the other.
#[derive(Debug)]
pub(crate) struct Handshake {
    key: Option<Key>,
    /// Of this side.
    nonce: Nonce,
    awaits: Awaits,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Awaits {
    Greeting,
    Challenge,
    Proof {
        client: Nonce,
    },
    /// Of the listener, to the client.
    ListenerProof {
        listener: Nonce,
    },
    /// Of the client, to the listener.
    Acceptance,
    Nothing,
}

impl Handshake {
    /// The side of a listener. The nonce must never have been used.
    pub(crate) fn listener(key: Option<Key>, nonce: Nonce) -> Handshake {
        Handshake { key, nonce, awaits: Awaits::Greeting }
    }

    /// The side of a client with a key, and what it says first. The nonce must never have been used.
    pub(crate) fn client(key: Key, nonce: Nonce) -> (Handshake, Packet) {
        let handshake = Handshake { key: Some(key), nonce, awaits: Awaits::Challenge };
        (handshake, packet(HELLO, nonce))
    }

    /// What a client without a key says, and that is all.
    pub(crate) fn plain_greeting() -> Packet {
        packet(PLAIN, NOTHING)
    }

    /// Takes what the other side has said.
    pub(crate) fn take(&mut self, said: &Packet) -> Step {
        let (tag, payload) = split(said);
        let awaits = std::mem::replace(&mut self.awaits, Awaits::Nothing);
        match (awaits, tag, self.key.clone()) {
            (Awaits::Greeting, PLAIN, None) if payload == NOTHING => Step::Done(None),
            (Awaits::Greeting, PLAIN, Some(_)) if payload == NOTHING => {
                Step::Failed { answer: Answer::Message, failure: Failure::NoKeyThere }
            }
            (Awaits::Greeting, HELLO, None) => {
                // The other side hears the matter from its own point of view.
                refuse(Failure::NoKeyThere, Failure::NoKeyHere)
            }
            (Awaits::Greeting, HELLO, Some(_)) => {
                self.awaits = Awaits::Proof { client: payload };
                Step::Answer(packet(CHALLENGE, self.nonce))
            }
            (Awaits::Challenge, CHALLENGE, Some(key)) => {
                self.awaits = Awaits::ListenerProof { listener: payload };
                Step::Answer(packet(PROOF, key.proof(Side::Client, &self.nonce, &payload)))
            }
            (Awaits::Proof { client }, PROOF, Some(key)) => {
                if !key.is_proven(Side::Client, &client, &self.nonce, &payload) {
                    return refuse(Failure::WrongKey, Failure::WrongKey);
                }
                self.awaits = Awaits::Acceptance;
                let proof = key.proof(Side::Listener, &client, &self.nonce);
                Step::Answer(packet(ACCEPTED, proof))
            }
            (Awaits::ListenerProof { listener }, ACCEPTED, Some(key)) => {
                if !key.is_proven(Side::Listener, &self.nonce, &listener, &payload) {
                    return refuse(Failure::WrongKey, Failure::WrongKey);
                }
                Step::Done(Some(packet(ACCEPTED, NOTHING)))
            }
            (Awaits::Acceptance, ACCEPTED, Some(_)) if payload == NOTHING => Step::Done(None),
            (
                Awaits::Challenge | Awaits::ListenerProof { .. } | Awaits::Acceptance,
                REFUSED,
                Some(_),
            ) => Step::Failed { answer: Answer::Nothing, failure: reason(payload) },
            (Awaits::Greeting, ..) => {
                // Whoever this is, it speaks something else.
                Step::Failed { answer: Answer::Nothing, failure: Failure::Malformed }
            }
            _ => refuse(Failure::Malformed, Failure::Malformed),
        }
    }
}

/// Whether some packet starts with this.
pub(crate) fn may_begin(said: &[u8]) -> bool {
    TAGS.iter().any(|tag| tag.iter().zip(said).all(|(expected, byte)| expected == byte))
}

fn packet(tag: Tag, payload: [u8; PAYLOAD_LEN]) -> Packet {
    let mut packet = [0; PACKET_LEN];
    packet[..tag.len()].copy_from_slice(&tag);
    packet[tag.len()..].copy_from_slice(&payload);
    packet
}

fn split(packet: &Packet) -> (Tag, [u8; PAYLOAD_LEN]) {
    let [a, b, c, d, payload @ ..] = *packet;
    ([a, b, c, d], payload)
}

/// The codes of the reasons that one side gives the other.
const REASONS: [(u8, Failure); 3] =
    [(1, Failure::WrongKey), (2, Failure::NoKeyThere), (3, Failure::Malformed)];

/// Ends it here for `failure`, and there for `theirs`.
fn refuse(theirs: Failure, failure: Failure) -> Step {
    let mut payload = NOTHING;
    let code = REASONS.iter().find(|(_, reason)| *reason == theirs);
    payload[0] = code.map_or(0, |(code, _)| *code);
    Step::Failed { answer: Answer::Packet(packet(REFUSED, payload)), failure }
}

fn reason(payload: [u8; PAYLOAD_LEN]) -> Failure {
    let [code, rest @ ..] = payload;
    let known = REASONS.iter().find(|(known, _)| *known == code && rest.iter().all(|b| *b == 0));
    known.map_or(Failure::Malformed, |(_, failure)| *failure)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: Nonce = [1; PAYLOAD_LEN];
    const LISTENER: Nonce = [2; PAYLOAD_LEN];

    fn key(bytes: &[u8]) -> Key {
        Key::new(bytes).unwrap()
    }

    fn client(bytes: &[u8]) -> (Handshake, Packet) {
        Handshake::client(key(bytes), CLIENT)
    }

    fn listener(bytes: &[u8]) -> Handshake {
        Handshake::listener(Some(key(bytes)), LISTENER)
    }

    fn answer(step: Step) -> Packet {
        match step {
            Step::Answer(packet)
            | Step::Done(Some(packet))
            | Step::Failed { answer: Answer::Packet(packet), .. } => packet,
            other => panic!("{other:?}"),
        }
    }

    fn failure(step: Step) -> Failure {
        match step {
            Step::Failed { failure, .. } => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_key_makes_both_sides_known() {
        let ((mut client, hello), mut listener) = (client(b"key"), listener(b"key"));
        let challenge = answer(listener.take(&hello));
        let proof = answer(client.take(&challenge));
        let accepted = answer(listener.take(&proof));
        let last = client.take(&accepted);
        assert!(matches!(last, Step::Done(Some(_))));
        assert_eq!(listener.take(&answer(last)), Step::Done(None));
    }

    #[test]
    fn ls_10_different_keys_fail_on_both_sides() {
        let ((mut client, hello), mut listener) = (client(b"key"), listener(b"another"));
        let proof = answer(client.take(&answer(listener.take(&hello))));
        let refused = listener.take(&proof);
        assert_eq!(failure(client.take(&answer(refused))), Failure::WrongKey);
    }

    #[test]
    fn ls_09_a_listener_that_proves_nothing_is_refused_and_told() {
        let ((mut client, hello), mut listener) = (client(b"key"), listener(b"key"));
        let proof = answer(client.take(&answer(listener.take(&hello))));
        listener.take(&proof);
        let refused = client.take(&packet(ACCEPTED, [7; PAYLOAD_LEN]));
        let refused = answer(refused);
        assert_eq!(failure(listener.take(&refused)), Failure::WrongKey);
    }

    #[test]
    fn a_key_on_one_side_only_fails_on_both() {
        let mut without = Handshake::listener(None, LISTENER);
        let (mut client, hello) = client(b"key");
        let refused = without.take(&hello);
        let told = answer(refused);
        assert_eq!(failure(client.take(&told)), Failure::NoKeyThere);

        let refused = listener(b"key").take(&Handshake::plain_greeting());
        let expected = Step::Failed { answer: Answer::Message, failure: Failure::NoKeyThere };
        assert_eq!(refused, expected);
    }

    #[test]
    fn nobody_needs_a_key_if_nobody_has_one() {
        let mut listener = Handshake::listener(None, LISTENER);
        assert_eq!(listener.take(&Handshake::plain_greeting()), Step::Done(None));
    }

    #[test]
    fn an_answer_sent_back_proves_nothing() {
        // A client talks to somebody who sends back whatever it says.
        let (mut client, hello) = client(b"key");
        let (_, own_nonce) = split(&hello);
        let proof = answer(client.take(&packet(CHALLENGE, own_nonce)));
        let (_, own_proof) = split(&proof);
        assert_eq!(failure(client.take(&packet(ACCEPTED, own_proof))), Failure::WrongKey);
    }

    #[test]
    fn a_proof_of_another_time_proves_nothing() {
        let ((mut client, hello), mut before) = (client(b"key"), listener(b"key"));
        let proof = answer(client.take(&answer(before.take(&hello))));
        assert!(matches!(before.take(&proof), Step::Answer(_)));
        let mut now = Handshake::listener(Some(key(b"key")), [3; PAYLOAD_LEN]);
        now.take(&hello);
        assert_eq!(failure(now.take(&proof)), Failure::WrongKey);
    }

    #[test]
    fn ls_11_an_empty_key_is_none() {
        assert_eq!(Key::new(b"").unwrap_err(), Failure::EmptyKey);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", key(b"secret")), "Key(6 bytes)");
    }

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // Computed with Python: hmac.digest(b"key", label + nonces, "sha256").
        let proof = key(b"key").proof(Side::Client, &CLIENT, &LISTENER);
        let shown: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, EXPECTED_PROOF);
    }

    const EXPECTED_PROOF: &str = "54b1cca81cb04df42d7b04e26ce43adc4ef7c2a82d510b13313bf721ac666b5f";

    /// What an attacker can say who has no key but hears and repeats everything.
    fn hostile() -> impl Strategy<Value = Packet> {
        let tags = [PLAIN, HELLO, CHALLENGE, PROOF, ACCEPTED, REFUSED, *b"GET "];
        let payloads =
            prop_oneof![Just(NOTHING), Just(CLIENT), Just(LISTENER), any::<[u8; PAYLOAD_LEN]>(),];
        (prop::sample::select(tags.to_vec()), payloads)
            .prop_map(|(tag, payload)| packet(tag, payload))
    }

    proptest! {
        #[test]
        fn ls_09_nobody_becomes_known_without_the_key(said in prop::collection::vec(hostile(), 0..6)) {
            let mut ends = [listener(b"key"), client(b"key").0];
            for end in &mut ends {
                for packet in &said {
                    prop_assert!(!matches!(end.take(packet), Step::Done(_)));
                }
            }
            // Nor by the answers of the other end of ours, as long as they are not those to it.
            let [listener, client] = &mut ends;
            for packet in &said {
                if let Step::Answer(told) = listener.take(packet) {
                    prop_assert!(!matches!(listener.take(&told), Step::Done(_)));
                }
                if let Step::Answer(told) = client.take(packet) {
                    prop_assert!(!matches!(client.take(&told), Step::Done(_)));
                }
            }
        }

        #[test]
        fn au_03_one_changed_bit_fails(which in 0..5, position in 0..PACKET_LEN, bit in 0..8) {
            let ((mut client, hello), mut listener) = (client(b"key"), listener(b"key"));
            let mut said = hello;
            for turn in 0..5 {
                if turn == which {
                    said[position] ^= 1_u8 << bit;
                }
                let end = if turn % 2 == 0 { &mut listener } else { &mut client };
                match end.take(&said) {
                    Step::Answer(packet) | Step::Done(Some(packet)) => said = packet,
                    Step::Done(None) => break,
                    Step::Failed { .. } => return Ok(()),
                }
            }
            prop_assert!(false, "it passed");
        }

        #[test]
        fn au_03_one_packet_of_noise_fails(noise: [u8; PACKET_LEN]) {
            let mut listener = listener(b"key");
            let (tag, _) = split(&noise);
            prop_assume!(tag != HELLO);
            let is_refused = matches!(listener.take(&noise), Step::Failed { .. });
            prop_assert!(is_refused);
        }
    }
}
