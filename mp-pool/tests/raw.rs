//! Tasks whose types are known to the caller and the worker, and not to the process between them that has the pool.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mp::{Event, Pool, PoolError, Process, Queue, RemoteException, TaskOptions};
use mp_pool::parts::{
    Call, Chunk, Encoded, Order, PoolErrorWire, Stream, abandon, chunksize, look_ahead, progress,
    run, submit, submit_all, wait,
};
use mp_queues::parts::{Messages, Purpose};
use mp_reduction::{Attachments, decode_from, encode_bytes};
use mp_testing::limits::{LONG, SHORT, comes_true, takes_at_least};
use mp_testing::system::{ends_within, raise};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

/// What a server is asked for; the encoded arguments follow.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Request {
    Run(Order),
    /// Submits it; there is no answer.
    Submit(Order),
    /// Of what was submitted, by its number.
    Get(usize),
    Cancel(usize),
    Terminate(usize),
    EndPool,
}

/// The answer; if it is that there is a result, that follows.
type Answer = Result<(), PoolErrorWire>;

const SERVER: &str = "server";

/// Answers with a pool, in a process that must not know what the tasks are about.
fn serve(requests: Messages, answers: Messages) -> mp::Result<()> {
    let pool = Pool::builder().processes(2).name("served").start()?;
    let (mut message, mut submitted) = (Vec::new(), Vec::new());
    while let Ok(attachments) = requests.take(&mut message, true, |_| ())? {
        let (request, args) = split::<Option<Request>>(&message);
        let result = match request {
            Some(Request::Run(order)) => run(&pool, &order, args, attachments),
            Some(Request::Submit(order)) => {
                submitted.push(Some(submit(&pool, &order, args, attachments)?));
                continue;
            }
            Some(Request::Get(number)) => submitted[number].take().unwrap().into_result(),
            Some(Request::Cancel(number)) => {
                submitted[number].as_ref().unwrap().cancel();
                continue;
            }
            Some(Request::Terminate(number)) => {
                submitted[number].as_ref().unwrap().terminate();
                continue;
            }
            Some(Request::EndPool) => {
                pool.terminate();
                continue;
            }
            None => return Ok(()),
        };
        let (answer, result) = match result {
            Ok(result) => (Ok(()), result),
            Err(error) => (Err(PoolErrorWire::new(&error)), nothing()),
        };
        answers.put(&join::<Answer>(&answer, &result.bytes), &result.attachments)?;
    }
    Ok(())
}

fn nothing() -> Encoded {
    Encoded { bytes: Vec::new(), attachments: Attachments::default() }
}

/// A head, with its length before and a body behind it.
fn join<T: Serialize>(head: &T, body: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    encode_bytes(head, &mut encoded).unwrap();
    let len = u32::try_from(encoded.len()).unwrap();
    [&len.to_le_bytes(), &*encoded, body].concat()
}

fn split<T: DeserializeOwned>(message: &[u8]) -> (T, &[u8]) {
    let (len, rest) = message.split_first_chunk().unwrap();
    let (head, body) = rest.split_at(u32::from_le_bytes(*len) as usize);
    (decode_from(head, &Attachments::default()).unwrap(), body)
}

struct Client {
    requests: Messages,
    answers: Messages,
    server: Process<()>,
    submitted: usize,
}

impl Client {
    fn new() -> Client {
        let (requests, answers) =
            (Messages::new(Purpose::Pool).unwrap(), Messages::new(Purpose::Pool).unwrap());
        let server = Process::builder(serve, (requests.clone(), answers.clone()));
        Client { requests, answers, server: server.name(SERVER).start().unwrap(), submitted: 0 }
    }

    fn ask(&self, request: Option<Request>, args: &[u8], attachments: &Attachments) {
        self.requests.put(&join(&request, args), attachments).unwrap();
    }

    fn answer<In: Serialize + ?Sized, Out: DeserializeOwned>(
        &self,
        call: &Call<In, Out>,
    ) -> Result<Out, PoolError> {
        let mut message = Vec::new();
        let attachments = self.answers.take(&mut message, true, |_| ()).unwrap().unwrap();
        let (answer, result) = split::<Answer>(&message);
        answer.map_err(PoolErrorWire::into_error)?;
        call.decode(result, &attachments)
    }

