//! Log records of children come out of the parent's logger.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use log::{Level, LevelFilter};
use mp_context as mp;
use mp_testing::keeper::{self, kept_of};

mp::enable_test_support!();

fn install() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| assert!(keeper::install(LevelFilter::Info)));
}

/// Starts a child of that name and waits for its end.
fn run(name: &str, target: impl mp::Target<(), Output = ()>) -> Result<(), mp::ProcessError> {
    install();
    mp::Process::builder(target, ()).name(name).on_failure(|_| ()).start()?.join()
}

#[test]
fn lg_01_lg_15_a_record_comes_out_with_everything_that_it_had() {
    let before = SystemTime::now();
    run("lg-01", || {
        log::warn!(target: "app::part", count = 3, label = "x", ok = true, f = 1.5; "said {}", "it");
        Ok(())
    })
    .unwrap();
    let [kept] = <[_; 1]>::try_from(kept_of("lg-01")).unwrap();
    assert_eq!((kept.level, kept.target.as_str()), (Level::Warn, "app::part"));
    assert_eq!(kept.message, "said it");
    assert_eq!(kept.place.unwrap().0, file!());
    let own: Vec<_> = kept.values[..4].iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(own, [("count", "3"), ("label", "x"), ("ok", "true"), ("f", "1.5")]);
    let origin = kept.origin.unwrap();
    assert_eq!(origin.process, "lg-01"); // LG-15
    assert!(origin.pid != std::process::id());
    assert!(origin.time >= before && origin.time <= SystemTime::now());
}

#[test]
fn lg_02_lg_13_levels_that_the_parent_would_drop_are_not_sent() {
    run("lg-02", || {
        mp::ensure!(log::max_level() == LevelFilter::Info && !log::log_enabled!(Level::Debug));
        log::debug!("not sent");
        log::info!("sent");
        log::info!(target: "muted", "sent, and dropped by the parent's own filter");
        Ok(())
    })
    .unwrap();
    let messages: Vec<_> = kept_of("lg-02").into_iter().map(|kept| kept.message).collect();
    assert_eq!(messages, ["sent"]);

    let target = || Ok(log::max_level() == LevelFilter::Error);
    let p = mp::Process::builder(target, ()).log_level(LevelFilter::Error).start().unwrap();
    assert!(p.into_result().unwrap());
}

#[test]
fn lg_05_lg_06_lg_07_a_burst_before_a_panic_is_complete_and_in_order_when_join_returns() {
    const COUNT: usize = 100_000;
    let result = run("lg-07", || {
        for n in 0..COUNT {
            log::info!("{n}");
        }
        panic!("after the burst")
    });
    assert!(result.unwrap_err().to_string().contains("after the burst"));
    let kept = kept_of("lg-07");
    assert_eq!(kept.len(), COUNT);
    assert!(kept.iter().enumerate().all(|(n, kept)| kept.message == n.to_string()));
}

#[test]
fn lg_06_a_record_made_directly_before_a_crash_arrives() {
    for round in 0..20 {
        let name = format!("lg-06-{round}");
        run(&name, || {
            log::error!("last words");
            std::process::abort()
        })
        .unwrap_err();
        assert_eq!(kept_of(&name).len(), 1, "round {round}");
    }
}

#[test]
fn lg_08_children_killed_while_they_log_cost_records_and_nothing_else() {
    install();
    for round in 0..50 {
        let logs = || -> mp::Result<()> {
            loop {
                log::info!("{}", "x".repeat(2000));
            }
        };
        let p = mp::Process::builder(logs, ()).name("lg-08").start().unwrap();
        while round % 5 != 0 && kept_of("lg-08").len() < round {
            std::thread::yield_now();
        }
        p.kill();
        assert!(p.join().unwrap_err().to_string().contains("SIGKILL"));
    }
    assert!(kept_of("lg-08").iter().all(|kept| kept.message.len() == 2000));
    run("lg-08-after", || Ok(log::info!("still served"))).unwrap();
    assert_eq!(kept_of("lg-08-after").len(), 1);
}

#[test]
fn lg_09_records_of_a_grandchild_keep_their_origin() {
    fn grandchild() -> mp::Result<()> {
        std::thread::Builder::new()
            .name("a-thread".to_owned())
            .spawn(|| log::info!(depth = 2; "from below"))?
            .join()
            .expect("it ends");
        Ok(())
    }
    run("lg-09-child", || {
        Ok(mp::Process::builder(grandchild, ()).name("lg-09-grandchild").start()?.join()?)
    })
    .unwrap();
    let [kept] = <[_; 1]>::try_from(kept_of("lg-09-grandchild")).unwrap();
    assert_eq!(kept.origin.as_ref().unwrap().thread.as_deref(), Some("a-thread"));
    let keys: Vec<_> = kept.values.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["depth", "process", "pid", "thread", "time_unix_ns"]);
}

#[test]
fn lg_10_forwarding_can_be_switched_off() {
    install();
    let target = || {
        log::info!("goes nowhere");
        Ok(log::max_level() == LevelFilter::Off && keeper::install(LevelFilter::Info))
    };
    let p = mp::Process::builder(target, ()).name("lg-10").forward_logs(false).start().unwrap();
    assert!(p.into_result().unwrap(), "the target may set up a logger of its own");
    assert!(kept_of("lg-10").is_empty());
}

