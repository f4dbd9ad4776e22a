//! [`Host`]: the objects that live in this process, and who holds them.

pub(crate) mod burial;
pub(crate) mod client;
mod collector;
mod cycles;
pub(crate) mod departure;
pub(crate) mod entry;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug, Display};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use mp_context::__private::catch;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::failure::Failure;
use crate::host::client::Client;
use crate::host::entry::Entry;
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::{Caller, ClientId, ObjectId, ServerId};
use crate::look::ObjectView;
use crate::payload::Payload;
use crate::proxy::Proxy;
use crate::registry;
use crate::server::Service;

/// The objects that live in this process. There is one in every process; it is a server once it is served.
pub(crate) struct Host {
    id: ServerId,
    objects: Mutex<BTreeMap<ObjectId, Weak<Entry>>>,
    /// Those of them that want to hear of the end of every client.
    caring: Mutex<BTreeMap<ObjectId, Weak<Entry>>>,
    last_object: AtomicU64,
    clients: Mutex<HashMap<ClientId, Arc<Client>>>,
    last_client: AtomicU64,
    service: OnceLock<Service>,
    /// Who looks at all objects has references to them that tell nothing; who asks what refers to an object has this alone.
    census: RwLock<()>,
}

/// What a server says of one of its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its number; later objects have higher ones.
    pub id: u64,
    /// What its type is called.
    pub type_name: String,
    /// How many processes, messages, containers and proxies in the server refer to it.
    pub references: usize,
    /// A short text that shows it.
    pub preview: String,
}

impl Display for ObjectInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectInfo { id, type_name, references, preview } = self;
        write!(f, "{id}: {type_name} refcount={references} {preview}")
    }
}

/// What can be asked of a server itself.
pub(crate) mod ask {
    /// Followed by the name of a type.
    pub(crate) const CREATE: &str = "+";
    pub(crate) const RETAIN: &str = "#retain";
    pub(crate) const DEBUG_INFO: &str = "#debug_info";
    pub(crate) const SHUTDOWN: &str = "#shutdown";
    /// Of any object: what it looks like.
    pub(crate) const TEXT: &str = "#text";
    /// On a line: there are no more calls.
    pub(crate) const CLOSE: &str = "#close";
}