    fn run_with<In: Serialize + ?Sized, Out: DeserializeOwned>(
        &self,
        call: &Call<In, Out>,
        args: &In,
        options: &TaskOptions,
    ) -> Result<Out, PoolError> {
        let mut bytes = Vec::new();
        let attachments = call.encode(args, &mut bytes)?;
        self.ask(Some(Request::Run(call.order(options))), &bytes, &attachments);
        drop(attachments);
        self.answer(call)
    }

    fn run<In: Serialize + ?Sized, Out: DeserializeOwned>(
        &self,
        call: &Call<In, Out>,
        args: &In,
    ) -> Result<Out, PoolError> {
        self.run_with(call, args, &TaskOptions::new())
    }

    /// Submits a task; its number.
    fn submit<In: Serialize + ?Sized, Out: DeserializeOwned>(
        &mut self,
        call: &Call<In, Out>,
        args: &In,
    ) -> usize {
        let mut bytes = Vec::new();
        let attachments = call.encode(args, &mut bytes).unwrap();
        self.ask(Some(Request::Submit(call.order(&TaskOptions::new()))), &bytes, &attachments);
        self.submitted += 1;
        self.submitted - 1
    }

    fn tell(&self, request: Request) {
        self.ask(Some(request), &[], &Attachments::default());
    }

    fn get<In: Serialize + ?Sized, Out: DeserializeOwned>(
        &self,
        call: &Call<In, Out>,
        number: usize,
    ) -> Result<Out, PoolError> {
        self.tell(Request::Get(number));
        self.answer(call)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.ask(None, &[], &Attachments::default());
        assert!(ends_within(self.server.pid(), LONG).unwrap(), "the server hangs");
        if !std::thread::panicking() {
            self.server.join().unwrap();
        }
    }
}

/// A value that the server must not look at.
#[derive(Debug, Clone, PartialEq)]
struct Sealed(u64);

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(mp::current_process().name(), SERVER, "encoded in the server");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sealed, D::Error> {
        assert_ne!(mp::current_process().name(), SERVER, "decoded in the server");
        u64::deserialize(deserializer).map(Sealed)
    }
}

fn add(a: Sealed, b: Sealed) -> mp::Result<Sealed> {
    Ok(Sealed(a.0 + b.0))
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("no square of {0}")]
struct NoSquare(u64);

fn square(n: Sealed) -> mp::Result<Sealed> {
    mp::ensure!(n.0 != 13, "unlucky");
    n.0.checked_mul(n.0).map(Sealed).ok_or_else(|| mp::Error::typed(NoSquare(n.0)))
}
const RAISED_AT: u32 = line!() - 2;

fn panics(n: u64) -> mp::Result<u64> {
    panic!("no {n}")
}

fn exception(error: PoolError) -> RemoteException {
    match error {
        PoolError::Exception(remote) => remote,
        other => panic!("{other:?}"),
    }
}

fn error<T: Debug>(outcome: Result<T, PoolError>) -> PoolError {
    outcome.unwrap_err()
}

#[test]
fn what_a_function_returns_goes_through_the_server_unopened() {
    let client = Client::new();
    let call = Call::apply(add).unwrap();
    assert_eq!(client.run(&call, &(Sealed(3), Sealed(4))).unwrap(), Sealed(7));
    let worker = Call::apply(|| Ok(mp::current_process().name().to_owned())).unwrap();
    assert!(client.run(&worker, &()).unwrap().starts_with("served-worker-"));
    let long = Call::apply(|text: String| Ok(text + "!")).unwrap();
    let text = "long".repeat(1 << 20);
    assert_eq!(client.run(&long, &(text.clone(),)).unwrap(), text + "!");
}

