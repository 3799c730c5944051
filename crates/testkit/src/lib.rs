//! What tests of several crates share: services on the memory store, and who calls them.
//!
//! A dev-dependency only. Fails by panicking, as tests do.

use std::time::Duration;

use base::clock::Clock;
use base::{AccountId, Fault, Region};
use service::{Caller, Origin, Platform, PlatformBuilder, Principal, Service};
use store::{Memory, Store};

/// Services on the memory store, with a runtime to wait for their answers and a clock to move.
pub struct Bench {
    pub platform: Platform,
    pub clock: Clock,
    tokio: tokio::runtime::Runtime,
}

impl Bench {
    /// A platform of these services, with ids from a fixed seed.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        let builder = services.into_iter().fold(PlatformBuilder::default(), PlatformBuilder::with);
        let store = Store::open(Memory::default().open(), builder.kinds()).expect("a memory store opens");
        let tokio =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let clock = Clock::default();
        Bench { platform: builder.build(store, clock.clone(), 7), clock, tokio }
    }

    /// Runs one operation as the default account's customer.
    pub fn ask<O: wire::Operation>(&self, input: O::Input) -> Result<O::Output, Fault> {
        self.ask_as::<O>(&customer(), input)
    }

    pub fn ask_as<O: wire::Operation>(&self, caller: &Caller, input: O::Input) -> Result<O::Output, Fault> {
        self.wait(self.platform.call::<O>(caller.clone(), input))
    }

    /// Waits for anything else.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.tokio.block_on(work)
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// The default account's root in the default region.
pub fn customer() -> Caller {
    customer_of("000000000000", "us-east-1")
}

/// An account's root in a region.
pub fn customer_of(account: &str, region: &str) -> Caller {
    Caller {
        account: AccountId::parse(account).expect("twelve digits"),
        region: Region::parse(region).expect("a region's name"),
        principal: Principal::Root,
        origin: Origin::Operator,
        host: None,
        request_id: "r".into(),
    }
}

/// Code and text of a refusal.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Fault>) -> (String, String) {
    let fault = answer.expect_err("a refusal");
    (fault.code.into_owned(), fault.message)
}
