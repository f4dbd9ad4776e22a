//! What others offer for messages between processes, used as their own examples do.

use iceoryx2::port::listener::Listener;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, LogLevel, Node, NodeBuilder, SignalHandlingMode, ipc as iceoryx2_ipc,
    set_log_level,
};
use ipc_channel::ipc::{self, IpcBytesSender, IpcOneShotServer, IpcSender};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::stream::{Blocks, Numbers};

/// A channel of ipc-channel. The receiver makes it and hands the sender over, which it finds by a name.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct IpcChannel {
    names: mp::Queue<String>,
}

impl IpcChannel {
    pub(crate) fn new() -> mp::Result<IpcChannel> {
        Ok(IpcChannel { names: mp::Queue::new()? })
    }

    /// Takes what the other process hands over.
    fn take<S: Serialize + DeserializeOwned>(&self) -> mp::Result<S> {
        let (server, name) = IpcOneShotServer::<S>::new()?;
        self.names.put(&name)?;
        Ok(server.accept()?.1)
    }

    fn hand_over<S: Serialize + DeserializeOwned>(&self, sender: S) -> mp::Result<()> {
        Ok(IpcSender::connect(self.names.get()?)?.send(sender)?)
    }
}

impl Numbers for IpcChannel {
    fn sender(self) -> mp::Result<impl FnMut(u64) -> mp::Result<()> + 'static> {
        let sender = self.take::<IpcSender<u64>>()?;
        Ok(move |number| Ok(sender.send(number)?))
    }

    fn receiver(self) -> mp::Result<impl FnMut() -> mp::Result<u64> + 'static> {
        let (sender, receiver) = ipc::channel::<u64>()?;
        self.hand_over(sender)?;
        Ok(move || Ok(receiver.recv()?))
    }
}

impl Blocks for IpcChannel {
    fn sender(self) -> mp::Result<impl FnMut(&[u8]) -> mp::Result<()> + 'static> {
        let sender = self.take::<IpcBytesSender>()?;
        Ok(move |block: &[u8]| Ok(sender.send(block)?))
    }

    fn receiver(self) -> mp::Result<impl FnMut(&mut Vec<u8>) -> mp::Result<()> + 'static> {
        let (sender, receiver) = ipc::bytes_channel()?;
        self.hand_over(sender)?;
        Ok(move |block: &mut Vec<u8>| {
            *block = receiver.recv()?;
            Ok(())
        })
    }
}

/// A service of iceoryx2 that loses nothing, and an event for each sample. The receiver takes what there is
/// before it waits for an event.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Iceoryx {
    service: String,
    /// Put by the receiver when it is there.
    ready: mp::Queue<()>,
}

type Service = iceoryx2_ipc::Service;

/// How many samples there may be for the receiver.
const SAMPLES: usize = 1024;

impl Iceoryx {
    pub(crate) fn new() -> mp::Result<Iceoryx> {
        let service = format!("mp-bench/{}", std::process::id());
        Ok(Iceoryx { service, ready: mp::Queue::new()? })
    }

    fn node() -> mp::Result<Node<Service>> {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().signal_handling_mode(SignalHandlingMode::Disabled);
        Ok(node.create::<Service>()?)
    }
}

/// The processes of a case are killed at its end; this gives back what iceoryx2 has kept for them.
pub(crate) fn clean_iceoryx_up() -> mp::Result<()> {
    let _cleaned = Iceoryx::node()?.try_cleanup_dead_nodes();
    Ok(())
}

/// The ends of a service, each with the node that it belongs to.
macro_rules! services {
    ($iceoryx:expr) => {{
        let node = Iceoryx::node()?;
        let name = $iceoryx.service.as_str().try_into()?;
        let samples = node
            .service_builder(&name)
            .publish_subscribe::<u64>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(SAMPLES)
            .open_or_create()?;
        let events = node.service_builder(&name).event().open_or_create()?;
        (node, samples, events)
    }};
}

impl Numbers for Iceoryx {
    fn sender(self) -> mp::Result<impl FnMut(u64) -> mp::Result<()> + 'static> {
        let (node, samples, events) = services!(self);
        self.ready.get()?;
        let strategy = BackpressureStrategy::RetryUntilDelivered;
        let publisher = samples.publisher_builder().backpressure_strategy(strategy).create()?;
        let notifier = events.notifier_builder().create()?;
        Ok(move |number| {
            let _lives_as_long = &node;
            publisher.loan_uninit()?.write_payload(number).send()?;
            notifier.notify()?;
            Ok(())
        })
    }

    fn receiver(self) -> mp::Result<impl FnMut() -> mp::Result<u64> + 'static> {
        let (node, samples, events) = services!(self);
        let subscriber: Subscriber<Service, u64, ()> = samples.subscriber_builder().create()?;
        let listener: Listener<Service> = events.listener_builder().create()?;
        self.ready.put(&())?;
        Ok(move || {
            let _lives_as_long = &node;
            loop {
                if let Some(sample) = subscriber.receive()? {
                    return Ok(*sample);
                }
                listener.blocking_wait(|_| {})?;
            }
        })
    }
}