impl Host {
    /// The objects of this process.
    ///
    /// # Panics
    ///
    /// When the system has no random number at the first use.
    pub(crate) fn here() -> &'static Host {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(|| {
            let id = ServerId::random().unwrap_or_else(|error| {
                panic!("the system has no random number for the name of a server: {error}")
            });
            Host {
                id,
                objects: Mutex::default(),
                caring: Mutex::default(),
                last_object: AtomicU64::new(0),
                clients: Mutex::default(),
                last_client: AtomicU64::new(0),
                service: OnceLock::new(),
                census: RwLock::new(()),
            }
        })
    }

    pub(crate) fn id(&self) -> ServerId {
        self.id
    }

    /// What makes it a server, if it is one.
    pub(crate) fn service(&self) -> Option<&Service> {
        self.service.get()
    }

    /// Makes it a server, unless it is one.
    pub(crate) fn serve_with(&self, service: Service) -> Option<&Service> {
        self.service.set(service).ok()?;
        self.service.get()
    }

    /// Keeps an object for as long as the reference or one made from it lives.
    pub(crate) fn add(&self, object: Box<dyn Hosted>) -> Arc<Entry> {
        let id = ObjectId(self.last_object.fetch_add(1, Ordering::Relaxed) + 1);
        let entry = Entry::make(id, object);
        if entry.object().cares_for() == Clients::All {
            self.caring.lock().insert(id, Arc::downgrade(&entry));
        }
        self.objects.lock().insert(id, Arc::downgrade(&entry));
        entry
    }

    fn forget(&self, object: ObjectId, cares_for: Clients) {
        if cares_for == Clients::All {
            self.caring.lock().remove(&object);
        }
        self.objects.lock().remove(&object);
    }

    /// The object with this number.
    pub(crate) fn find(&self, object: ObjectId) -> Option<Arc<Entry>> {
        self.objects.lock().get(&object).and_then(Weak::upgrade)
    }

    /// A client that has come.
    pub(crate) fn admit(&self, pid: u32, secret: Option<u64>) -> Arc<Client> {
        let id = ClientId(self.last_client.fetch_add(1, Ordering::Relaxed) + 1);
        let client = Arc::new(Client::new(id, pid, secret));
        self.clients.lock().insert(id, Arc::clone(&client));
        client
    }

    /// A client is gone; what it held is taken back soon, by another thread. Waits for nothing.
    pub(crate) fn dismiss(&self, client: &Client) {
        let known = self.clients.lock().remove(&client.id());
        drop(known);
        departure::leave(departure::Chore::Departed(client.id(), client.end()));
    }

    /// Who wants to hear of the end of every client.
    fn caring(&self) -> Vec<Arc<Entry>> {
        self.caring.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Tells all clients that they are none any more.
    pub(crate) fn part_from_all(&self) {
        let clients: Vec<Arc<Client>> = self.clients.lock().values().cloned().collect();
        clients.iter().for_each(|client| client.hang_up());
    }

    pub(crate) fn is_gone(&self, client: ClientId) -> bool {
        client != ClientId::SERVER
            && self.clients.lock().get(&client).is_none_or(|client| client.is_gone())
    }

    /// Whether the process of a client is there, as the system says at this moment: the news of its end may still be on its
    /// way.
    pub(crate) fn is_there(&self, client: ClientId) -> bool {
        client == ClientId::SERVER || self.client(client).is_some_and(|client| client.is_there())
    }

    pub(crate) fn client(&self, client: ClientId) -> Option<Arc<Client>> {
        self.clients.lock().get(&client).cloned()
    }

    /// Empties objects, and others that they lead to, which only keep themselves alive. Gives those that are to be looked at
    /// again.
    fn collect(&self, suspects: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
        let judged = {
            let _census = self.census.write();
            cycles::judge(&suspects)
        };
        drop(suspects);
        let (garbage, undecided) = judged.into_parts();
        // What they let go of now are each other.
        for entry in &garbage {
            entry.renew_suspicion();
        }
        for entry in garbage {
            entry.object().clear();
        }
        undecided
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.objects.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// What there is, in the order in which it came.
    pub(crate) fn debug_info(&self) -> Vec<ObjectInfo> {
        if let Some(service) = self.service() {
            service.settle();
        }
        let _census = self.census.read_recursive();
        self.all()
            .into_iter()
            .map(|entry| ObjectInfo {
                id: entry.id().0,
                type_name: entry.object().type_name().to_owned(),
                // But for this one.
                references: Arc::strong_count(&entry) - 1,
                preview: preview(&entry),
            })
            .collect()
    }

    /// What there is, in the order in which it came, without asking the objects or waiting for anybody.
    pub(crate) fn counts(&self) -> Vec<ObjectView> {
        let _census = self.census.read_recursive();
        self.all()
            .into_iter()
            .map(|entry| ObjectView {
                id: entry.id().0,
                type_name: entry.object().type_name().to_owned(),
                // But for this one.
                references: Arc::strong_count(&entry) - 1,
            })
            .collect()
    }

    /// The pids of the clients.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.clients.lock().values().map(|client| client.pid()).collect()
    }

    /// Calls a method of an object, whoever calls; a panic in it is an error of it.
    pub(crate) fn call(
        &self,
        caller: Caller,
        entry: &Entry,
        method: &str,
        arguments: &Payload,
    ) -> Reply {
        let call = Call { host: self, caller, method, arguments };
        if method == ask::TEXT {
            return guarded(|| call.reply(&entry.object().preview()));
        }
        let brings_references = !arguments.references.is_empty();
        entry.during_call(brings_references, || guarded(|| entry.object().serve(method, &call)))
    }

    /// What is asked of the server itself.
    pub(crate) fn ask(&self, caller: Caller, method: &str, arguments: &Payload) -> Reply {
        let call = Call { host: self, caller, method, arguments };
        if let Some(name) = method.strip_prefix(ask::CREATE) {
            return self.create(name, &call);
        }
        match method {
            ask::RETAIN => {
                let (object,): (ObjectId,) = call.args()?;
                let entry = self.find(object).ok_or(Failure::UnknownObject { object: object.0 })?;
                call.reply(&Proxy::of(entry))
            }
            ask::DEBUG_INFO => call.reply(&self.debug_info()),
            // Who has called stops it when the reply is on its way.
            ask::SHUTDOWN => call.reply(&()),
            _ => call.unknown_method("server"),
        }
    }

    fn create(&self, name: &str, call: &Call<'_>) -> Reply {
        let types = registry::types().map_err(Failure::raised)?;
        let unknown = || Failure::UnknownType { name: name.to_owned() };
        let registered = types.get(name).ok_or_else(unknown)?;
        guarded(|| {
            let entry = self.add((registered.create)(call)?);
            call.reply(&Proxy::of(entry))
        })
    }
}