#[test]
fn chunks_of_maps_and_imaps_go_through_the_server_unopened() {
    let client = Client::new();
    let chunk: Vec<_> = (1..=3).map(Sealed).collect();
    let map = Call::map(square).unwrap();
    assert_eq!(client.run(&map, &chunk).unwrap(), [1, 4, 9].map(Sealed));
    let pairs = [(Sealed(1), Sealed(2)), (Sealed(3), Sealed(4))];
    let starmap = Call::starmap(add).unwrap();
    assert_eq!(client.run(&starmap, &pairs).unwrap(), [3, 7].map(Sealed));
    let imap = Call::imap(square).unwrap();
    let mixed = [2, 13, u64::MAX, 3].map(Sealed);
    let mut each = client.run(&imap, &mixed).unwrap().into_iter();
    assert_eq!(each.next().unwrap().unwrap(), Sealed(4));
    assert_eq!(each.next().unwrap().unwrap_err().message(), "unlucky");
    assert!(each.next().unwrap().unwrap_err().downcast::<NoSquare>().is_some());
    assert_eq!(each.next().unwrap().unwrap(), Sealed(9));
    assert!(each.next().is_none());
    let error = error(client.run(&map, &mixed));
    assert_eq!(exception(error).message(), "unlucky", "a map has the first error of a chunk");
    assert!(client.run(&map, &[]).unwrap().is_empty());
}

#[test]
fn an_error_comes_with_its_value_and_its_trace_and_a_panic_says_so() {
    let client = Client::new();
    let raised = error(client.run(&Call::apply(square).unwrap(), &(Sealed(u64::MAX),)));
    assert!(raised.to_string().starts_with("the task failed: no square of"), "{raised}");
    let trace = mp::get_remote_traceback(&raised).unwrap();
    assert!(trace.contains(&format!("raw.rs\", line {RAISED_AT}, in")), "{trace}");
    let remote = exception(raised);
    assert_eq!(remote.downcast::<NoSquare>(), Some(NoSquare(u64::MAX)));
    assert!(remote.process_name().starts_with("served-worker-"));
    let panicked = error(client.run(&Call::apply(panics).unwrap(), &(7,)));
    assert_eq!(panicked.to_string(), "the task panicked: no 7");
    assert!(exception(panicked).is_panic());
}

#[test]
fn a_death_a_limit_and_a_cancelled_task_are_told_apart() {
    let mut client = Client::new();
    let killed = Call::apply(|n: u64| {
        raise(Signal::KILL);
        Ok(n)
    });
    let died = error(client.run(&killed.unwrap(), &(1,)));
    let PoolError::WorkerDied { pid, exitcode: Some(-9), started: true } = died else {
        panic!("{died:?}");
    };
    assert!(pid > 0 && pid != client.server.pid());
    let forever = |begun: Event| -> mp::Result<u64> {
        begun.set();
        loop {
            std::thread::park();
        }
    };
    let forever = Call::apply(forever).unwrap();
    let begun = Event::new().unwrap();
    let limited = TaskOptions::new().timeout(SHORT);
    let ended = takes_at_least(SHORT, || client.run_with(&forever, &(begun,), &limited));
    assert!(matches!(ended, Err(PoolError::TimedOut)), "{ended:?}");
    // Both workers have something to do, so a third task is not begun.
    let begun = [(); 2].map(|()| Event::new().unwrap());
    let busy = begun.clone().map(|begun| client.submit(&forever, &(begun,)));
    assert!(begun.iter().all(|begun| begun.wait_timeout(LONG).unwrap()));
    let call = Call::apply(add).unwrap();
    let waiting = client.submit(&call, &(Sealed(1), Sealed(2)));
    client.tell(Request::Cancel(waiting));
    assert!(matches!(client.get(&call, waiting), Err(PoolError::Cancelled)));
    client.tell(Request::Terminate(busy[0]));
    assert!(matches!(client.get(&forever, busy[0]), Err(PoolError::Cancelled)));
    assert_eq!(client.run(&call, &(Sealed(1), Sealed(2))).unwrap(), Sealed(3));
    client.tell(Request::EndPool);
    assert!(matches!(client.get(&forever, busy[1]), Err(PoolError::Terminated)));
    assert!(matches!(client.run(&call, &(Sealed(1), Sealed(2))), Err(PoolError::Closed)));
}

/// Never crosses.
#[derive(Debug, Deserialize)]
struct Stuck;

impl Serialize for Stuck {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("stuck"))
    }
}

/// Leaves, and does not arrive.
#[derive(Debug, Serialize)]
struct Lost;

impl<'de> Deserialize<'de> for Lost {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Lost, D::Error> {
        Err(serde::de::Error::custom("lost"))
    }
}

