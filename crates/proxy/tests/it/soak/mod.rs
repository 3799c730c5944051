//! Load, and everything that can change under it: targets come, go and die, rules and certificates
//! are replaced. Nothing may fail but requests to a target that was killed.
//!
//! `BOXSHIP_LONG=1` goes on for thirty minutes and looks at memory; `BOXSHIP_SEED=n` repeats a run's
//! choices, as a failure says.

mod clients;
mod farm;
mod tables;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use authority::{Root, Seal};
use base::{AccountId, Chance, Secret};
use core_routing::Certificate;
use proxy::{Config, Loopback, Plane};

use clients::{Outcome, Wrong};
use farm::Farm;
use tables::{CERTIFICATE, GROUPS, World};

const SHORT: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(30 * 60);
const TARGETS: usize = 12;
/// Growth of resident memory that a long run may show between its first fifth and its end.
const SLACK_KIB: u64 = 24 << 10;

/// What has happened, for everybody to see.
pub struct Log {
    began: Instant,
    /// Of each target: when it was killed, and when it was known healthy again.
    deaths: Mutex<Vec<(usize, Duration, Option<Duration>)>>,
    done: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
}

impl Log {
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether a target of `group` was dead at some time between these.
    fn had_dead(&self, group: usize, from: Duration, to: Duration) -> bool {
        self.deaths.lock().unwrap().iter().any(|(target, since, until)| {
            target % GROUPS == group && *since <= to && until.is_none_or(|until| until >= from)
        })
    }

    /// Counts an outcome; the reason why it may not be.
    pub fn take(&self, outcome: &Outcome) -> Result<(), String> {
        self.done.fetch_add(1, Ordering::Relaxed);
        let Err(wrong) = &outcome.answer else { return Ok(()) };
        let is_explained = matches!(wrong, Wrong::Status(502..=504) | Wrong::Cut)
            && self.had_dead(outcome.group, outcome.began, outcome.ended);
        *self.failed.lock().unwrap().entry(format!("{wrong:?}")).or_default() += 1;
        match is_explained {
            true => Ok(()),
            false => Err(format!("{outcome:?}, and no target of its group was dead")),
        }
    }
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a failed run is repeated with its seed")]
fn only_requests_to_killed_targets_fail() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let is_long = std::env::var_os("BOXSHIP_LONG").is_some();
    let seed = std::env::var("BOXSHIP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("BOXSHIP_SEED={seed}");
    runtime.block_on(soak(if is_long { LONG } else { SHORT }, is_long, Chance::new(seed)));
}

#[expect(clippy::disallowed_methods, reason = "how long it has lasted is what ends it")]
async fn soak(lasts_for: Duration, is_long: bool, mut chance: Chance) {
    let (reports, mut seen) = tokio::sync::mpsc::channel(1_024);
    let (sockets, own) = (Arc::new(Loopback), chance.split("plane"));
    let logs = Arc::new(proxy::log::NoLogs);
    let asked = tokio::sync::mpsc::channel(1).0;
    let config = Config { workers: 2, sockets, reports, asked, logs, sticky_key: [7; 32], chance: own };
    let plane = Plane::start(config).unwrap();
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let account = AccountId::default_account();
    let seal = Seal::new(&Secret::new("soak"));
    let root = Root::make(&account, base::clock::wall(), &seal).unwrap();
    let issuer = root.issuer(&seal).unwrap();
    let fresh = || {
        let leaf = issuer.issue(&["localhost"], base::clock::wall()).unwrap();
        Certificate { arn: CERTIFICATE.into(), chain: leaf.chain, key: leaf.key }
    };
    let log = Arc::new(Log {
        began: Instant::now(),
        deaths: Mutex::default(),
        done: AtomicU64::new(0),
        failed: Mutex::default(),
    });
    let mut farm = Farm::start(TARGETS).await;
    let mut world = World::new(farm.ports());
    plane.certificate(&fresh()).unwrap();
    plane.apply(world.table()).await.unwrap();
    for group in 0..GROUPS {
        clients::wait_until_served(world.plain, group).await;
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..12 {
        let tls = (number % 3 == 2).then(|| clients::connector(&root.certificate));
        let port = if tls.is_some() { world.tls } else { world.plain };
        let own = chance.split(&format!("client {number}"));
        clients.spawn(clients::run(port, tls, own, log.clone(), stopped.clone()));
    }

    let (mut resident, mut changes, mut kills) = (None, 0u64, 0u64);
    while log.now() < lasts_for {
        tokio::time::sleep(Duration::from_millis(5 + chance.below(25))).await;
        if let Some(ended) = clients.try_join_next() {
            panic!("a client has given up: {:?}", ended.unwrap());
        }
        if resident.is_none() && log.now() > lasts_for / 5 {
            resident = Some(resident_kib());
        }
        changes += 1;
        match chance.below(10) {
            0..=3 => world.move_a_target(&mut chance),
            4..=6 => world.change_rules(&mut chance),
            7..=8 => plane.certificate(&fresh()).unwrap(),
            _ => kills += u64::from(kill_or_revive(&mut farm, &world, &log, &mut chance).await),
        }
        plane.apply(world.table()).await.unwrap();
    }
    stop.send_replace(true);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap().unwrap();
    }
    let resident = (resident.unwrap_or_default(), resident_kib());
    eprintln!(
        "{} requests, {changes} changes, {kills} kills; failed at killed targets: {:?}; resident {resident:?} KiB",
        log.done.load(Ordering::Relaxed),
        log.failed.lock().unwrap(),
    );
    assert!(!is_long || resident.1 <= resident.0 + SLACK_KIB, "memory grows: {resident:?} KiB");
    plane.close(Duration::from_secs(5)).await;
}

/// At most one target of a group is dead at a time. Says whether one was killed.
async fn kill_or_revive(farm: &mut Farm, world: &World, log: &Log, chance: &mut Chance) -> bool {
    let target = chance.below(TARGETS as u64) as usize;
    let open = |target: usize| {
        let deaths = log.deaths.lock().unwrap();
        deaths.iter().rposition(|(dead, _, until)| dead % GROUPS == target % GROUPS && until.is_none())
    };
    match open(target) {
        None if world.serving(target % GROUPS) > 2 => {
            log.deaths.lock().unwrap().push((target, log.now(), None));
            farm.kill(target).await;
            true
        }
        None => false,
        Some(at) => {
            let dead = log.deaths.lock().unwrap()[at].0;
            farm.revive(dead).await;
            // Requests that met the closed port may still be on their way to an answer.
            tokio::time::sleep(Duration::from_millis(50)).await;
            log.deaths.lock().unwrap()[at].2 = Some(log.now());
            false
        }
    }
}