#[test]
fn lg_11_records_of_the_failure_hook_are_forwarded() {
    install();
    let p = mp::Process::builder(|| -> mp::Result<()> { mp::bail!("oh") }, ())
        .name("lg-11")
        .on_failure(|error| log::error!("failed with {error}"))
        .start()
        .unwrap();
    p.join().unwrap_err();
    assert_eq!(kept_of("lg-11")[0].message, "failed with oh");
}

#[test]
fn many_threads_log_at_once_and_records_stay_whole() {
    run("threads", || {
        std::thread::scope(|scope| {
            for t in 0..8 {
                scope.spawn(move || {
                    for n in 0..500 {
                        log::info!("{t} {}", n.to_string().repeat(200));
                    }
                });
            }
        });
        Ok(())
    })
    .unwrap();
    let kept = kept_of("threads");
    assert_eq!(kept.len(), 4000);
    for t in 0..8 {
        let prefix = format!("{t} ");
        let own = kept.iter().filter_map(|kept| kept.message.strip_prefix(&prefix));
        // LG-05: each thread's records are in its order.
        assert!(own.enumerate().all(|(n, text)| text == n.to_string().repeat(200)));
    }
}

#[test]
fn a_logger_that_panics_costs_the_record_and_nothing_else() {
    run("panics", || {
        log::info!(target: "panics", "the parent's logger panics on this");
        log::info!("and not on this");
        Ok(())
    })
    .unwrap();
    assert_eq!(kept_of("panics").len(), 1);
}

#[test]
fn a_record_of_any_size_arrives() {
    run("large", || {
        for len in [0, 400, 500, 70_000, 3 << 20] {
            log::info!("{}", "y".repeat(len));
        }
        Ok(())
    })
    .unwrap();
    let lens: Vec<_> = kept_of("large").iter().map(|kept| kept.message.len()).collect();
    assert_eq!(lens, [0, 400, 500, 70_000, 3 << 20]);
}

#[test]
fn records_arrive_while_the_child_runs() {
    install();
    let target = || {
        log::info!("early");
        Ok(std::thread::sleep(Duration::from_secs(600)))
    };
    let p = mp::Process::builder(target, ()).name("early").start().unwrap();
    while kept_of("early").is_empty() {
        assert!(p.is_alive());
        std::thread::yield_now();
    }
    p.kill();
}

#[test]
fn a_logger_may_ask_for_the_children_and_start_one() {
    struct Asks;
    impl log::Log for Asks {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &log::Record<'_>) {
            let before = mp::active_children();
            let started = mp::Process::start(|| Ok(()), ()).unwrap();
            assert!(before.iter().all(|child| child.pid() != started.pid()));
            LOGGED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn flush(&self) {}
    }
    static LOGGED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    fn scenario() -> mp::Result<usize> {
        log::set_logger(&Asks)?;
        log::set_max_level(LevelFilter::Info);
        mp::Process::start(
            || {
                Ok(for n in 0..5 {
                    log::info!("{n}")
                })
            },
            (),
        )?
        .join()?;
        Ok(LOGGED.load(std::sync::atomic::Ordering::Relaxed))
    }
    let p = mp::Process::builder(scenario, ()).forward_logs(false).start().unwrap();
    assert_eq!(p.into_result().unwrap(), 5);
}

#[test]
fn lg_12_the_level_goes_up_and_down_and_what_is_below_it_is_not_shown() {
    run("lg-12", || {
        for level in [LevelFilter::Error, LevelFilter::Info, LevelFilter::Off, LevelFilter::Warn] {
            log::set_max_level(level);
            mp::ensure!(log::max_level() == level);
            log::error!("an error at {level}");
            log::warn!("a warning at {level}");
            log::info!("a remark at {level}");
        }
        Ok(())
    })
    .unwrap();
    let messages: Vec<_> = kept_of("lg-12").into_iter().map(|kept| kept.message).collect();
    let at_info = ["an error at INFO", "a warning at INFO", "a remark at INFO"];
    let at_warn = ["an error at WARN", "a warning at WARN"];
    assert_eq!(messages, [&["an error at ERROR"][..], &at_info, &at_warn].concat());
}

#[test]
fn lg_14_a_logger_that_writes_to_standard_error_writes_what_children_log_too() {
    struct ToStderr;
    impl log::Log for ToStderr {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            let origin = mp::log_origin(record).map(|origin| origin.process);
            let process = origin.unwrap_or_else(|| mp::current_process().name().to_owned());
            eprintln!("[{}/{process}] {}", record.level(), record.args());
        }
        fn flush(&self) {}
    }
    fn program(child_has_its_own: bool) -> mp::Result<()> {
        set_up()?;
        log::info!("from the program");
        let logs = |has_its_own: bool| {
            if has_its_own {
                set_up()?;
            }
            Ok(log::warn!("from the child"))
        };
        let child = mp::Process::builder(logs, (child_has_its_own,)).name("child");
        Ok(child.forward_logs(!child_has_its_own).start()?.join()?)
    }
    fn set_up() -> mp::Result<()> {
        log::set_logger(&ToStderr)?;
        log::set_max_level(LevelFilter::Info);
        Ok(())
    }
    for child_has_its_own in [false, true] {
        let program = mp::Process::builder(program, (child_has_its_own,)).name("program");
        let p = program.forward_logs(false).stderr(Stdio::piped()).start().unwrap();
        let mut text = String::new();
        p.take_stderr().unwrap().read_to_string(&mut text).unwrap();
        p.join().unwrap();
        assert_eq!(text, "[INFO/program] from the program\n[WARN/child] from the child\n");
    }
}