/// Its `Deserialize` panics.
#[derive(Debug, Serialize)]
struct Trap;

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Trap, D::Error> {
        panic!("trapped")
    }
}

#[test]
fn what_does_not_cross_says_where_it_stuck() {
    let client = Client::new();
    let stuck = error(client.run(&Call::apply(|| Ok(Stuck)).unwrap(), &()));
    let text = stuck.to_string();
    assert!(matches!(stuck, PoolError::Transfer { .. }), "{stuck:?}");
    assert!(
        text.starts_with("served-worker-") && text.contains("cannot pass the result"),
        "{text}"
    );
    let unsent = error(client.run(&Call::apply(|_: Stuck| Ok(())).unwrap(), &(Stuck,)));
    assert!(matches!(unsent, PoolError::Encode(_)), "{unsent:?}");
    let text = error(client.run(&Call::apply(|_: Lost| Ok(())).unwrap(), &(Lost,))).to_string();
    assert!(text.contains("cannot take the arguments") && text.contains("lost"), "{text}");
    let undecoded = error(client.run(&Call::apply(|| Ok(Lost)).unwrap(), &()));
    assert!(matches!(undecoded, PoolError::Decode(_)), "{undecoded:?}");
    let trapped = error(client.run(&Call::apply(|| Ok(Trap)).unwrap(), &())).to_string();
    assert!(trapped.contains("panicked here: trapped"), "{trapped}");
    let call = Call::apply(add).unwrap();
    assert_eq!(client.run(&call, &(Sealed(1), Sealed(2))).unwrap(), Sealed(3));
}

#[test]
fn handles_go_both_ways_through_a_server_that_never_has_them() {
    let client = Client::new();
    let queue: Queue<u64> = Queue::new().unwrap();
    let puts = |queue: Queue<u64>, n: u64| {
        queue.put(&n)?;
        Ok(())
    };
    let puts = Call::apply(puts).unwrap();
    for n in 0..3 {
        client.run(&puts, &(queue.clone(), n)).unwrap();
    }
    assert_eq!([queue.get().unwrap(), queue.get().unwrap(), queue.get().unwrap()], [0, 1, 2]);
    // Nobody has it but messages, when its maker has returned.
    let makes = |n: u64| {
        let queue: Queue<u64> = Queue::new()?;
        queue.put(&n)?;
        Ok((queue, n))
    };
    let (made, n) = client.run(&Call::apply(makes).unwrap(), &(41,)).unwrap();
    assert_eq!((made.get().unwrap(), n), (41, 41));
    // A queue in a chunk, for each of its items.
    let fills = |queue: Queue<u64>| Ok(queue.put(&7)?);
    client.run(&Call::map(fills).unwrap(), &[queue.clone(), queue.clone()]).unwrap();
    assert_eq!([queue.get().unwrap(), queue.get().unwrap()], [7, 7]);
}

#[test]
fn a_task_that_is_run_again_still_has_its_handles() {
    let client = Client::new();
    let tries: Queue<u32> = Queue::new().unwrap();
    let dies_once = |tries: Queue<u32>| {
        let attempt = mp::current_task().map_or(0, |task| task.attempt());
        tries.put(&attempt)?;
        if attempt == 0 {
            raise(Signal::KILL);
        }
        Ok(attempt)
    };
    let again = TaskOptions::new().retries(1).idempotent(true);
    let call = Call::apply(dies_once).unwrap();
    assert_eq!(client.run_with(&call, &(tries.clone(),), &again).unwrap(), 1);
    assert_eq!([tries.get().unwrap(), tries.get().unwrap()], [0, 1]);
}

/// Encodes the arguments of a task for a pool of this very process.
fn encoded<In: Serialize + ?Sized, Out: DeserializeOwned>(
    call: &Call<In, Out>,
    args: &In,
) -> (Order, Vec<u8>, Attachments) {
    let mut bytes = Vec::new();
    let attachments = call.encode(args, &mut bytes).unwrap();
    (call.order(&TaskOptions::new()), bytes, attachments)
}