/// What an object looks like, if that can be said.
fn preview(entry: &Entry) -> String {
    catch(|| entry.object().preview())
        .unwrap_or_else(|panicked| format!("(its text panics: {})", panicked.message()))
}

/// Runs code of the user, whose panic is an error.
fn guarded(run: impl FnOnce() -> Reply) -> Reply {
    catch(run).unwrap_or_else(|panicked| Err(Failure::Raised(Box::new(panicked))))
}

impl Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({} objects)", self.objects.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::time::Duration;

    use super::*;
    use crate::reference::Reference;

    const LONG: Duration = Duration::from_secs(60);

    /// Says which clients it is told of, and waits to be let go on.
    struct Told {
        cares_for: Clients,
        tell: Sender<ClientId>,
        go_on: Mutex<Option<Receiver<()>>>,
    }

    impl Hosted for Told {
        fn serve(&self, _: &str, call: &Call<'_>) -> Reply {
            call.unknown_method("told")
        }

        fn type_name(&self) -> &'static str {
            "told"
        }

        fn preview(&self) -> String {
            String::new()
        }

        fn cares_for(&self) -> Clients {
            self.cares_for
        }

        fn client_gone(&self, client: ClientId) {
            self.tell.send(client).unwrap();
            if let Some(go_on) = &*self.go_on.lock() {
                go_on.recv().unwrap();
            }
        }
    }

    fn told(cares_for: Clients) -> (Arc<Entry>, Receiver<ClientId>) {
        let (tell, told) = mpsc::channel();
        let object = Told { cares_for, tell, go_on: Mutex::new(None) };
        (Host::here().add(Box::new(object)), told)
    }

    /// That an object has been told of a client, of all those that other tests have.
    fn is_told(told: &Receiver<ClientId>, client: &Client) -> bool {
        burial::settle(LONG);
        told.try_iter().any(|gone| gone == client.id())
    }

    #[test]
    fn who_had_an_object_is_missed_there_and_nowhere_else() {
        let host = Host::here();
        let (held, held_told) = told(Clients::Holders);
        let (given_back, given_back_told) = told(Clients::Holders);
        let (elsewhere, elsewhere_told) = told(Clients::Holders);
        let (_of_all, of_all_told) = told(Clients::All);
        let client = host.admit(1, None);
        let granted = [&held, &given_back].map(|entry| Reference::Here(Arc::clone(entry)));
        client.grant(&granted);
        drop(client.take_back(given_back.id(), 1));
        host.dismiss(&client);
        assert!(is_told(&held_told, &client));
        assert!(is_told(&given_back_told, &client));
        assert!(is_told(&of_all_told, &client));
        assert!(!is_told(&elsewhere_told, &client));

        // What was on its way to it hears it, too.
        client.grant(&[Reference::Here(elsewhere)]);
        assert!(is_told(&elsewhere_told, &client));
    }

    #[test]
    fn what_was_made_for_a_client_that_cannot_have_it_misses_that_client() {
        let host = Host::here();
        let (made, made_told) = told(Clients::Holders);
        let (known, known_told) = told(Clients::Holders);
        let client = host.admit(1, None);
        let reply = [Reference::Here(made), Reference::Here(Arc::clone(&known))];
        let granted = client.grant(&reply);
        drop(reply);
        client.does_not_get(&granted);
        assert!(is_told(&made_told, &client));
        assert!(
            !is_told(&known_told, &client),
            "it lives, and may be the client's by another reply"
        );
        host.dismiss(&client);
        assert!(is_told(&known_told, &client));
    }

    /// The end of one client was told to every object by the thread that hears all others.
    #[test]
    fn a_busy_object_does_not_hold_up_who_hears_that_a_client_is_gone() {
        let (host, (go_on, wait)) = (Host::here(), mpsc::channel());
        let (tell, told) = mpsc::channel();
        let go_on_told = Mutex::new(Some(wait));
        let entry =
            host.add(Box::new(Told { cares_for: Clients::Holders, tell, go_on: go_on_told }));
        let clients = [(); 2].map(|()| host.admit(1, None));
        for client in &clients {
            client.grant(&[Reference::Here(Arc::clone(&entry))]);
        }
        for client in &clients {
            host.dismiss(client);
            assert!(host.is_gone(client.id()));
        }
        assert_eq!(told.recv_timeout(LONG).unwrap(), clients[0].id());
        go_on.send(()).unwrap();
        assert_eq!(told.recv_timeout(LONG).unwrap(), clients[1].id());
        go_on.send(()).unwrap();
        burial::settle(LONG);
        assert_eq!(Arc::strong_count(&entry), 1);
    }
}