#[test]
fn the_handle_of_a_raw_task_is_that_of_any_other() {
    let pool = Pool::new(1).unwrap();
    let go = Event::new().unwrap();
    let waits = Call::apply(|go: Event| Ok(go.wait()?)).unwrap();
    let (order, args, attachments) = encoded(&waits, &(go.clone(),));
    let first = submit(&pool, &order, &args, attachments.clone()).unwrap();
    let second = submit(&pool, &order, &args, attachments).unwrap();
    assert!(takes_at_least(SHORT, || !first.wait_timeout(SHORT)));
    assert!(!first.ready() && first.successful().is_none());
    assert!(matches!(first.get_timeout(SHORT), Err(PoolError::Timeout)));
    let (told, outcomes) = mpsc::channel();
    first.on_done(move |outcome| told.send(outcome.is_ok()).unwrap());
    assert!(second.cancel());
    assert!(matches!(second.get(), Err(PoolError::Cancelled)));
    go.set();
    let result = first.get().unwrap();
    waits.decode(&result.bytes, &result.attachments).unwrap();
    assert_eq!(outcomes.recv(), Ok(true));
    assert_eq!(first.successful(), Some(true));
    // A function that raises has no result to be passed on.
    let (order, args, attachments) = encoded(&Call::apply(panics).unwrap(), &(7,));
    let raised = submit(&pool, &order, &args, attachments).unwrap();
    assert!(matches!(raised.get(), Err(PoolError::Exception(_))));
    assert_eq!(raised.successful(), Some(false));
}

#[test]
fn all_chunks_of_a_call_have_one_result_in_their_order() {
    let pool = Pool::new(2).unwrap();
    let map = Call::map(square).unwrap();
    let order = map.order(&TaskOptions::new());
    let encoded: Vec<_> = [vec![1, 2], vec![3, 4], vec![5]]
        .map(|items| encoded(&map, &items.into_iter().map(Sealed).collect::<Vec<_>>()))
        .into();
    let chunks: Vec<_> = encoded
        .iter()
        .zip([2, 2, 1])
        .map(|((_, args, attachments), items)| Chunk {
            items,
            args,
            attachments: attachments.clone(),
        })
        .collect();
    let is_complete = |results: Vec<Encoded>| {
        let decode = |result: &Encoded| map.decode(&result.bytes, &result.attachments).unwrap();
        let results: Vec<Sealed> = results.iter().flat_map(decode).collect();
        assert_eq!(results, [1, 4, 9, 16, 25].map(Sealed));
    };
    let awaited = submit_all(&pool, &order, &chunks, true, None).unwrap();
    wait(&awaited);
    assert!(awaited.ready());
    is_complete(awaited.into_result().unwrap());
    let (told, hears) = mpsc::channel();
    let hook = move |progress| told.send(progress).unwrap();
    let passed = submit_all(&pool, &order, &chunks, false, Some(Arc::new(hook))).unwrap();
    is_complete(passed.into_result().unwrap());
    let reports: Vec<mp::Progress> = hears.iter().collect();
    assert_eq!(reports.last(), Some(&mp::Progress { done: 5, total: Some(5) }));
    assert_eq!(reports.len(), 3);
    assert!(submit_all(&pool, &order, &[], true, None).unwrap().into_result().unwrap().is_empty());
    pool.close();
    let refused = submit_all(&pool, &order, &[], true, None);
    assert!(matches!(refused, Err(PoolError::Closed)));
}

#[test]
fn nobody_waits_for_what_is_abandoned_and_what_was_begun_runs_to_its_end() {
    let pool = Pool::new(1).unwrap();
    let [begun, go] = [(); 2].map(|()| Event::new().unwrap());
    let waits = |(begun, go, done): (Event, Event, Queue<u32>)| {
        begun.set();
        go.wait()?;
        Ok(done.put(&1)?)
    };
    let done: Queue<u32> = Queue::new().unwrap();
    let map = Call::map(waits).unwrap();
    let (order, args, attachments) = encoded(&map, &[(begun.clone(), go.clone(), done.clone())]);
    let chunk = || Chunk { items: 1, args: &args, attachments: attachments.clone() };
    for waits in [true, false] {
        let all = submit_all(&pool, &order, &[chunk(), chunk(), chunk()], waits, None).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| if waits { wait(&all) } else { all.wait() });
            assert!(begun.wait_timeout(LONG).unwrap());
            assert!(!waiting.is_finished());
            abandon(&all);
        });
        assert!(matches!(all.get(), Err(PoolError::Cancelled)));
        assert!(done.is_empty());
        go.set();
        assert_eq!(done.get_timeout(LONG).unwrap(), 1);
        assert_eq!(pool.apply(|n: u64| Ok(n + 1), (1,)).unwrap(), 2);
        assert!(done.is_empty(), "nothing else was begun");
        abandon(&all);
        begun.clear();
        go.clear();
    }
}

#[test]
fn a_stream_goes_on_when_its_pool_is_closed() {
    let pool = Pool::new(1).unwrap();
    let map = Call::map(square).unwrap();
    let (order, args, attachments) = encoded(&map, &[Sealed(3)]);
    let stream = Stream::begin(&pool).unwrap();
    pool.close();
    assert!(!stream.is_refused());
    assert!(matches!(Stream::begin(&pool), Err(PoolError::Closed)));
    let refused = run(&pool, &order, &args, attachments.clone());
    assert!(matches!(refused, Err(PoolError::Closed)));
    let chunk = stream.submit(&order, &args, attachments.clone()).unwrap();
    let result = chunk.get().unwrap();
    assert_eq!(map.decode(&result.bytes, &result.attachments).unwrap(), [Sealed(9)]);
    pool.join().unwrap();
    assert!(stream.is_refused());
    let late = stream.submit(&order, &args, attachments);
    assert!(matches!(late, Err(PoolError::Closed)));
}

#[test]
fn a_pool_that_is_dropped_ends_what_was_submitted() {
    let pool = Pool::new(1).unwrap();
    let begun = Event::new().unwrap();
    let forever = |begun: Event| -> mp::Result<u64> {
        begun.set();
        loop {
            std::thread::park();
        }
    };
    let (order, args, attachments) = encoded(&Call::apply(forever).unwrap(), &(begun.clone(),));
    let task = submit(&pool, &order, &args, attachments).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let pids = pool.worker_pids();
    drop(pool);
    assert!(matches!(task.get(), Err(PoolError::Terminated)));
    assert!(comes_true(|| pids.iter().all(|pid| ends_within(*pid, LONG).unwrap())));
}

/// An [`Order`] that nobody has given.
#[derive(Serialize)]
struct Forged {
    job: u64,
    limits: BTreeMap<&'static str, Option<Duration>>,
    retries: u32,
    idempotent: bool,
}

#[test]
fn an_order_for_what_is_no_code_of_the_program_is_refused() {
    let pool = Pool::new(1).unwrap();
    let limits = BTreeMap::from([("soft", None), ("hard", None)]);
    let forged = Forged { job: u64::MAX, limits, retries: 0, idempotent: false };
    let forged: Order = mp_reduction::encode(&forged).unwrap().decode().unwrap();
    let refused = error(run(&pool, &forged, &[], Attachments::default()));
    assert!(refused.to_string().ends_with("cannot find the function of the task"), "{refused}");
    let (order, args, attachments) = encoded(&Call::apply(square).unwrap(), &(Sealed(1),));
    run(&pool, &order, &args, attachments).unwrap();
}

#[test]
fn the_options_of_a_caller_say_how_it_cuts_its_items() {
    let plain = TaskOptions::new();
    assert_eq!(chunksize(&plain, 100, 2).unwrap(), 13);
    assert_eq!(chunksize(&plain, 0, 2).unwrap(), 1);
    assert_eq!(look_ahead(&plain, 2).unwrap(), (1, 32));
    let own = TaskOptions::new().chunksize(5).look_ahead(20);
    assert_eq!((chunksize(&own, 100, 2).unwrap(), look_ahead(&own, 2).unwrap()), (5, (5, 20)));
    let none = TaskOptions::new().chunksize(0);
    assert!(matches!(chunksize(&none, 100, 2), Err(PoolError::Invalid { .. })));
    assert!(matches!(look_ahead(&none, 2), Err(PoolError::Invalid { .. })));
    assert!(progress(&plain).is_none());
    let (told, hears) = mpsc::channel();
    let hook = progress(&plain.progress(move |progress| told.send(progress).unwrap())).unwrap();
    hook(mp::Progress { done: 1, total: None });
    assert_eq!(hears.recv().unwrap().done, 1);
}
